use onesheet::data::films::Films;
use onesheet::data::layout::{PosterFolder, poster_id};
use onesheet::data::ledger::{
    DUPLICATE_POSTERS, DUPLICATE_ROWS, Ledger, MALFORMED_ROWS, OTHER_FILES, ROWS_WITHOUT_GENRE, SECOND_FILES,
    WITH_MALFORMED_ROW, WITHOUT_FILM, WITHOUT_GENRE, WITHOUT_POSTER,
};

use super::{letterboxd, write};

#[test]
fn cleans_in_order_and_counts_each_step() {
    let csv = "id,genre\n1,Drama\n1,Drama\n2,Comedy\n2,Comedy\n3,A\n3,B\n3,C\n3,Western\n4,Horror\nx,Drama\n5,Drama\n5,Comedy\n\
               6,Drama\n6,Drama,\n7,nan\n";
    let data = letterboxd(csv, [1, 3, 5, 6, 7, 8, 9]);
    write(&data.path().join("posters"), "4.png", "");
    write(&data.path().join("posters"), "05.jpg", "");
    write(&data.path().join("posters"), "5a.jpg", "");
    let films = Films::open(data.path(), Some(3)).unwrap();

    let count = |reason| films.ledger.count(reason);
    assert_eq!(count(MALFORMED_ROWS), 2);
    assert_eq!(count(ROWS_WITHOUT_GENRE), 1);
    assert_eq!(count(WITH_MALFORMED_ROW), 1, "film 6");
    assert_eq!(count(WITHOUT_GENRE), 1, "film 7");
    assert_eq!(count(WITHOUT_POSTER), 2, "films 2 and 4");
    assert_eq!(count(WITHOUT_FILM), 2, "posters 8 and 9");
    assert_eq!(count(OTHER_FILES), 2);
    assert_eq!(count(SECOND_FILES), 1, "05.jpg beside 5.jpg");
    assert_eq!(count(DUPLICATE_ROWS), 1, "film 2 is gone before its repeated row is looked at");
    assert_eq!(count("films with more than 3 genres"), 1);
    let reasons: Vec<&str> = films.ledger.entries().iter().map(|entry| entry.reason.as_str()).collect();
    let labels = [MALFORMED_ROWS, ROWS_WITHOUT_GENRE, WITH_MALFORMED_ROW, WITHOUT_GENRE];
    let posters = [WITHOUT_POSTER, WITHOUT_FILM, OTHER_FILES, SECOND_FILES, DUPLICATE_ROWS];
    assert_eq!(reasons, [&labels[..], &posters, &["films with more than 3 genres", DUPLICATE_POSTERS]].concat());
    assert_eq!(films.warnings.len(), 2);
    assert_eq!(films.support(), [1, 2]);

    assert_eq!(films.genres, ["Comedy", "Drama"], "genres of dropped films are no classes");
    let kept: Vec<_> = films.films.iter().map(|film| (film.id, film.genres.clone())).collect();
    assert_eq!(kept, [(1, vec![1]), (5, vec![0, 1])]);
    assert_eq!(films.posters.name(5), "5.jpg");
}

#[test]
fn max_genres_is_an_upper_bound() {
    let data = letterboxd("id,genre\n1,A\n1,B\n2,A\n", [1, 2]);
    let ids = |max| Films::open(data.path(), max).unwrap().films.iter().map(|film| film.id).collect::<Vec<_>>();
    assert_eq!((ids(Some(1)), ids(Some(2)), ids(None)), (vec![2], vec![1, 2], vec![1, 2]));
    let unbounded = Films::open(data.path(), None).unwrap().ledger;
    assert!(unbounded.entries().iter().all(|entry| !entry.reason.starts_with("films with more than")), "{unbounded}");
}

#[test]
fn a_folder_without_the_layout_is_refused_by_name() {
    let data = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| {
        let error = Films::open(path, Some(3)).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        error.to_string()
    };
    let text = refused(&data.path().join("nowhere"));
    assert!(
        text.ends_with(
            "nowhere: there is no such folder; name a folder that holds `genres.csv` and `posters/<id>.jpg`"
        )
    );
    assert!(refused(data.path()).contains("genres.csv: there is no such file; "));
    write(data.path(), "genres.csv", "id,genre\n1,Drama\n");
    assert!(refused(data.path()).contains("posters: there is no such folder; "));
    std::fs::create_dir(data.path().join("posters")).unwrap();
    let text = refused(data.path());
    assert!(text.contains("no film is left after cleaning (0 malformed rows, 0 rows without a genre, "), "{text}");
}

#[test]
fn a_poster_is_named_by_a_number_and_an_extension_of_jpeg() {
    for name in ["123.jpg", "0123.jpg", "123.JPG", "123.jpeg", "000123.Jpeg"] {
        assert_eq!(poster_id(name), Some(123), "{name}");
    }
    for name in ["+1.jpg", "1.png", ".jpg", "a.jpg", "1.jpg.jpg", "1 .jpg", "1", "jpg", "99999999999999999999.jpg"] {
        assert_eq!(poster_id(name), None, "{name}");
    }
}

#[test]
fn of_several_files_the_usual_name_wins_then_the_first_by_name() {
    let data = letterboxd("id,genre\n1,Drama\n", [7]);
    let folder = data.path().join("posters");
    for name in ["007.jpg", "7.JPG", "8.jpeg", "08.jpg", "0000009.jpg"] {
        write(&folder, name, "");
    }
    let mut ledger = Ledger::default();
    let posters = PosterFolder::list(&folder, &mut ledger).unwrap();
    assert_eq!(posters.ids().iter().copied().collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!([7, 8, 9, 10].map(|id| posters.name(id)), ["7.jpg", "08.jpg", "0000009.jpg", "10.jpg"]);
    assert_eq!(posters.file(9), folder.join("0000009.jpg"));
    let second = ledger.entries().iter().find(|entry| entry.reason == SECOND_FILES).unwrap();
    assert_eq!((second.count, &second.names[..]), (3, &["7.JPG", "007.jpg", "8.jpeg"].map(String::from)[..]));
}
