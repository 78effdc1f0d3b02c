use onesheet::data::labels::Labels;
use onesheet::data::ledger::MALFORMED_ROWS;

fn read(csv: impl AsRef<[u8]>) -> onesheet::Result<Labels> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("genres.csv");
    std::fs::write(&path, csv).unwrap();
    Labels::read_csv(&path)
}

/// The text of the error, which must be one line, and its exit code.
fn refused(csv: &str) -> (String, u8) {
    let error = read(csv).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("genres.csv") && !text.contains('\n'), "{text}");
    (text, error.exit_code())
}

#[test]
fn columns_in_any_order_and_others_beside_them() {
    let labels = read("year, genre ,id\r\n1990,Drama,5\n1990, Comedy,5\n2000,Horror,2\n").unwrap();
    assert_eq!(labels.genres, ["Comedy", "Drama", "Horror"]);
    assert_eq!(labels.films.into_iter().collect::<Vec<_>>(), [(2, vec![2]), (5, vec![0, 1])]);
}

#[test]
fn a_byte_order_mark_and_quotes_are_no_obstacle() {
    let labels = read("\u{FEFF}id,genre\n1,\"Science Fiction\"\n").unwrap();
    assert_eq!(labels.genres, ["Science Fiction"]);
}

#[test]
fn malformed_rows_are_counted_and_named_and_the_rest_is_read() {
    let mut csv = b"id,genre\n1,Drama\ntt7,Drama\n2,\n3,Drama,x\n4\n".to_vec();
    csv.extend(b"5,Dr\xFFma\n-6,Drama\n7,A|B\n8,Drama\n99999999999999999999,Drama\n");
    let labels = read(csv).unwrap();
    assert_eq!(labels.films.keys().copied().collect::<Vec<_>>(), [1, 8]);
    assert_eq!(labels.ledger.count(MALFORMED_ROWS), 8);
    let warnings: Vec<String> = labels.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "row 3: the id `tt7` is not a number; write the digits",
        "row 4: the genre is empty; ",
        "row 5: 3 fields where the header has 2; ",
        "row 6: 1 fields where the header has 2; ",
        "row 7: `Dr\u{FFFD}ma` is not UTF-8; save the file as UTF-8",
        "row 8: the id `-6` is not a number; ",
        "row 9: the genre `A|B` contains `|`; ",
        "row 11: the id `99999999999999999999` is not a number; ",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.contains(&format!("genres.csv, {expected}")), "{warning}\n{expected}");
    }
    assert_eq!(labels.ledger.entries()[0].names[0], "row 3: the id `tt7` is not a number");
}

#[test]
fn all_are_counted_but_only_ten_described() {
    let csv: String = (0..40).map(|i| format!("x{i},Drama\n")).collect();
    let labels = read(format!("id,genre\n{csv}1,Drama\n")).unwrap();
    assert_eq!(labels.ledger.count(MALFORMED_ROWS), 40);
    assert_eq!((labels.warnings.len(), labels.ledger.entries()[0].names.len()), (10, 40));
}

#[test]
fn repeated_rows_are_kept_apart() {
    let labels = read("id,genre\n1,Drama\n1,Drama\n1,Comedy\n1,Drama\n").unwrap();
    assert_eq!(labels.films[&1], [0, 1]);
    assert_eq!(labels.repeats, [(1, 3), (1, 5)]);
}

#[test]
fn files_that_cannot_be_used_say_what_they_need() {
    for (csv, text) in [
        ("", "the file is empty; it needs a header `id,genre`"),
        ("id,genre\n", "there are no rows below the header; each row must be"),
        ("film,genre\n1,Drama\n", "genres.csv, row 1: there is no column `id` in the header `film,genre`"),
        ("id;genre\n1;Drama\n", "there is no column `id` in the header `id;genre`"),
        ("id,kind\n1,Drama\n", "there is no column `genre`"),
        ("id,genre\nx,Drama\ny,Drama\n", "none of the 2 rows can be read; the first: "),
        ("id,genre\n1,Drama\n2,\"Drama\n3,Comedy\n", "row 3: a quoted field runs over the end of its line"),
    ] {
        let (error, code) = refused(csv);
        assert!(error.contains(text), "{error}");
        assert_eq!(code, 3, "{error}");
    }
}

#[test]
fn a_missing_file_is_an_error_of_the_system() {
    let error = Labels::read_csv(std::path::Path::new("/nowhere/genres.csv")).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().starts_with("/nowhere/genres.csv: cannot read the genres: "), "{error}");
}
