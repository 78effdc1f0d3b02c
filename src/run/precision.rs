//! The precision that a run multiplies in: settled before its work, by what this machine is worth.

use crate::nn::{Isa, Precision, Rates};
use crate::progress::Progress;
use crate::run::options::Options;
use crate::run::recipe::PrecisionOption;

/// How many times faster products of bf16 have to be before they are chosen: below that, what they
/// save is lost again to the rounding of their operands. Processors are far from it on either side:
/// their instructions for bf16 do twice the work in the same time, or in twice the time, and
/// without such instructions bf16 is many times slower.
const WORTH_IT: f64 = 1.25;

/// The options with a precision that is either f32 or bf16. Where bf16 was asked for or could be
/// chosen, both are measured, which takes some milliseconds, and a note says what came of it.
///
/// Results depend on the precision, so one that was asked for is never replaced, however slow.
pub fn settled(options: &Options, isa: Isa, progress: &dyn Progress) -> Options {
    let asked = options.recipe.precision;
    let (precision, note) = settle(asked, isa);
    // Two machines may be worth different things: one of them decides for all.
    let precision = options.team.value_of_first(precision);
    note.iter().for_each(|note| progress.note(note));
    let mut options = options.clone();
    options.recipe.precision = precision;
    options
}

/// The instruction set in the precision that was asked for, with the same notes.
pub fn in_precision(asked: PrecisionOption, isa: Isa, progress: &dyn Progress) -> Isa {
    let (precision, note) = settle(asked, isa);
    note.iter().for_each(|note| progress.note(note));
    isa.with_precision(precision.into())
}

/// What becomes of a precision that was asked for, and why.
pub fn settle(asked: PrecisionOption, isa: Isa) -> (PrecisionOption, Option<String>) {
    if asked == PrecisionOption::F32 {
        return (asked, None);
    }
    let rates = Rates::measure(isa);
    let (is_faster, measured) = (rates.gain() >= WORTH_IT, in_words(rates, isa));
    let (precision, note) = match (asked, is_faster) {
        (PrecisionOption::Auto, true) => (PrecisionOption::Bf16, format!("precision bf16: {measured}")),
        (PrecisionOption::Auto, false) => (PrecisionOption::F32, format!("precision f32: {measured}")),
        (asked, true) => (asked, format!("precision bf16: {measured}")),
        (asked, false) => {
            (asked, format!("warning: precision bf16 as asked for, but {measured}; --precision f32 is more exact"))
        }
    };
    (precision, Some(note))
}

/// What was measured, as a clause.
pub fn in_words(rates: Rates, isa: Isa) -> String {
    let giga = |rate: f64| rate / 1e9;
    let (bf16, f32) = (giga(rates.bf16), giga(rates.f32));
    let measured = format!("({bf16:.1} to {f32:.1} GFLOP/s per thread)");
    match (isa.has_bf16(), rates.gain()) {
        (true, gain) => format!("this machine multiplies bf16 {gain:.1} times as fast as f32 {measured}"),
        (false, gain) => {
            let times = 1.0 / gain;
            format!("{} has no instructions for bf16, which is {times:.0} times slower than f32 {measured}", isa.name())
        }
    }
}

impl From<PrecisionOption> for Precision {
    /// One that nothing has settled is f32.
    fn from(asked: PrecisionOption) -> Self {
        match asked {
            PrecisionOption::Bf16 => Self::Bf16,
            PrecisionOption::F32 | PrecisionOption::Auto => Self::F32,
        }
    }
}
