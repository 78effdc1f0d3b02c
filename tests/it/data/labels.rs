use std::fmt::Write;
use std::time::{Duration, Instant};

use onesheet::data::labels::Labels;
use onesheet::data::ledger::{MALFORMED_ROWS, ROWS_WITHOUT_GENRE, WITH_MALFORMED_ROW, WITHOUT_GENRE};
use proptest::prelude::*;

fn read(csv: impl AsRef<[u8]>) -> onesheet::Result<Labels> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genres.csv");
    std::fs::write(&path, csv).unwrap();
    Labels::read_csv(&path)
}

/// The text of the error, which must be one line without control characters, and its exit code.
fn refused(csv: impl AsRef<[u8]>) -> (String, u8) {
    let error = read(csv).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("genres.csv") && !text.contains(char::is_control), "{text}");
    (text, error.exit_code())
}

/// The names of a film's genres.
fn genres(labels: &Labels, id: u64) -> Vec<&str> {
    labels.films[&id].iter().map(|&genre| labels.genres[genre].as_str()).collect()
}

/// The labels of a file with these cells, one film for each from 1 on.
fn cells<'a>(cells: impl IntoIterator<Item = &'a str>) -> Labels {
    let mut csv = "id,genre\n".to_owned();
    for (cell, id) in cells.into_iter().zip(1..) {
        writeln!(csv, "{id},\"{}\"", cell.replace('"', "\"\"")).unwrap();
    }
    read(csv).unwrap()
}

#[test]
fn columns_in_any_order_and_others_beside_them() {
    let labels = read("year, genre ,id\r\n1990,Drama,5\n1990, Comedy,5\n2000,Horror,2\n").unwrap();
    assert_eq!(labels.genres, ["Comedy", "Drama", "Horror"]);
    assert_eq!(labels.films.clone().into_iter().collect::<Vec<_>>(), [(2, vec![2]), (5, vec![0, 1])]);
    assert_eq!((labels.rows, labels.warnings.len()), (3, 0));
}

#[test]
fn a_byte_order_mark_and_quotes_are_no_obstacle() {
    let labels = read("\u{FEFF}id,genre\n1,\"Science Fiction\"\n2, \"Film-Noir\" \n").unwrap();
    assert_eq!(labels.genres, ["Film-Noir", "Science Fiction"]);
}

#[test]
fn the_columns_may_be_named_in_capitals_and_as_a_plural() {
    for header in ["ID,Genre", "id,genres", "Id , GENRES"] {
        assert_eq!(read(format!("{header}\n1,Drama\n")).unwrap().genres, ["Drama"]);
    }
    for header in ["id,genre,Genre", "id,genre,genres", "ID,id,genre"] {
        let (error, _) = refused(format!("{header}\n1,Drama,Comedy\n"));
        assert!(error.contains("row 1: several columns may be `"), "{error}");
    }
}

#[test]
fn malformed_rows_are_counted_and_named_and_the_rest_is_read() {
    let mut csv = b"id,genre\n1,Drama\ntt7,Drama\n2,\n3,Drama,x\n4\n".to_vec();
    csv.extend(b"5,Dr\xFFma\n-6,Drama\n7,['A\n8,Drama\n99999999999999999999,Drama\n9,Dr\0ma\n");
    let labels = read(csv).unwrap();
    assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [1, 8]);
    assert_eq!(labels.ledger.count(MALFORMED_ROWS), 8);
    assert_eq!(labels.ledger.count(ROWS_WITHOUT_GENRE), 1);
    assert_eq!(labels.rows, 11);
    let expected = [
        "row 3: the id `tt7` is not a number; write the digits alone, here and in the poster's file name",
        "row 5: 3 fields where the header has 2; ",
        "row 6: 1 fields where the header has 2; ",
        "row 7: `Dr\u{FFFD}ma` is not UTF-8; save the file as UTF-8",
        "row 8: the id `-6` is not a number; ",
        "row 9: the genre `['A` begins as a list and cannot be read as one; ",
        "row 11: the id `99999999999999999999` is too large; ",
        "row 12: the genre `Dr\\u{0}ma` holds a control character; ",
    ];
    assert_eq!(labels.warnings.len(), expected.len(), "{:?}", labels.warnings);
    for (warning, expected) in labels.warnings.iter().zip(expected) {
        assert!(warning.contains(&format!("genres.csv, {expected}")), "{warning}");
    }
    assert_eq!(labels.ledger.entries()[0].names[0], "row 3: the id `tt7` is not a number");
}

#[test]
fn a_film_with_a_row_that_cannot_be_read_is_left_out_whole() {
    for bad in [&b"5,Com\xE9die"[..], b"5,Drama,Crime", b"5", b"5,['Crime", b"0005.0,Dr\x01ma"] {
        for bad_is_first in [true, false] {
            let (first, second) = if bad_is_first { (bad, &b"5,Thriller"[..]) } else { (&b"5,Thriller"[..], bad) };
            let labels = read([b"id,genre\n6,Drama\n", first, b"\n", second, b"\n"].concat()).unwrap();
            assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [6]);
            assert!(labels.unlabelled.contains(&5));
            assert_eq!((labels.ledger.count(MALFORMED_ROWS), labels.ledger.count(WITH_MALFORMED_ROW)), (1, 1));
        }
    }
}

#[test]
fn a_row_with_a_field_too_many_leaves_out_every_film_that_it_may_be_about() {
    let labels = read("year,genre,id\n1990,Drama,1\n1991,Drama,2\n1992,Crime,Drama,1\n3,Drama\n").unwrap();
    assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(labels.ledger.count(WITH_MALFORMED_ROW), 1);
    // Where the id comes first it is where it should be.
    let labels = read("id,year,genre\n1,1990,Drama\n1990,1990,Drama\n2,1990,Crime,Drama\n").unwrap();
    assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [1, 1990]);
}

#[test]
fn all_are_counted_but_only_ten_described() {
    let csv: String = (0..40).map(|i| format!("x{i},Drama\n")).collect();
    let labels = read(format!("id,genre\n{csv}1,Drama\n")).unwrap();
    assert_eq!(labels.ledger.count(MALFORMED_ROWS), 40);
    assert_eq!((labels.warnings.len(), labels.ledger.entries()[0].names.len()), (10, 40));
}

#[test]
fn ids_are_numbers_however_they_are_padded() {
    let labels = read("id,genre\n0000001,Drama\n1,Comedy\n2.0,Drama\n\"3\",Drama\n 4 ,Drama\n").unwrap();
    assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(genres(&labels, 1), ["Comedy", "Drama"]);
    for id in ["1.5", "1.", ".0", "+1", "1e3", "", "\u{663}"] {
        let (error, _) = refused(format!("id,genre\n{id},Drama\n"));
        assert!(error.contains(&format!("the id `{id}` is not a number")), "{error}");
    }
}

#[test]
fn a_row_may_say_that_there_is_no_genre() {
    let nothing =
        ["", "  ", "nan", "NaN", "N/A", "None", "NULL", "null", "\\N", "<NA>", "[]", "[None]", "(no genres listed)"];
    let labels = cells(nothing.into_iter().chain(["Drama", "['Drama', nan]"]));
    let last = nothing.len() as u64 + 1;
    assert_eq!(labels.genres, ["Drama"]);
    assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [last, last + 1]);
    assert_eq!(labels.ledger.count(MALFORMED_ROWS), 0);
    assert_eq!(labels.ledger.count(ROWS_WITHOUT_GENRE), nothing.len() as u64);
    assert_eq!(labels.ledger.count(WITHOUT_GENRE), nothing.len() as u64);
    assert!(labels.unlabelled.contains(&1) && labels.warnings.is_empty());
    let both = read("id,genre\n1,nan\n1,Drama\n").unwrap();
    assert_eq!((genres(&both, 1), both.ledger.count(WITHOUT_GENRE)), (vec!["Drama"], 0));
    let (error, _) = refused("id,genre\n1,nan\n2,\n");
    assert!(error.contains("no film is left of 2 rows, of which 0 cannot be read; "), "{error}");
}

#[test]
fn repeated_rows_are_kept_apart() {
    let labels = read("id,genre\n1,Drama\n1,Drama\n1,Comedy\n1,Drama\n1,drama|Comedy\n1,Drama|Crime\n").unwrap();
    assert_eq!(genres(&labels, 1), ["Comedy", "Crime", "Drama"]);
    assert_eq!(labels.repeats, [(1, 3), (1, 5), (1, 6)]);
}

#[test]
fn a_list_is_several_genres() {
    for list in [
        "['Drama', 'Science Fiction']",
        "[\"Drama\", \"Science Fiction\"]",
        "[Drama, Science Fiction]",
        "['Drama' 'Science Fiction']",
        "{Drama,\"Science Fiction\"}",
        "('Drama', 'Science Fiction',)",
        "Drama|Science Fiction",
        " Drama | Science Fiction | ",
        "[\"Drama\",\"Science\\u0020Fiction\"]",
    ] {
        let labels = cells([list]);
        assert_eq!(labels.genres, ["Drama", "Science Fiction"], "{list}");
        let [note] = &labels.warnings[..] else { panic!("{:?}", labels.warnings) };
        let start = format!("1 cells of genres.csv hold several genres, such as `{}`; they were ", list.trim());
        assert!(note.starts_with(&start), "{note}");
    }
    let labels = cells(["['Documentary']", "['Schindler\\'s', \"Children's\"]", "(Short)"]);
    assert_eq!(labels.genres, ["(Short)", "Children's", "Documentary", "Schindler's"]);
    for broken in ["['Drama", "[{'id': 18, 'name': 'Drama'}]", "['A', 'B]", "{\"a\": 1}", "[[A]]"] {
        let (error, _) = refused(format!("id,genre\n1,\"{}\"\n", broken.replace('"', "\"\"")));
        assert!(error.contains("begins as a list and cannot be read as one"), "{error}");
    }
}

#[test]
fn a_cell_is_split_where_its_parts_are_genres_of_their_own() {
    for (separator, shown) in [(", ", "`,`"), (",", "`,`"), ("/", "`/`"), (" / ", "`/`"), (";", "`;`"), ("\n", "line")]
    {
        let pair = |a: &str, b: &str| format!("{a}{separator}{b}");
        let both = pair("Drama", "Science Fiction");
        let labels = cells([&*both, "Drama", "Science Fiction", "Western", &pair("Western", "Drama")]);
        assert_eq!(labels.genres, ["Drama", "Science Fiction", "Western"]);
        assert_eq!(
            (genres(&labels, 1), genres(&labels, 5)),
            (vec!["Drama", "Science Fiction"], vec!["Drama", "Western"])
        );
        let [note] = &labels.warnings[..] else { panic!("{:?}", labels.warnings) };
        assert!(note.starts_with("2 cells of genres.csv hold several genres, such as `Drama"), "{note}");
        assert!(note.contains(&format!("; they were split at {shown}")), "{note}");
    }
}

#[test]
fn a_cell_is_split_where_its_parts_come_in_other_combinations() {
    let labels = cells(["Drama, Crime", "Crime, Western", "Western, Drama", "drama, crime"]);
    assert_eq!(labels.genres, ["Crime", "Drama", "Western"]);
    // Where nearly all are clear, a name that comes once is split, too.
    let names = ["A", "B", "C", "D", "E"];
    let pairs = names.iter().flat_map(|a| names.iter().map(move |b| format!("{a}/{b}")));
    let all: Vec<String> = pairs.chain(["A/Rare".to_owned()]).collect();
    let labels = cells(all.iter().map(String::as_str));
    assert_eq!(labels.genres, ["A", "B", "C", "D", "E", "Rare"]);
}

#[test]
fn a_genre_whose_name_holds_a_separator_stays_whole_and_is_named() {
    let labels =
        cells(["Sci-Fi/Fantasy", "Action/Adventure", "Rock, Pop", "Drama", "sci-fi/fantasy", "R&B; Soul", "/"]);
    assert_eq!(labels.genres, ["/", "Action/Adventure", "Drama", "R&B; Soul", "Rock, Pop", "Sci-Fi/Fantasy"]);
    let whole = labels.warnings.iter().find(|warning| warning.contains("taken for one genre")).unwrap();
    assert!(
        whole.starts_with("5 names of genres hold `,`, `;`, `/` or a line break, such as `Sci-Fi/Fantasy`: "),
        "{whole}"
    );
    // A list separated by something else leaves it alone.
    let labels = cells(["Drama, Sci-Fi/Fantasy", "Drama", "Sci-Fi/Fantasy"]);
    assert_eq!(labels.genres, ["Drama", "Sci-Fi/Fantasy"]);
    assert_eq!(genres(&labels, 1), ["Drama", "Sci-Fi/Fantasy"]);
}

#[test]
fn spellings_of_one_genre_are_one_genre() {
    let labels = cells([
        "Science Fiction",
        "science fiction",
        "Science\u{a0}Fiction",
        "Science  Fiction",
        "\u{2003}Science Fiction\u{a0}",
        "\u{e9}tude",
        "e\u{301}tude",
        "e\u{301}tude",
        "DRAMA",
        "Drama",
    ]);
    assert_eq!(labels.genres, ["Drama".replace("rama", "RAMA"), "Science Fiction".into(), "\u{e9}tude".into()]);
    let mut expected = vec![
        "`DRAMA` is also written `Drama` in genres.csv; they are one genre".to_owned(),
        "`Science Fiction` is also written `Science  Fiction`, `Science\\u{a0}Fiction`, `science fiction` in \
         genres.csv; they are one genre"
            .to_owned(),
        "`\u{e9}tude` is also written `e\\u{301}tude` in genres.csv; they are one genre".to_owned(),
    ];
    expected.sort();
    let mut warnings = labels.warnings.clone();
    warnings.sort();
    assert_eq!(warnings, expected);
    assert_eq!(cells(["Drama", "Drama\u{200b}", "\u{feff}Drama"]).genres, ["Drama"]);
    assert_eq!(cells(["drama", "Drama", "drama"]).genres, ["drama"], "the most frequent is shown");
}

#[test]
fn notes_are_few_however_many_genres_there_are() {
    let all: Vec<String> = (0..100).flat_map(|i| ["genre", "Genre"].map(|name| format!("{name} {i}"))).collect();
    let labels = cells(all.iter().map(String::as_str));
    assert_eq!((labels.genres.len(), labels.warnings.len()), (100, 6));
    assert!(labels.warnings[5].starts_with("95 more genres"), "{}", labels.warnings[5]);
}

#[test]
fn line_breaks_between_quotes_are_read_and_lines_counted_as_an_editor_does() {
    for end in ["\n", "\r\n", "\r"] {
        let csv =
            "id,genre,overview\n1,Drama,\"one\n\ntwo, \"\"three\"\"\"\n\nx,Drama,\"four\n\"\n2,\"Science\nFiction\",\n";
        let labels = read(csv.replace('\n', end)).unwrap();
        assert_eq!(labels.genres, ["Drama", "Science Fiction"]);
        assert_eq!(labels.rows, 3);
        assert!(labels.warnings[0].contains("genres.csv, row 6: the id `x`"), "{:?}", labels.warnings);
    }
}

#[test]
fn other_columns_may_hold_anything() {
    let mut csv =
        b"id,genre,overview\n1,Drama,\xFF\xFE\0\x1B[2J\n2,Drama,\"say \"hi\" twice\"\n3,Drama,5\" disk\n".to_vec();
    csv.extend(b"4,Drama,");
    csv.extend(b"z".repeat(900_000));
    csv.extend(b"\n5,Drama,\"=1+1\"");
    let labels = read(csv).unwrap();
    assert_eq!((labels.films.len(), labels.warnings.len()), (5, 0));
}

#[test]
fn a_quote_that_is_not_closed_is_named_where_it_opens() {
    let long = format!("id,genre\n1,Drama\n2,\"Drama\n{}", "3,Comedy\n".repeat(200_000));
    for (csv, text) in [
        ("id,genre\n1,Drama\n2,\"Drama\n3,Comedy\n", "row 3: a quote that opens here is not closed before the end"),
        (
            "id,genre,a\n1,Drama,\"x\n2,Drama,\"y\"\n",
            "row 2: a quote that opens here is closed only in row 3, with text",
        ),
        ("id,genre\n1,\"Drama\n3,Comedy\"\n", "row 2: the quotes around the genre hold other rows; close the quote"),
        (&long, "row 3: a quote that opens here is not closed within 1 MiB; close the quote"),
    ] {
        let (error, code) = refused(csv);
        assert!(error.contains(text) && code == 3, "{error}");
    }
}

#[test]
fn files_that_cannot_be_used_say_what_they_need() {
    for (csv, text) in [
        ("", "the file is empty; it needs a header `id,genre`"),
        ("\n\n", "the file is empty; "),
        ("id,genre\n", "there are no rows below the header; each row must be"),
        ("film,genre\n1,Drama\n", "genres.csv, row 1: there is no column `id` in the header `film,genre`"),
        ("id;genre\n1;Drama\n", "row 1: the columns are separated by `;`, not by commas; save the file with commas"),
        ("\"id\"\t\"genre\"\n1\tDrama\n", "row 1: the columns are separated by tabs, not by commas; "),
        ("sep=;\nid;genre\n1;Drama\n", "row 1: `sep=;` is a line for Excel alone; remove this line"),
        ("sep=,\nid,genre\n1,Drama\n", "row 1: `sep=,` is a line for Excel alone; remove this line"),
        ("id,kind\n1,Drama\n", "there is no column `genre`"),
        ("id,genre\nx,Drama\ny,Drama\n", "none of the 2 rows can be read; the first: "),
    ] {
        let (error, code) = refused(csv);
        assert!(error.contains(text), "{error}");
        assert_eq!(code, 3, "{error}");
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    let wide = |encode: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}id,genre\n1,Drama\n").encode_utf16().flat_map(encode).collect()
    };
    let utf32: Vec<u8> = "id,genre\n".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    for (bytes, kind) in [
        (wide(u16::to_le_bytes, "\u{feff}"), "UTF-16 text"),
        (wide(u16::to_be_bytes, "\u{feff}"), "UTF-16 text"),
        (wide(u16::to_le_bytes, ""), "UTF-16 text"),
        (wide(u16::to_be_bytes, ""), "UTF-16 text"),
        (utf32, "UTF-32 text"),
        (b"\x1F\x8B\x08\0\0\0\0\0\0\x03".to_vec(), "a gzip file"),
        (b"PK\x03\x04\x14\0".to_vec(), "a ZIP archive"),
        (b"SQLite format 3\0".to_vec(), "an SQLite database"),
        (b"PAR1\x15".to_vec(), "a Parquet file"),
        (format!("[{}]", "{\"id\":1,\"genre\":\"Drama\"},".repeat(10_000)).into_bytes(), "JSON"),
        (b" {\"id\": [1]}".to_vec(), "JSON"),
        (b"<!DOCTYPE html>".to_vec(), "HTML"),
    ] {
        let (error, code) = refused(bytes);
        assert!(error.contains(&format!("this is {kind}")) && error.contains("not CSV in UTF-8; "), "{error}");
        assert!(code == 3 && error.len() < 300, "{error}");
    }
}

#[test]
fn an_error_quotes_little_of_the_file() {
    let long = "x\u{1b}[2J".repeat(100_000);
    for csv in [
        format!("{long}\n"),
        format!("id,genre\n{long},Drama\n"),
        format!("id,genre\n1,{}\n", "a".repeat(500_000)),
        format!("id,genre\n1,[\"{}\n", &long[..900]),
    ] {
        let (error, _) = refused(csv);
        assert!(error.chars().count() < 500, "{error}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let (error, _) = refused(format!("id,genre\n1,Drama{}\n", ",x".repeat(1000)));
    assert!(error.contains("row 2: the row has more than 1000 fields"), "{error}");
    let (error, _) = refused(format!("id,genre\n1,{}\n", "x".repeat(1 << 20)));
    assert!(error.contains("row 2: the row is longer than 1 MiB"), "{error}");
    let (error, _) = refused(format!("id,genre\n1,{}\n", "x".repeat(1001)));
    assert!(error.contains("has more than 1000 bytes"), "{error}");
    let (error, _) = refused(format!("id,genre\n1,Drama\n{}", "x,Drama\n".repeat(1_000_001)));
    assert!(error.contains("more than 1000000 rows cannot be read; the first: "), "{error}");
    let many: String = (0..70_000).map(|i| format!("{i},genre {i}\n")).collect();
    let (error, _) = refused(format!("id,genre\n{many}"));
    assert!(error.contains("more than 65536 genres, such as `genre 0`; "), "{error}");
    let many: String = (0..300_000).map(|i| format!("{i},title {i}\n")).collect();
    let (error, _) = refused(format!("id,genre\n{many}"));
    assert!(error.contains("row 262146: the genre column holds more than 262144 different cells, "), "{error}");
    // Each with 500 names: some gigabytes, were all of them taken apart.
    let rows: String = (0..9000).map(|i| format!("{i},{i}{}\n", "|a".repeat(480))).collect();
    let (error, _) = refused(format!("id,genre\n{rows}"));
    assert!(error.contains("the different cells of the genre column hold more than 4194304 names"), "{error}");
}

#[test]
fn many_genres_take_no_longer_than_as_many_rows() {
    // A film has them all, and each film has one.
    let rows: String = (0..60_000).map(|i| format!("{i},genre {i}\n0,genre {i}\n")).collect();
    let begin = Instant::now();
    let labels = read(format!("id,genre\n{rows}")).unwrap();
    assert_eq!((labels.genres.len(), labels.films[&0].len()), (60_000, 60_000));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_or_device_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("genres.csv");
    let device = folder.path().join("zero");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    for path in [&*pipe, &*device, folder.path()] {
        let error = Labels::read_csv(path).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error_of_the_system() {
    let error = Labels::read_csv(std::path::Path::new("/nowhere/genres.csv")).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().starts_with("/nowhere/genres.csv: cannot read the labels: "), "{error}");
}

proptest! {
    #[test]
    fn what_a_csv_writer_writes_is_read_whatever_other_columns_hold(
        notes in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"\",\n\r a\0\xFF;|="[..]), 0..12), 1..20),
    ) {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(["note", "id", "genre", "more"]).unwrap();
        for (note, id) in notes.iter().zip(1..) {
            let (id, genre) = (format!("{id}"), format!("genre {id}"));
            csv.write_record([&note[..], id.as_bytes(), genre.as_bytes(), &note[..]]).unwrap();
        }
        let labels = read(csv.into_inner().unwrap()).unwrap();
        prop_assert_eq!(labels.films.len(), notes.len());
        prop_assert_eq!(labels.warnings.len(), 0);
        for id in 1..=notes.len() as u64 {
            prop_assert_eq!(genres(&labels, id), [format!("genre {id}")]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(prop::sample::select(&b"1234,,,\n\n\n\r\"\"'[]{}|/;ABab \0\xC3\xA9\\"[..]), 0..200),
    ) {
        let csv = [b"id,genre\n", &bytes[..]].concat();
        if let Ok(labels) = read(&csv) {
            for genres in labels.films.values() {
                prop_assert!(!genres.is_empty() && genres.is_sorted_by(|a, b| a < b));
                prop_assert!(genres.iter().all(|&genre| genre < labels.genres.len()));
            }
            prop_assert!(labels.genres.is_sorted_by(|a, b| a < b));
            prop_assert!(labels.genres.iter().all(|genre| !genre.is_empty() && !genre.contains(['|', '\n', '\0'])));
            prop_assert!(labels.unlabelled.iter().all(|id| !labels.films.contains_key(id)));
        }
    }
}
