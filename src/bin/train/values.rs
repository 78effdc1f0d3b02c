//! What options may be: numbers within bounds, lists, names.

use onesheet::data::split::Split;

/// A number for each block; a type of its own, so that the option counts as given once however long the list.
#[derive(Clone)]
pub struct Filters(pub Vec<usize>);

/// Filters of each block, with commas between them.
pub fn filters(text: &str) -> Result<Filters, String> {
    let number = |part: &str| part.trim().parse().ok().filter(|number| (1..=1_024).contains(number));
    let all: Option<Vec<usize>> = text.split(',').map(number).collect();
    all.map(Filters).ok_or_else(|| "it is a list of numbers from 1 to 1024, such as 16,32,64".into())
}

/// One side of the split, or all of it.
#[derive(Clone, Copy)]
pub struct Side(pub Option<Split>);

/// `all`, or a side of the split.
pub fn side(text: &str) -> Result<Side, String> {
    match text {
        "all" => Ok(Side(None)),
        name => name.parse().map(|split| Side(Some(split))).map_err(|_| "it is all, train, val or test".into()),
    }
}

/// A count.
pub fn at_least_one() -> clap::builder::RangedU64ValueParser<u64> {
    up_to(1 << 32)
}

/// Counts that something is sized by are bounded, so that a slip of the finger ends in a line and not in lack of memory.
pub fn up_to(most: u64) -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=most)
}

/// A number above 0.
pub fn positive(text: &str) -> Result<f32, String> {
    number(text).and_then(|value| if value > 0.0 { Ok(value) } else { Err("it is above 0".into()) })
}

/// A share below 1.
pub fn share(text: &str) -> Result<f32, String> {
    number(text).and_then(|value| {
        if (0.0..1.0).contains(&value) { Ok(value) } else { Err("it is at least 0 and below 1".into()) }
    })
}

/// Any number that TOML can hold, which is what `config.toml` is written in.
pub fn seed() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

/// A number from 0 on.
pub fn not_negative(text: &str) -> Result<f32, String> {
    number(text).and_then(|value| if value >= 0.0 { Ok(value) } else { Err("it is at least 0".into()) })
}

/// A share above 0.
pub fn share_up_to_one(text: &str) -> Result<f32, String> {
    number(text).and_then(|value| {
        if value > 0.0 && value <= 1.0 { Ok(value) } else { Err("it is above 0 and at most 1".into()) }
    })
}

/// A share, 0 and 1 included.
pub fn up_to_one(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| "it is a share from 0 to 1".into())
}

fn number(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|value: &f32| value.is_finite()).ok_or_else(|| "it is a number such as 0.5".into())
}
