//! The values that options may take: numbers within bounds, lists, names.

use crate::classifier::evaluate::Which;
use crate::data::decode::ImageSpec;
use clap::builder::{PossibleValue, PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use std::str::FromStr;

/// Reads the filters of each block, with commas between them.
///
/// # Errors
/// A message that says what the list looks like.
pub fn filters(text: &str) -> Result<Vec<usize>, String> {
    let number = |part: &str| part.trim().parse().ok().filter(|number| (1..=1_024).contains(number));
    let all: Option<Vec<usize>> = text.split(',').map(number).collect();
    all.ok_or_else(|| "it is a list of numbers from 1 to 1024, such as 16,32,64".into())
}

/// Reads a size that posters can be brought to: `128`, or height and width as in `160x112`.
///
/// # Errors
/// A message that says what a size looks like, or states the bounds.
pub fn image_size(text: &str) -> Result<ImageSpec, String> {
    let side = |part: &str| part.trim().parse::<usize>().ok();
    let size = match text.split_once(['x', 'X']) {
        Some((height, width)) => side(height).zip(side(width)).map(|(height, width)| ImageSpec { height, width }),
        None => side(text).map(ImageSpec::square),
    };
    let most = ImageSpec::POSTER.height;
    match size {
        Some(size) if [size.height, size.width].iter().all(|side| (1..=most).contains(side)) => Ok(size),
        Some(_) => Err(format!("each side is from 1 to {most}")),
        None => Err("it is a number of pixels such as 128, or height and width such as 160x112".into()),
    }
}

/// A size as [`image_size`] reads it.
pub fn image_size_text(size: ImageSpec) -> String {
    match size.height == size.width {
        true => size.height.to_string(),
        false => format!("{}x{}", size.height, size.width),
    }
}

/// Reads the sizes that a training begins with: a list of [`image_size`]s with commas between them, or
/// `none`.
///
/// # Errors
/// A message that says what the list looks like.
pub fn image_sizes(text: &str) -> Result<Vec<ImageSpec>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let sizes = text.split(',').map(image_size).collect::<Result<_, _>>();
    sizes.map_err(|of_one| format!("it is none, or sizes such as 96,112 of which {of_one}"))
}

/// Sizes as [`image_sizes`] reads them.
pub fn image_sizes_text(sizes: &[ImageSpec]) -> String {
    match sizes.is_empty() {
        true => "none".to_owned(),
        false => sizes.iter().map(|&size| image_size_text(size)).collect::<Vec<_>>().join(","),
    }
}

/// Reads `unseen`, `all`, or the name of a side of the split.
///
/// # Errors
/// A message that lists the names.
pub fn which(text: &str) -> Result<Which, String> {
    match text {
        "unseen" => Ok(Which::Unseen),
        "all" => Ok(Which::All),
        side => side.parse().map(Which::Side).map_err(|_| "it is unseen, all, train, val or test".into()),
    }
}

/// A parser of one of several values, each with its name and a line of help.
pub fn choice<T: Copy + Send + Sync + 'static>(
    values: &'static [(&'static str, &'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let names = values.iter().map(|(name, help, _)| PossibleValue::new(name).help(help));
    let value = |name: String| values.iter().find(|of| of.0 == name).expect("it is one of the names").2;
    PossibleValuesParser::new(names).map(value)
}

/// A parser of counts from 1 on, up to 2^32.
pub fn at_least_one() -> RangedU64ValueParser<usize> {
    up_to(1 << 32)
}

/// A parser of counts from 1 to `most`. Counts that decide the size of something are bounded, so
/// that a typing error ends in a message and not in a lack of memory.
pub fn up_to(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

/// A parser of the number of folds: 2 at least, and no more than anybody waits for.
pub fn folds() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(2..=100)
}

/// A parser of counts from 0 to `most`.
pub fn at_most(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=most)
}

/// A parser of seeds: any number that TOML, the language of `config.toml`, can hold.
pub fn seed() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(..=i64::MAX as u64)
}

/// Reads a number above 0.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn positive<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value > 0.0, "it is above 0")
}

/// Reads a number that is not negative.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn not_negative<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value >= 0.0, "it is at least 0")
}

/// Reads a share from 0 to below 1.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn share<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| (0.0..1.0).contains(&value), "it is at least 0 and below 1")
}

/// Reads a share above 0 and up to 1.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn share_up_to_one<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value > 0.0 && value <= 1.0, "it is above 0 and at most 1")
}

/// Reads a share above 0 and below 1.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn part<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| value > 0.0 && value < 1.0, "it is above 0 and below 1")
}

/// Reads a share from 0 to 1, both included.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn up_to_one<T: Number>(text: &str) -> Result<T, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "it is a share from 0 to 1")
}

/// Reads a number of minutes, up to ten weeks.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn minutes(text: &str) -> Result<f64, String> {
    number(text, |value: f64| (0.0..=100_000.0).contains(&value), "it is at least 0 and at most 100000")
}

/// Reads a number of hours, up to ten weeks.
///
/// # Errors
/// A message that states the bounds, or says that it is no number.
pub fn hours(text: &str) -> Result<f64, String> {
    number(text, |value: f64| value > 0.0 && value <= 1_680.0, "it is above 0 and at most 1680")
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
