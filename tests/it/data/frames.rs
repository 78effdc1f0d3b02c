use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use onesheet::data::films::{Film, Films};
use onesheet::data::frames::{FilmRule, Frame, Limits, RareGenre, Side};
use onesheet::data::layout::PosterFolder;
use onesheet::data::ledger::Ledger;
use onesheet::data::split::Split;

use super::write;

const NO_LIMITS: Limits = Limits { train: None, val: None };

/// Films 1..=n; of the genres 0..=4, the smaller the number, the more films; every seventh film has
/// a second genre.
fn films(n: u64) -> Films {
    let film = |id: u64| {
        let first = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4][(id * 7919 % 11) as usize];
        let genres = if id.is_multiple_of(7) { vec![first, 5] } else { vec![first] };
        Film { id, genres }
    };
    Films {
        posters: PosterFolder::default(),
        genres: ["A", "B", "C", "D", "E", "F"].map(str::to_owned).to_vec(),
        films: (1..=n).map(film).collect(),
        unnamed: Vec::new(),
        ledger: Ledger::default(),
        warnings: Vec::new(),
    }
}

fn top(count: usize, per_genre: usize, balance: bool) -> FilmRule {
    FilmRule::TopGenres { count, per_genre, balance }
}

fn support(films: &[Film]) -> BTreeMap<usize, usize> {
    let mut support = BTreeMap::new();
    films.iter().for_each(|film| *support.entry(film.genres[0]).or_default() += 1);
    support
}

fn ids(films: &[Film]) -> HashSet<u64> {
    films.iter().map(|film| film.id).collect()
}

#[test]
fn multi_label_takes_all_and_single_genre_those_with_one() {
    let films = films(2000);
    let (multi, ledger) = Frame::new(&films, &FilmRule::MultiLabel, NO_LIMITS);
    assert_eq!(multi.ids(), (1..=2000).collect::<Vec<_>>());
    assert_eq!(ledger.entries().iter().map(|entry| entry.count).sum::<u64>(), 0);
    let (single, ledger) = Frame::new(&films, &FilmRule::SingleGenre, NO_LIMITS);
    assert_eq!(single.ids(), (1..=2000).filter(|id| id % 7 != 0).collect::<Vec<_>>());
    assert_eq!(ledger.count("films with more than one genre"), 2000 / 7);
    assert_eq!(single.genres, multi.genres, "one head for both, also for genres that no film has alone");
}

#[test]
fn a_film_is_on_the_same_side_in_every_experiment() {
    let films = films(3000);
    for rule in [FilmRule::MultiLabel, FilmRule::SingleGenre, top(3, 300, true)] {
        let (frame, _) = Frame::new(&films, &rule, Limits { train: Some(500), val: Some(100) });
        for split in Split::ALL {
            assert!(!frame.side(split).is_empty());
            assert!(frame.side(split).iter().all(|film| Split::of(film.id) == split));
            assert!(frame.side(split).is_sorted_by_key(|film| film.id));
        }
    }
}

#[test]
fn top_genres_are_the_most_frequent_of_single_genre_films() {
    let films = films(2200);
    let (frame, ledger) = Frame::new(&films, &top(3, usize::MAX, false), NO_LIMITS);
    assert_eq!(frame.genres, ["A", "B", "C"]);
    let kept = frame.ids().len() as u64;
    let dropped: u64 = ledger.entries().iter().map(|entry| entry.count).sum();
    assert_eq!(kept + dropped, 2200, "{ledger}");
    // D and E have equally many films, so the name decides. F is on every seventh film, but never
    // alone.
    let mut equal = films;
    equal.films.retain(|film| film.id <= 1100 && film.genres != [0]);
    let (d, e) = (3, 4);
    let single = |films: &Films, genre| films.films.iter().filter(|film| film.genres == [genre]).count();
    while single(&equal, d) != single(&equal, e) {
        let more = if single(&equal, d) > single(&equal, e) { d } else { e };
        let at = equal.films.iter().position(|film| film.genres == [more]).unwrap();
        equal.films.remove(at);
    }
    assert_eq!(top(3, 9, false).genres(&equal), ["B", "C", "D"]);
    assert_eq!(top(9, 9, false).genres(&equal), ["B", "C", "D", "E"]);
}

#[test]
fn the_cap_counts_train_and_val_together_and_spares_test() {
    let films = films(4000);
    let (all, _) = Frame::new(&films, &top(3, usize::MAX, false), NO_LIMITS);
    let (capped, ledger) = Frame::new(&films, &top(3, 400, false), NO_LIMITS);
    let both = support(&[capped.train.clone(), capped.val.clone()].concat());
    assert_eq!(both, BTreeMap::from([(0, 400), (1, 400), (2, 400)]));
    assert!(capped.val.len() > 60, "the cap takes from both sides: {}", capped.val.len());
    assert_eq!(capped.test, all.test);
    let cut = ledger.count("films beyond 400 of their genre") as usize;
    assert_eq!(all.ids().len() - capped.ids().len(), cut);
}

#[test]
fn balance_levels_train_and_val_each_and_spares_test() {
    let films = films(4000);
    let (all, _) = Frame::new(&films, &top(4, usize::MAX, false), NO_LIMITS);
    let (balanced, _) = Frame::new(&films, &top(4, usize::MAX, true), NO_LIMITS);
    for (before, after) in [(&all.train, &balanced.train), (&all.val, &balanced.val)] {
        let smallest = *support(before).values().min().unwrap();
        assert_eq!(support(after), (0..4).map(|genre| (genre, smallest)).collect());
    }
    assert_eq!(balanced.test, all.test);
    let (limited, _) = Frame::new(&films, &top(4, usize::MAX, true), Limits { train: Some(101), val: None });
    let counts: Vec<usize> = support(&limited.train).into_values().collect();
    assert_eq!(counts.iter().sum::<usize>(), 101);
    assert!(counts.iter().all(|count| (25..=26).contains(count)), "{counts:?}");
}

#[test]
fn a_smaller_limit_is_part_of_a_larger() {
    let films = films(3000);
    for rule in [FilmRule::MultiLabel, FilmRule::SingleGenre, top(3, 300, false), top(3, 300, true)] {
        let frame = |train, val| Frame::new(&films, &rule, Limits { train: Some(train), val: Some(val) }).0;
        let (small, large) = (frame(100, 20), frame(250, 50));
        assert_eq!((small.train.len(), small.val.len(), large.train.len()), (100, 20, 250));
        assert!(ids(&small.train).is_subset(&ids(&large.train)) && ids(&small.val).is_subset(&ids(&large.val)));
        assert_eq!(small.test, large.test);
        let low = ids(&small.train).into_iter().filter(|&id| id <= 1500).count();
        assert!((25..75).contains(&low), "a limit must not favour small ids: {low} of 100");
        let whole = frame(usize::MAX, usize::MAX);
        assert_eq!(whole, Frame::new(&films, &rule, NO_LIMITS).0, "limits are upper bounds");
    }
}

#[test]
fn refused_posters_leave_the_frame() {
    let (mut frame, _) = Frame::new(&films(300), &FilmRule::MultiLabel, NO_LIMITS);
    let refused: HashSet<u64> = [frame.train[0].id, frame.val[0].id, frame.test[0].id].into();
    frame.without(|id| refused.contains(&id));
    assert_eq!(frame.ids(), (1..=300).filter(|id| !refused.contains(id)).collect::<Vec<_>>());
}

#[test]
fn genres_with_too_few_films_are_named_with_their_counts() {
    let (mut frame, _) = Frame::new(&films(3000), &FilmRule::SingleGenre, NO_LIMITS);
    let of = |genre: &str, [train, val, test]: [usize; 3]| RareGenre { genre: genre.into(), train, val, test };
    assert_eq!(frame.rare(), [of("F", [0; 3])], "no film has F alone");
    frame.val.retain(|film| film.genres != [2]);
    let of_d = |film: &Film| film.genres == [3];
    let (val, test) = [&frame.val, &frame.test].map(|side| side.iter().filter(|film| of_d(film)).count()).into();
    let beyond_9: HashSet<u64> = frame.train.iter().filter(|film| of_d(film)).skip(9).map(|film| film.id).collect();
    frame.train.retain(|film| !beyond_9.contains(&film.id));
    let rare = frame.rare();
    let names: Vec<&str> = rare.iter().map(|rare| rare.genre.as_str()).collect();
    assert_eq!(names, ["C", "D", "F"]);
    assert_eq!(rare[1], of("D", [9, val, test]));
    assert_eq!(rare[2].to_string(), "F 0/0/0");
}

#[test]
fn a_genre_that_begins_as_a_formula_does_is_text_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut films = films(200);
    films.genres = ["+A", "-B", "=C", "@D", "E", "F"].map(str::to_owned).to_vec();
    let (frame, _) = Frame::new(&films, &FilmRule::MultiLabel, NO_LIMITS);
    frame.write_csv(folder.path(), &PosterFolder::default(), "").unwrap();
    let text = std::fs::read_to_string(folder.path().join("train.csv")).unwrap();
    assert!(text.contains(",'=C|F\n") && !text.contains(",=") && !text.contains(",+"), "{text}");
    assert_eq!(Frame::read_csv(folder.path(), frame.genres.clone()).unwrap(), frame);
}

#[test]
fn thousands_of_genres_are_chosen_and_read_back_as_fast_as_few() {
    let folder = tempfile::tempdir().unwrap();
    let genres: Vec<String> = (0..30_000).map(|genre| format!("genre {genre:05}")).collect();
    let all = (0..30_000).map(|genre| Film { id: genre as u64 + 1, genres: vec![genre] }).collect();
    let films = Films { genres, films: all, ..films(0) };
    let begin = Instant::now();
    let (frame, _) = Frame::new(&films, &FilmRule::MultiLabel, NO_LIMITS);
    frame.write_csv(folder.path(), &PosterFolder::default(), "").unwrap();
    assert_eq!(Frame::read_csv(folder.path(), frame.genres.clone()).unwrap(), frame);
    assert_eq!(frame.rare().len(), 30_000);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn selects_what_a_model_can_be_asked_about() {
    let films = films(1000);
    let names = |genres: &[&str]| genres.iter().map(|&genre| genre.to_owned()).collect::<Vec<_>>();
    let (all, ledger) = FilmRule::MultiLabel.select(&films, &names(&["A", "B", "F"]), None);
    let expected: Vec<u64> = films.films.iter().filter(|film| film.genres[0] < 2).map(|film| film.id).collect();
    assert_eq!(all.iter().map(|film| film.id).collect::<Vec<_>>(), expected);
    assert!(all.iter().any(|film| film.genres == [1, 2]), "F is the model's third genre");
    assert_eq!(ledger.count("films with a genre that is not one of the model's") as usize, 1000 - all.len());

    let side = |known| Side { split: Split::Test, known };
    let none = BTreeMap::new();
    // The test side is never cut or balanced, whatever the rule under which the model was trained.
    let (test, ledger) = top(2, 1, true).select(&films, &names(&["B", "D"]), Some(side(&none)));
    assert!(test.len() > 10 && test.iter().all(|film| Split::of(film.id) == Split::Test));
    assert_eq!(ledger.entries().iter().map(|entry| entry.count).sum::<u64>() as usize, 1000 - test.len());
    assert_eq!(ledger.count("films with more than one genre"), 1000 / 7);
    assert!(ledger.count("films that are not in test") > 100);

    // Two of them are known to be on other sides than their ids say.
    let [here, there] =
        [test[0].id, all.iter().find(|film| film.genres == [1] && Split::of(film.id) != Split::Test).unwrap().id];
    let known = BTreeMap::from([(here, Split::Train), (there, Split::Test)]);
    let (moved, _) = top(2, 1, true).select(&films, &names(&["B", "D"]), Some(side(&known)));
    let mut expected: Vec<u64> = test.iter().map(|film| film.id).filter(|&id| id != here).chain([there]).collect();
    expected.sort_unstable();
    assert_eq!(moved.iter().map(|film| film.id).collect::<Vec<_>>(), expected);
}

#[test]
fn films_that_move_take_no_place_beyond_the_limits() {
    let films = films(4000);
    let sides = |frame: &Frame| {
        // Forty films from each side to the next.
        let next = |split| Split::ALL[(split as usize + 1) % 3];
        let of = |&split| frame.side(split).iter().take(40).map(move |film| (film.id, Some(next(split))));
        Split::ALL.iter().flat_map(of).collect::<BTreeMap<u64, Option<Split>>>()
    };
    for (rule, limits) in [
        (FilmRule::MultiLabel, NO_LIMITS),
        (FilmRule::SingleGenre, Limits { train: Some(500), val: Some(60) }),
        (top(3, 400, false), NO_LIMITS),
        (top(3, 400, true), Limits { train: None, val: Some(61) }),
    ] {
        let (frame, _) = Frame::new(&films, &rule, limits);
        let moved = sides(&frame);
        let (mut after, mut ledger) = (frame.clone(), Ledger::default());
        after.move_films(&moved, &rule, limits, &mut ledger);
        for split in Split::ALL {
            let side = after.side(split);
            assert!(side.is_sorted_by_key(|film| film.id));
            let of = |id: &u64| moved.get(id).copied().unwrap_or(Some(Split::of(*id)));
            assert!(side.iter().all(|film| of(&film.id) == Some(split)));
        }
        let left_out: u64 = ledger.entries().iter().map(|entry| entry.count).sum();
        assert_eq!(after.ids().len() as u64 + left_out, frame.ids().len() as u64, "{ledger}");
        assert!(limits.train.is_none_or(|limit| after.train.len() <= limit));
        assert!(limits.val.is_none_or(|limit| after.val.len() <= limit));
        if rule == FilmRule::MultiLabel {
            assert_eq!(left_out, 0);
        } else if let FilmRule::TopGenres { per_genre, .. } = rule {
            let both = support(&[after.train.clone(), after.val.clone()].concat());
            assert!(both.values().all(|&count| count <= per_genre), "{both:?}");
        }
        let mut same = frame.clone();
        same.move_films(
            &BTreeMap::from([(frame.train[0].id, Some(Split::Train)), (5_000, Some(Split::Val))]),
            &rule,
            limits,
            &mut ledger,
        );
        assert_eq!(same, frame, "where no film moves, none is cut");
        let gone = frame.val[3].id;
        same.move_films(&BTreeMap::from([(gone, None)]), &rule, limits, &mut ledger);
        assert!(same.ids().binary_search(&gone).is_err(), "it belongs to no side");
    }
}

#[test]
fn csv_files_give_back_the_same_frame() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("frames/multi-label");
    let (frame, _) = Frame::new(&films(200), &FilmRule::MultiLabel, NO_LIMITS);
    frame.write_csv(&folder, &PosterFolder::default(), "limit = 9\n").unwrap();
    assert_eq!(Frame::read_csv(&folder, frame.genres.clone()).unwrap(), frame);
    let text = std::fs::read_to_string(folder.join("test.csv")).unwrap();
    assert!(text.starts_with("filename,genres\n"), "{text}");
    assert!(text.lines().skip(1).any(|row| row.ends_with("|F")), "{text}");
}

#[test]
fn a_damaged_frame_names_file_row_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let genres: Vec<String> = vec!["A".into(), "B".into()];
    for (train, text) in [
        ("filename,genres\n1.jpg,A\n2.jpg,C\n", "train.csv, row 3: `C` is not a genre of this run; repair the row"),
        ("filename,genres\n1.jpg,\n", "row 2: `` is not a genre"),
        ("filename,genres\n1.jpg,A|A\n", "row 2: `A|A` names a genre twice"),
        ("filename,genres\nx.jpg,A\n", "row 2: `x.jpg` is no poster's name"),
        ("filename,genres\n1.jpg\n", "row 2: 1 fields instead of 2"),
        ("filename,genres\n1.jpg,A\n1.jpg,B\n", "row 3: 1.jpg is there twice"),
        ("id,genre\n1,A\n", "row 1: the header is not `filename,genres`"),
        ("", "row 1: the header is not"),
        ("filename,genres\n5.jpg,A\n", "val.csv, row 2: 5.jpg is there twice"),
    ] {
        write(folder.path(), "train.csv", train);
        write(folder.path(), "val.csv", "filename,genres\n5.jpg,A\n");
        write(folder.path(), "test.csv", "filename,genres\n");
        let error = Frame::read_csv(folder.path(), genres.clone()).unwrap_err();
        assert!(error.to_string().contains(text) && error.exit_code() == 3, "{error}\n{text}");
    }
    std::fs::remove_file(folder.path().join("train.csv")).unwrap();
    assert_eq!(Frame::read_csv(folder.path(), genres).unwrap_err().exit_code(), 4);
}
