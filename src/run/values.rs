//! What options may be: numbers within bounds, lists, names.

use crate::data::split::Split;
use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use std::str::FromStr;

/// The filters of each block, with commas between them.
///
/// # Errors
/// A text that says what the list looks like.
pub fn filters(text: &str) -> Result<Vec<usize>, String> {
    let number = |part: &str| part.trim().parse().ok().filter(|number| (1..=1_024).contains(number));
    let all: Option<Vec<usize>> = text.split(',').map(number).collect();
    all.ok_or_else(|| "it is a list of numbers from 1 to 1024, such as 16,32,64".into())
}

/// One side of the split, or all of it.
#[derive(Clone, Copy, Debug)]
pub struct Side(pub Option<Split>);

/// `all`, or a side of the split.
///
/// # Errors
/// A text that lists the names.
pub fn side(text: &str) -> Result<Side, String> {
    match text {
        "all" => Ok(Side(None)),
        name => name.parse().map(|split| Side(Some(split))).map_err(|_| "it is all, train, val or test".into()),
    }
}

/// One of several values, each with its name and a line of help.
pub fn choice<T: Copy + Send + Sync + 'static>(
    values: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let names = values.iter().map(|(name, help, _)| PossibleValue::new(name).help(help));
    let value = |name: String| values.iter().find(|of| of.0 == name).expect("it is one of the names").2;
    PossibleValuesParser::new(names).map(value)
}

/// A count from 1 on.
pub fn at_least_one() -> RangedU64ValueParser<usize> {
    up_to(1 << 32)
}

/// A count from 1 to `most`. Counts that something is sized by are bounded, so that a slip of the finger
/// ends in a line and not in lack of memory.
pub fn up_to(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

/// A count from 0 to `most`.
pub fn at_most(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=most)
}

/// Any number that TOML can hold, the language of `config.toml`.
pub fn seed() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(..=i64::MAX as u64)
}

/// A number above 0.
///
/// # Errors
/// A text that says so.
pub fn positive<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value > 0.0, "it is above 0")
}

/// A number from 0 on.
///
/// # Errors
/// A text that says so.
pub fn not_negative<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value >= 0.0, "it is at least 0")
}

/// A share below 1.
///
/// # Errors
/// A text that says so.
pub fn share<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| (0.0..1.0).contains(&value), "it is at least 0 and below 1")
}

/// A share above 0.
///
/// # Errors
/// A text that says so.
pub fn share_up_to_one<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value > 0.0 && value <= 1.0, "it is above 0 and at most 1")
}

/// A share, 0 and 1 included.
///
/// # Errors
/// A text that says so.
pub fn up_to_one<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "it is a share from 0 to 1")
}

/// The types of numbers that options hold.
pub trait Number: FromStr + Copy + Into<f64> {}

impl<T: FromStr + Copy + Into<f64>> Number for T {}

fn number<T: Number>(text: &str, fits: impl Fn(f64) -> bool, wanted: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(value) if value.into().is_finite() => {
            if fits(value.into()) {
                Ok(value)
            } else {
                Err(wanted.to_owned())
            }
        }
        _ => Err("it is a number such as 0.5".to_owned()),
    }
}
