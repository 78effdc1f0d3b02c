use std::collections::BTreeSet;
use std::fmt::Write;

use onesheet::data::labels::beside::{Topic, Topics, Values};
use onesheet::data::ledger::{MALFORMED_ROWS, WITH_MALFORMED_ROW};

/// What a file says of the films 1 to 9.
fn read(topic: Topic, csv: impl AsRef<[u8]>) -> onesheet::Result<Values> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(topic.file()), csv).unwrap();
    Values::read_csv(folder.path(), topic, &(1..=9).collect())
}

/// The text of the error, which must be one line that names the file.
fn refused(topic: Topic, csv: impl AsRef<[u8]>) -> String {
    let error = read(topic, csv).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(topic.file()) && !text.contains(char::is_control), "{text}");
    assert_eq!(error.exit_code(), 3);
    text
}

/// The names of a film's values.
fn of(values: &Values, id: u64) -> Option<Vec<&str>> {
    Some(values.films.get(&id)?.iter().map(|&value| values.names[value].as_str()).collect())
}

#[test]
fn each_file_is_read_by_the_names_of_its_columns() {
    let languages = "id,type,language\n1,Language,English\n2,Primary language,Japanese\n2,Spoken language,English\n";
    for (topic, csv, [one, two]) in [
        (Topic::Themes, "id,theme\n1,Monster attacks\n2,Monster attacks\n2,\"Epic, moving\"\n", [1, 2]),
        (Topic::Countries, "country,id\nJapan,1\nJapan,2\nFrance,2\n", [1, 2]),
        (Topic::Languages, languages, [1, 2]),
        (Topic::Studios, "id,studio\n1,Toho\n2,Toho\n2,Gaumont\n", [1, 2]),
        (Topic::Decade, "id,name,date,tagline\n1,A,1994,\"x, y\"\n2,B,2003.0,\n", [1, 1]),
    ] {
        let values = read(topic, csv).unwrap();
        assert_eq!((values.films[&1].len(), values.films[&2].len()), (one, two), "{topic}");
        assert_eq!((values.topic, values.others, values.warnings.len()), (topic, 0, 0));
    }
}

#[test]
fn a_cell_is_one_name_whatever_it_holds() {
    let names = ["20th Century/Fox", "A | B", "Me, Myself; I", "[adult swim]", "('x"];
    let mut csv = "id,studio\n".to_owned();
    for (name, id) in names.iter().chain(&["A | B", "a |  B"]).zip(1..) {
        writeln!(csv, "{id},\"{name}\"").unwrap();
    }
    // Parts of a name that are studios, too, do not take it apart.
    csv += "8,Me\n8,Fox\n";
    let values = read(Topic::Studios, csv).unwrap();
    for (name, id) in names.iter().zip(1..) {
        assert_eq!(of(&values, id), Some(vec![*name]));
    }
    assert_eq!(of(&values, 7), Some(vec!["A | B"]), "spellings of one name are one");
    assert!(values.warnings.is_empty(), "{:?}", values.warnings);
}

#[test]
fn a_year_is_a_decade_however_it_is_written() {
    let csv = "id,date\n1,1990\n2,1999.0\n3,1994-05-01\n4, 2000 \n5,\n6,nan\n";
    let values = read(Topic::Decade, csv).unwrap();
    assert_eq!(values.names, ["1990s", "2000s"]);
    for (id, decade) in [(1, "1990s"), (2, "1990s"), (3, "1990s"), (4, "2000s")] {
        assert_eq!(of(&values, id), Some(vec![decade]));
    }
    assert_eq!((of(&values, 5), of(&values, 6)), (None, None), "a film without a year is not named");
    assert_eq!(values.ledger.count("rows without a year"), 2);
    for wrong in ["94", "19945", "1994.5", "0000", "soon", "19\u{e9}", "1.99e3", "-1994", "1994/5"] {
        let values = read(Topic::Decade, format!("id,date\n1,1990\n2,{wrong}\n")).unwrap();
        assert_eq!((of(&values, 2), values.ledger.count(MALFORMED_ROWS)), (None, 1), "{wrong}");
        let warning = &values.warnings[0];
        assert!(warning.contains("movies.csv, row 3: ") && warning.contains("write the year in four"), "{warning}");
    }
}

#[test]
fn a_film_with_a_row_that_cannot_be_read_is_not_named() {
    let csv = "id,theme\n1,Good\n1,\"\u{1}\"\n2,Good,or not\n3,Good\n?,Good\n4,\n";
    let values = read(Topic::Themes, csv).unwrap();
    assert_eq!(values.films.keys().collect::<Vec<_>>(), [&3]);
    let counts = [MALFORMED_ROWS, WITH_MALFORMED_ROW, "rows without a theme", "films without a theme"];
    assert_eq!(counts.map(|reason| values.ledger.count(reason)), [3, 2, 1, 1]);
    assert_eq!((values.rows, values.warnings.len()), (6, 3));
    assert!(values.warnings[0].contains("themes.csv, row 3: the theme `"), "{}", values.warnings[0]);
}

#[test]
fn what_is_said_of_other_films_is_counted_and_not_kept() {
    let mut csv = "id,studio\n7,Toho\n".to_owned();
    // More different studios than a file may name.
    for id in 10..1_200_000 {
        writeln!(csv, "{id},{id}").unwrap();
    }
    let values = read(Topic::Studios, csv).unwrap();
    assert_eq!((values.rows, values.others), (1_199_991, 1_199_990));
    assert_eq!((values.names, values.films.len()), (vec!["Toho".to_owned()], 1));
    assert!(values.ledger.entries().iter().all(|of| of.names.is_empty()));
}

#[test]
fn files_that_cannot_be_used_say_what_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Values::read_csv(folder.path(), Topic::Countries, &BTreeSet::new()).unwrap_err().to_string();
    assert!(missing.contains("countries.csv: there is no such file"), "{missing}");
    assert!(missing.contains("leave countries out of --auxiliary"), "{missing}");
    let none = refused(Topic::Themes, "id,theme\n77,Good\n78,Good\n");
    assert!(none.contains("none of the 2 rows is about a film with a poster"), "{none}");
    let column = refused(Topic::Decade, "id,name\n1,A\n");
    assert!(
        column.contains("there is no column `date`") && column.contains("name the columns `id` and `date`"),
        "{column}"
    );
    let commas = refused(Topic::Countries, "id;country\n1;Japan\n");
    assert!(commas.contains("separated by `;`"), "{commas}");
    let empty = refused(Topic::Studios, "");
    assert!(empty.contains("it needs a header `id,studio`"), "{empty}");
    let all = refused(Topic::Decade, "id,date\n1,soon\n2,later\n");
    assert!(all.contains("none of the 2 rows can be read") && all.contains("as in `123,1994`"), "{all}");
    let quote = refused(Topic::Themes, "id,theme\n1,\"Good\n2,Bad\n3,\"\n");
    assert!(quote.contains("row 2: the quotes around the theme hold other rows"), "{quote}");
}

#[test]
fn topics_are_named_in_a_list() {
    let topics = |text: &str| text.parse::<Topics>();
    assert_eq!(topics("none").unwrap(), Topics::default());
    assert_eq!(topics("studios,Themes, decade,themes").unwrap().all(), [Topic::Themes, Topic::Decade, Topic::Studios]);
    for all in [topics("none").unwrap(), topics("languages,countries").unwrap()] {
        assert_eq!(topics(&all.to_string()).unwrap(), all);
    }
    for wrong in ["", "genres", "themes,", "themes;decade", "none,themes"] {
        assert!(topics(wrong).unwrap_err().contains("themes,countries,languages,decade,studios"), "{wrong}");
    }
}
