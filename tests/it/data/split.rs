use onesheet::data::split::{Split, rank};

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

#[test]
fn names_go_both_ways() {
    for split in Split::ALL {
        assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
    }
    assert!("all".parse::<Split>().is_err());
}
