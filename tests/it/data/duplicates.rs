use onesheet::data::duplicates::duplicates;
use onesheet::data::films::Films;
use onesheet::data::ledger::DUPLICATE_POSTERS;

use super::{child, is_child, jpeg, letterboxd, posters, use_up_file_handles, write};

#[test]
fn posters_with_the_same_bytes_are_found_whatever_their_order() {
    let data = letterboxd("id,genre\n1,Drama\n", 1..=9);
    let posters = posters(data.path());
    assert_eq!(duplicates(&posters, &[1, 2, 3]).unwrap(), []);
    write(data.path(), "posters/7.jpg", jpeg(2, 20, 30));
    write(data.path(), "posters/4.jpg", jpeg(2, 20, 30));
    write(data.path(), "posters/8.jpg", jpeg(5, 20, 30));
    assert_eq!(duplicates(&posters, &[9, 8, 7, 6, 5, 4, 3, 2, 1]).unwrap(), [(4, 2), (7, 2), (8, 5)]);
    assert_eq!(duplicates(&posters, &[4, 7, 8]).unwrap(), [(7, 4)], "only among those that are asked about");
}

/// Tests files that differ in a single byte anywhere, but not in length.
#[test]
fn one_byte_makes_a_difference() {
    let data = letterboxd("id,genre\n1,Drama\n", 1..=1);
    let posters = posters(data.path());
    let file = jpeg(1, 200, 300);
    assert!(file.len() > 2 * 4096, "the start is not part of the end: {}", file.len());
    for (id, at) in [(2, 700), (3, file.len() - 5000), (4, file.len() - 10)] {
        let mut other = file.clone();
        other[at] ^= 1;
        write(data.path(), &format!("posters/{id}.jpg"), other);
    }
    write(data.path(), "posters/5.jpg", &file);
    write(data.path(), "posters/1.jpg", &file);
    assert_eq!(duplicates(&posters, &[1, 2, 3, 4, 5]).unwrap(), [(5, 1)]);
}

#[test]
fn what_is_no_poster_has_no_duplicates() {
    let data = letterboxd("id,genre\n1,Drama\n", 1..=1);
    let posters = posters(data.path());
    for id in [2, 3] {
        write(data.path(), &format!("posters/{id}.jpg"), "<html>not found</html>");
    }
    for id in [4, 5] {
        write(data.path(), &format!("posters/{id}.jpg"), "");
    }
    std::fs::create_dir(posters.file(6)).unwrap();
    std::fs::create_dir(posters.file(7)).unwrap();
    assert_eq!(duplicates(&posters, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap(), []);
}

#[test]
fn a_group_is_trained_on_once_under_its_smallest_id() {
    let csv = "id,genre\n1,Drama\n2,Comedy\n3,Drama\n3,Horror\n4,Horror\n";
    let data = letterboxd(csv, 1..=4);
    for id in [2, 3, 4] {
        write(data.path(), &format!("posters/{id}.jpg"), jpeg(9, 20, 30));
    }
    let ids = |max_genres| {
        let films = Films::open(data.path(), Some(max_genres)).unwrap();
        assert_eq!(films.ledger.count(DUPLICATE_POSTERS), if max_genres == 1 { 1 } else { 2 });
        films.films.iter().map(|film| film.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(3), [1, 2]);
    // Films that the experiment drops beforehand are not in its groups.
    assert_eq!(ids(1), [1, 2]);
}

#[test]
fn out_of_file_handles_there_is_no_answer() {
    if !is_child() {
        let output = child("data::duplicates::out_of_file_handles_there_is_no_answer", &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let data = letterboxd("id,genre\n1,Drama\n", 1..=2);
    write(data.path(), "posters/2.jpg", jpeg(1, 20, 30));
    let posters = posters(data.path());
    let none_left = use_up_file_handles();
    let error = duplicates(&posters, &[1, 2]).unwrap_err();
    assert!(error.to_string().contains("; raise the limit of open files"), "{error}");
    drop(none_left);
    assert_eq!(duplicates(&posters, &[1, 2]).unwrap(), [(2, 1)]);
}
