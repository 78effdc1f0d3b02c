use onesheet::data::split::{Fold, Split, rank};

/// The sides of the films 0 to 59, as computed with Python's hashlib.
const GOLDEN: &str = "tr tr va tr te tr te va tr tr tr va tr tr te tr tr tr tr tr tr tr tr tr tr tr va tr tr tr tr va tr tr \
    tr tr tr tr tr te va tr tr tr te tr tr tr tr te tr tr tr tr tr tr tr tr tr tr";

/// A change of this test moves films between train and test of every data set that was ever split:
/// never change it.
#[test]
fn sides_are_the_same_for_ever() {
    let sides: String = (0..60).map(|id| Split::of(id).to_string()[..2].to_owned()).collect::<Vec<_>>().join(" ");
    assert_eq!(sides, GOLDEN);
    let far: Vec<Split> = [1_000_000_007, u64::MAX].map(Split::of).to_vec();
    assert_eq!(far, [Split::Train, Split::Train]);
    assert_eq!(rank(1), (10_803_587_696_991_432_300, 1));
}

#[test]
fn eight_one_one() {
    let count = |split| (1..=50_000).filter(|&id| Split::of(id) == split).count() as f64 / 50_000.0;
    for (split, share) in [(Split::Train, 0.8), (Split::Val, 0.1), (Split::Test, 0.1)] {
        assert!((count(split) - share).abs() < 0.006, "{split}: {}", count(split));
    }
}

#[test]
fn ranks_say_nothing_about_sides() {
    let mut ids: Vec<u64> = (0..20_000).collect();
    ids.sort_by_key(|&id| rank(id));
    let train = ids[..2000].iter().filter(|&&id| Split::of(id) == Split::Train).count();
    assert!((1540..1660).contains(&train), "{train}");
}

/// The folds of the films 0 to 59 where there are five, as computed with Python's hashlib.
const FOLDS: &str = "4 5 2 1 2 1 3 2 5 2 2 5 4 1 4 4 4 1 5 3 4 3 3 5 4 5 3 5 4 1 2 1 3 4 5 2 2 3 5 1 2 4 5 2 5 4 2 1 4 2 3 4 4 1 1 2 3 3 3 4";

#[test]
fn a_film_is_in_one_fold_that_never_changes_and_says_nothing_about_its_side() {
    let fold_of = |id: u64, of: usize| {
        let folds: Vec<usize> = (1..=of).filter(|&number| Fold { number, of }.has(id)).collect();
        assert_eq!(folds.len(), 1, "film {id}: {folds:?} of {of}");
        folds[0]
    };
    let folds: Vec<String> = (0..60).map(|id| fold_of(id, 5).to_string()).collect();
    assert_eq!(folds.join(" "), FOLDS);
    for of in [2, 5, 10] {
        for split in Split::ALL {
            let films: Vec<u64> = (0..50_000).filter(|&id| Split::of(id) == split).collect();
            let share = films.iter().filter(|&&id| fold_of(id, of) == 1).count() as f64 / films.len() as f64;
            assert!((share * of as f64 - 1.0).abs() < 0.1, "{split}: {share} of {of}");
        }
    }
}

#[test]
fn names_go_both_ways() {
    for split in Split::ALL {
        assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
    }
    assert!("all".parse::<Split>().is_err());
}
