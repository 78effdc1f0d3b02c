use std::fmt::Write;
use std::fs;
use std::path::Path;

use onesheet::data::auxiliary::{Auxiliary, FEWEST_FILMS, MOST_CLASSES, drop_twins_of_others, limit_to};
use onesheet::data::dhash::DHash;
use onesheet::data::films::{Film, Films};
use onesheet::data::ledger::{DUPLICATE_POSTERS, Ledger};
use onesheet::data::split::{Fold, Split};
use onesheet::data::twins::Twins;

use super::{jpeg, letterboxd};

/// The films of a folder, and what `themes.csv` and `countries.csv` in it say.
fn open(data: &Path, topics: &str) -> (Films, Auxiliary) {
    let films = Films::open(data, None).unwrap();
    let auxiliary = Auxiliary::read(data, &topics.parse().unwrap(), &films).unwrap().unwrap();
    (films, auxiliary)
}

/// The first ids from `from` on that are on a side of the split.
fn on(side: Split, from: u64, count: usize) -> Vec<u64> {
    (from..).filter(|&id| Split::of(id) == side).take(count).collect()
}

#[test]
fn the_most_frequent_values_of_the_training_films_become_classes() {
    let count = 30 * FEWEST_FILMS as u64;
    let data = letterboxd("id,genre\n1,Drama\n", 1..=count);
    let mut csv = "id,theme\n".to_owned();
    for id in 1..=count {
        // `Few` has one film too few among those to train on, and many others.
        let rare = if id < FEWEST_FILMS as u64 || id > 3 * count / 4 { "Few" } else { "Other" };
        writeln!(csv, "{id},{rare}\n{id},All").unwrap();
    }
    // As many values as may become classes, and one more, of equal frequency.
    for (value, id) in (0..=MOST_CLASSES).flat_map(|value| (1..=FEWEST_FILMS).map(move |id| (value, id))) {
        writeln!(csv, "{id},value {value:03}").unwrap();
    }
    fs::write(data.path().join("themes.csv"), csv).unwrap();
    let (_, auxiliary) = open(data.path(), "themes");
    let train: Vec<Film> = (1..=count / 2).map(|id| Film { id, genres: vec![0] }).collect();
    let taught = auxiliary.taught(data.path(), &train, &[]).unwrap();
    let head = &taught.heads.all[0];
    let ties = (0..MOST_CLASSES - 2).map(|value| format!("value {value:03}"));
    let classes: Vec<String> = ["All".to_owned(), "Other".to_owned()].into_iter().chain(ties).collect();
    assert_eq!(head.classes, classes);
    assert_eq!(head.films.len(), train.len());

    let scarce = auxiliary.taught(data.path(), &train[..FEWEST_FILMS - 1], &[]).unwrap_err();
    assert_eq!(scarce.exit_code(), 3);
    let scarce = scarce.to_string();
    assert!(scarce.contains("themes.csv") && scarce.contains("leave themes out of --auxiliary"), "{scarce}");
}

#[test]
fn what_no_file_says_of_a_film_is_unknown_and_what_is_rare_is_no() {
    let count = FEWEST_FILMS as u64 + 4;
    let data = letterboxd("id,genre\n1,Drama\n", 1..=count);
    let rows: String = (1..=FEWEST_FILMS).map(|id| format!("{id},Good\n")).collect();
    fs::write(data.path().join("themes.csv"), format!("id,theme\n{rows}{},Rare\n", count - 2)).unwrap();
    let rows: String = (4..=count).map(|id| format!("{id},Japan\n")).collect();
    fs::write(data.path().join("countries.csv"), format!("id,country\n{rows}")).unwrap();
    let (_, auxiliary) = open(data.path(), "countries,themes");
    let train: Vec<Film> = (1..=count - 1).map(|id| Film { id, genres: vec![0] }).collect();
    // The last one has no genre, and is trained on.
    let taught = auxiliary.taught(data.path(), &train, &[count]).unwrap();
    assert_eq!((taught.train.len() as u64, taught.without_genres(), taught.heads.classes()), (count, 1, 2));
    let labels = |id| {
        let mut labels = [7.0; 2];
        taught.heads.label(id, &mut labels);
        labels.map(|label| (!label.is_nan()).then_some(label))
    };
    assert_eq!(labels(1), [Some(1.0), None]);
    assert_eq!(labels(4), [Some(1.0), Some(1.0)]);
    assert_eq!(labels(count - 2), [Some(0.0), Some(1.0)]);
    assert_eq!(labels(count), [None, Some(1.0)]);
    assert_ne!(taught.digest(), auxiliary.taught(data.path(), &train, &[]).unwrap().digest());
}

#[test]
fn posters_without_genres_keep_to_the_side_of_their_ids_and_pictures() {
    let [train, val, test] = Split::ALL.map(|side| on(side, 1, 4));
    let others = on(Split::Train, 1_000, 6);
    let elsewhere = [on(Split::Val, 1_000, 1), on(Split::Test, 1_000, 1)].concat();
    let named: Vec<u64> = [&train[..], &val, &test].concat();
    let genres: String = named.iter().map(|id| format!("{id},Drama\n")).collect();
    let all = named.iter().chain(&others).chain(&elsewhere).copied();
    let data = letterboxd(&format!("id,genre\n{genres}"), all);
    let put = |id: u64, seed: u64, quality: u16| {
        fs::write(data.path().join(format!("posters/{id}.jpg")), jpeg(seed, 40 + quality, 60)).unwrap();
    };
    // The bytes of a test film, and twice the same picture that no film has.
    put(others[1], 5_000, 0);
    put(test[0], 5_000, 0);
    put(others[2], 5_001, 0);
    put(others[3], 5_001, 0);
    // All but the fifth have labels.
    let themes: String =
        others.iter().enumerate().filter(|of| of.0 != 4).map(|(_, id)| format!("{id},Good\n")).collect();
    let themes = themes + &elsewhere.iter().map(|id| format!("{id},Good\n")).collect::<String>();
    fs::write(data.path().join("themes.csv"), format!("id,theme\n{themes}")).unwrap();

    let (films, auxiliary) = open(data.path(), "themes");
    let mut ledger = Ledger::default();
    let kept = auxiliary.posters_without_genres(&films, None, &mut ledger).unwrap();
    assert_eq!(kept, [others[0], others[2], others[5]]);
    let reasons = ["posters without any label", "posters whose ids are not those of training films", DUPLICATE_POSTERS];
    assert_eq!(reasons.map(|reason| ledger.count(reason)), [1, 2, 2]);

    let fold = Fold { number: 1 + (0..5).find(|&n| Fold { number: n + 1, of: 5 }.has(others[0])).unwrap(), of: 5 };
    let of_fold = auxiliary.posters_without_genres(&films, Some(fold), &mut Ledger::default()).unwrap();
    let expected: Vec<u64> = kept.iter().copied().filter(|&id| !fold.has(id)).collect();
    assert!(of_fold == expected && !of_fold.contains(&others[0]), "{of_fold:?}");
}

#[test]
fn a_twin_of_a_film_that_is_not_trained_on_is_left_out_with_its_own_twins() {
    let data = letterboxd("id,genre\n1,Drama\n", [1]);
    let films = Films::open(data.path(), None).unwrap();
    // A training film, a validation film, and a poster without genres, each with a twin.
    let (train, val) = (7, 8);
    let pictures = [(train, 1), (100, 1), (val, 2), (101, 2), (102, 2), (103, 3), (104, 3), (105, 4)];
    // Half of their bits differ.
    let hash = |picture: u64| DHash([picture.wrapping_mul(0x9E37_79B9_7F4A_7C15); 8]);
    let twins = Twins::among(pictures.map(|(id, picture)| (id, hash(picture))));
    assert_eq!(twins.groups(), [vec![train, 100], vec![val, 101, 102], vec![103, 104]]);
    let mut kept: Vec<u64> = (100..=105).collect();
    let mut ledger = Ledger::default();
    drop_twins_of_others(&mut kept, &twins, |id| id == val, &films, &mut ledger);
    assert_eq!(kept, [100, 103, 104, 105]);
    assert_eq!(ledger.entries()[0].names, ["101.jpg", "102.jpg"]);
}

#[test]
fn a_limit_leaves_room_for_those_that_a_smaller_one_has_room_for() {
    let data = letterboxd("id,genre\n1,Drama\n", [1]);
    let films = Films::open(data.path(), None).unwrap();
    let limited = |room| {
        let mut all: Vec<u64> = (1..=50).collect();
        let mut ledger = Ledger::default();
        limit_to(&mut all, room, &films, &mut ledger);
        assert_eq!(all.len() as u64 + ledger.entries().first().map_or(0, |of| of.count), 50);
        all
    };
    assert_eq!((limited(None).len(), limited(Some(80)).len(), limited(Some(0)).len()), (50, 50, 0));
    let [some, more] = [10, 20].map(|room| limited(Some(room)));
    assert!(some.len() == 10 && some.is_sorted() && some.iter().all(|id| more.contains(id)));
}
