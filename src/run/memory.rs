//! What a run needs in memory, beside what there is: a batch that does not fit is refused before
//! any work is done, since a process that the system refuses memory ends without a word.

use crate::classifier::answers::BATCH;
use crate::data::decode::ImageSpec;
use crate::error::{Error, Result};
use crate::nn::Isa;
use crate::run::options::Options;
use std::fs;

/// What a run takes beside its model and its batches: code, tables of films, decoders.
const BASE: u64 = 64 << 20;
/// How many batches of images exist at a time: one is trained on, two wait, one is being made.
const BATCHES: u64 = 4;

/// Refuses a run whose largest step would not fit into the memory that there is.
///
/// # Errors
/// [`Error::Usage`], naming both amounts and the largest batch that would fit. Where the system
/// does not tell, nothing is refused.
pub(crate) fn check_memory(options: &Options, classes: usize, isa: Isa) -> Result<()> {
    let Some(available) = available() else { return Ok(()) };
    let batch = options.recipe.batch;
    let needed = needed(options, classes, batch, isa)?;
    if needed <= available {
        return Ok(());
    }
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let what = format!("--batch {batch} takes {:.2} GB of memory, and {:.2} GB are there", gb(needed), gb(available));
    // What a batch needs grows with its size.
    let (mut fits, mut too_many) = (0, batch);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        match self::needed(options, classes, middle, isa)? <= available {
            true => fits = middle,
            false => too_many = middle,
        }
    }
    let remedy = match fits {
        0 => "lower --input or --filters: not even one film at a time would fit".to_owned(),
        fits => format!("--batch {fits} fits; a lower --input takes less, too"),
    };
    Err(Error::usage(what, remedy))
}

/// The bytes that training with batches of that size takes.
pub(crate) fn needed(options: &Options, classes: usize, batch: usize, isa: Isa) -> Result<u64> {
    needed_with_heads(options, [classes, 0], batch, isa)
}

/// The bytes that training with batches of that size takes, with so many classes of genres and of
/// auxiliary heads.
pub(crate) fn needed_with_heads(
    options: &Options,
    [classes, auxiliary]: [usize; 2],
    batch: usize,
    isa: Isa,
) -> Result<u64> {
    let recipe = &options.recipe;
    let isa = isa.with_precision(recipe.precision.into());
    let model = recipe.model(classes + auxiliary).memory(isa, batch, Some(&recipe.rule))?;
    // What answers without the auxiliary heads is a model of its own.
    let alone = match auxiliary {
        0 => 0,
        _ => recipe.model(classes).memory(isa, batch.min(BATCH), None)?.total(options.threads),
    };
    // Those of a step, or whole posters that are answered about.
    let posters = batch.min(BATCH) * ImageSpec::POSTER.bytes();
    let images = BATCHES * (batch * recipe.input.bytes()).max(posters) as u64;
    // The weights of the best epoch, and their average; both once more in a checkpoint that is being
    // written, with the weights and what the optimiser keeps of each.
    let kept = (1 + u64::from(recipe.ema > 0.0)) * model.values;
    let checkpoint = kept + model.parameters;
    let training = kept + checkpoint + alone + model.total(options.threads);
    // The members of an ensemble are trained one by one, and answer together.
    let answering = match options.members {
        1 => 0,
        members => {
            let member = recipe.model(classes).memory(isa, batch.min(BATCH), None)?;
            member.total(options.threads).saturating_mul(members as u64)
        }
    };
    let teacher = options.teaching.as_ref().map_or(0, |teaching| teaching.bytes);
    Ok(BASE + images + (training + teacher).max(answering))
}

/// The bytes that this process can still claim, as far as the system tells: the least of what is
/// free on the machine, in the control group and below the limit of the address space.
pub(crate) fn available() -> Option<u64> {
    [free_on_machine(), free_in_group(), free_address_space()].into_iter().flatten().min()
}

/// proc(5): what can be claimed without swapping.
fn free_on_machine() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// cgroups(7), version 2: what the group of this process may still claim. The group's own page
/// cache is given up when memory is needed, and so counts as free.
fn free_in_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let read = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let now: u64 = read("memory.current")?.trim().parse().ok()?;
    let statistics = read("memory.stat")?;
    let cached = statistics.lines().find_map(|line| line.strip_prefix("file ")?.parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(now.saturating_sub(cached)))
}

/// getrlimit(2), RLIMIT_AS, as the shell's `ulimit -v` sets it.
fn free_address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let most: u64 = limit.split_whitespace().next()?.parse().ok()?;
    Some(most.saturating_sub(kib(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?))
}

/// The number of kibibytes in the line of that name, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
