use onesheet::data::ledger::Ledger;
use onesheet::files::write_json;

fn example() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.declare("malformed rows");
    for id in 0..12 {
        ledger.add("films without a poster", id.to_string());
    }
    ledger.add("duplicate rows", "row 9");
    ledger
}

#[test]
fn counts_and_names_all() {
    let ledger = example();
    assert_eq!(ledger.count("films without a poster"), 12);
    assert_eq!(ledger.count("no such reason"), 0);
    assert_eq!(ledger.entries()[1].names, (0..12).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[test]
fn shows_a_table_in_the_order_of_the_steps() {
    let expected = "        0  malformed rows\n       \
        12  films without a poster: 0, 1, 2, 3, ...\n        1  duplicate rows: row 9\n";
    assert_eq!(example().to_string(), expected);
}

#[test]
fn names_are_shown_short_and_safe() {
    let mut ledger = Ledger::default();
    ledger.add("files not named <id>.jpg", format!("\u{1b}[2J{}", "x".repeat(250)));
    let text = ledger.to_string();
    assert!(text.contains("\\u{1b}[2Jxxx") && text.ends_with("xxx...\n") && text.len() < 130, "{text}");
}

#[test]
fn a_later_ledger_is_added_to_an_earlier() {
    let mut both = example();
    let mut later = Ledger::default();
    later.add("duplicate rows", "row 30");
    later.add("posters refused (truncated)", "5.jpg");
    both.extend(later);
    assert_eq!(both.count("duplicate rows"), 2);
    assert_eq!(both.entries()[2].names, ["row 9", "row 30"]);
    assert_eq!(both.entries()[3].reason, "posters refused (truncated)");
}

#[test]
fn is_written_as_a_list_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    write_json(&path, &example()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), example());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[1]["count"], 12);
    assert_eq!(json[1]["names"].as_array().unwrap().len(), 12);
}
