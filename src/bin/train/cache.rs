//! The command `train cache`.

use crate::args::{BadImage, CacheArgs, CacheBuildArgs, CacheCommand};
use crate::output::say;
use crate::progress::Terminal;
use crate::threads;
use onesheet::data::cache::{Built, Cache};
use onesheet::data::decode::ImageSpec;
use onesheet::data::films::Films;
use onesheet::data::layout::poster_name;
use onesheet::data::refusal::{OnBadImage, Refusal};
use onesheet::progress::Progress;
use onesheet::ranks::Team;
use onesheet::run::posters::open_cache;
use onesheet::{Error, Result};

/// Builds, verifies or describes a cache.
pub fn cache(command: CacheCommand, threads: usize, team: &Team) -> Result<()> {
    match command {
        CacheCommand::Build(args) => threads::compute(threads, || build(&args, team)),
        CacheCommand::Verify(args) => threads::compute(threads, || verify(&args)),
        CacheCommand::Info(args) => info(&args),
    }
}

fn build(args: &CacheBuildArgs, team: &Team) -> Result<()> {
    let (posters, ids) = Films::posters(&args.data)?;
    let on_bad_image = match args.on_bad_image {
        BadImage::Skip => OnBadImage::Skip,
        BadImage::Fail => OnBadImage::Fail,
    };
    let cache = open_cache(&args.cache, &posters, &ids, on_bad_image, team, &Terminal::new())?;
    match cache.built() {
        Some(Built { why, decoded, refused, time }) => {
            let (of, seconds) = (cache.len(), time.as_secs_f64());
            say(&format!("{decoded} of {of} posters decoded, {refused} refused, in {seconds:.1} s ({why})"));
        }
        None => say("all posters are there already"),
    }
    describe(&cache);
    Ok(())
}

fn verify(args: &CacheArgs) -> Result<()> {
    let cache = Cache::open(&Cache::path_in(&args.cache, ImageSpec::POSTER), ImageSpec::POSTER)?;
    let progress: &dyn Progress = &Terminal::new();
    let bar = progress.bar("verifying", cache.len());
    let damaged = cache.verify(&|done, _| bar.at(done, None));
    drop(bar);
    if damaged.is_empty() {
        say(&format!("all {} records are as they were written", cache.len()));
        return Ok(());
    }
    let some: Vec<String> = damaged.iter().take(10).map(u64::to_string).collect();
    let dots = if damaged.len() > some.len() { ", ..." } else { "" };
    let what = format!("{} of {} records are damaged: films {}{dots}", damaged.len(), cache.len(), some.join(", "));
    Err(Error::data(&args.cache, what, "remove the cache to have it made again"))
}

fn info(args: &CacheArgs) -> Result<()> {
    describe(&Cache::open(&Cache::path_in(&args.cache, ImageSpec::POSTER), ImageSpec::POSTER)?);
    Ok(())
}

fn describe(cache: &Cache) {
    let ImageSpec { height, width } = cache.spec();
    let (posters, refused) = (cache.len(), cache.refused().len());
    say(&format!("{}: {:.2} GB", cache.path().display(), cache.file_bytes() as f64 / 1e9));
    say(&format!("{posters} posters, {} of them as {width}x{height} RGB, {refused} refused", posters - refused));
    if refused > 0 {
        let named = cache.refused().iter().map(|(id, refusal)| (poster_name(*id), refusal));
        say(Refusal::ledger(named).to_string().trim_end());
    }
}
