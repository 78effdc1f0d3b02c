//! What the doctor found, as data and as text.

use crate::data::cache::PIXEL_RULES;
use crate::data::frames::RareGenre;
use crate::data::ledger::Ledger;
use crate::report::short;
use crate::run::course::Course;
use crate::run::plan::{Work, table};
use crate::run::recipe::Recipe;
use crate::text::printable;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The most characters of a name in the text.
const NAME: usize = 40;

/// What the doctor found; serialised, it is what `train doctor --json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The number of rows of `genres.csv` below its header.
    pub rows: u64,
    /// What the user should look at in `genres.csv`, in a few lines.
    pub warnings: Vec<String>,
    /// The number of films with a genre.
    pub films: usize,
    /// The number of files `posters/<id>.jpg`: `accepted + refused`.
    pub posters: usize,
    /// The number of posters that decode.
    pub accepted: usize,
    /// The posters that do not decode, ordered by id.
    pub refused: Vec<RefusedPoster>,
    /// The genres in the order of their names, with the films that have a poster.
    pub genres: Vec<GenreCount>,
    /// The number of films with a poster by the number of their genres.
    pub genres_per_film: BTreeMap<usize, usize>,
    /// The sizes of the accepted posters, upright; `None` where there are none.
    pub sizes: Option<Sizes>,
    /// The groups of posters with the same bytes.
    pub duplicates: Vec<Vec<String>>,
    /// The groups of posters that show the same picture, among those that a run uses.
    pub twins: Vec<Vec<String>>,
    /// The films that each experiment would train on.
    pub experiments: Vec<ExperimentPlan>,
    /// The costs of a run on this machine.
    pub plan: Plan,
    /// What cleaning leaves out by reason, each with the names.
    pub ledger: Ledger,
}

/// A poster that does not decode.
#[derive(Debug, Serialize)]
pub struct RefusedPoster {
    /// The name of the poster's file.
    pub poster: String,
    /// The reason in words.
    pub reason: String,
}

/// A genre, and how many films have it.
#[derive(Debug, Serialize)]
pub struct GenreCount {
    /// The name of the genre.
    pub genre: String,
    /// The number of films with a poster that have the genre.
    pub films: usize,
}

/// Sizes of posters in pixels.
#[derive(Debug, Serialize)]
pub struct Sizes {
    /// The smallest, median and largest width.
    pub width: [usize; 3],
    /// The smallest, median and largest height.
    pub height: [usize; 3],
    /// The commonest sizes, at most five: width, height, number of posters.
    pub commonest: Vec<[usize; 3]>,
}

/// The films of an experiment, and how long it trains on them.
#[derive(Debug, Serialize)]
pub struct ExperimentPlan {
    /// The name of the experiment.
    pub experiment: &'static str,
    /// The names of the classes.
    pub genres: Vec<String>,
    /// Those of them with few films, and how few.
    pub rare: Vec<RareGenre>,
    /// The number of training films.
    pub train: usize,
    /// The number of validation films.
    pub val: usize,
    /// The number of test films.
    pub test: usize,
    /// The number of epochs, by default in a run of all experiments.
    pub epochs: usize,
    /// The seconds that an epoch takes, validation not included.
    pub seconds_an_epoch: f64,
}

/// The costs of a run; times are measured on a sample.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The size of a cache of all posters whose film has a genre, in bytes.
    pub cache_bytes: u64,
    /// The free space on the disk that the cache would be made on, in bytes.
    pub free_bytes: u64,
    /// The seconds that building the cache would take.
    pub seconds_to_build: f64,
    /// The number of posters decoded per second, all threads together.
    pub posters_per_second: f64,
    /// The number of images trained on per second, in a few steps of the multi-label model.
    pub images_per_second: f64,
    /// How many times as fast as f32 this machine multiplies bf16, for `--precision bf16`.
    pub bf16_gain: f64,
    /// The peak memory of this process, which has trained those steps, in bytes; `None` where the
    /// system does not tell.
    pub memory_bytes: Option<u64>,
    /// The number of threads that all this was measured with.
    pub threads: usize,
}

impl Sizes {
    /// The summary of the widths and heights of posters; `None` where there are no posters.
    pub(super) fn of(sizes: Vec<(usize, usize)>) -> Option<Self> {
        let range = |mut values: Vec<usize>| {
            values.sort_unstable();
            Some([*values.first()?, values[values.len() / 2], *values.last()?])
        };
        let mut counts = BTreeMap::<(usize, usize), usize>::new();
        for &size in &sizes {
            *counts.entry(size).or_default() += 1;
        }
        let mut commonest: Vec<[usize; 3]> = counts.into_iter().map(|((w, h), count)| [w, h, count]).collect();
        commonest.sort_by_key(|&[.., count]| std::cmp::Reverse(count));
        commonest.truncate(5);
        Some(Self {
            width: range(sizes.iter().map(|size| size.0).collect())?,
            height: range(sizes.iter().map(|size| size.1).collect())?,
            commonest,
        })
    }
}

/// The text that `train doctor` prints, one section after the other.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { rows, films, posters, accepted, refused, .. } = self;
        writeln!(f, "{rows} rows, {films} films, {posters} posters: {accepted} accepted, {} refused", refused.len())?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))?;
        writeln!(f, "\nLeft out before decoding:\n{}", self.ledger)?;
        self.refused_posters(f)?;
        self.duplicate_posters(f)?;
        self.genre_counts(f)?;
        self.poster_sizes(f)?;
        self.experiments(f)?;
        self.costs(f)?;
        write!(f, "Pixels: {PIXEL_RULES}")
    }
}

impl Report {
    fn refused_posters(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let heading = "Refused:";
        let lines = self
            .refused
            .iter()
            .map(|RefusedPoster { poster, reason }| format!("{:<14} {}", short(poster, NAME), printable(reason)));
        first_lines(f, heading, lines, 20, "more")
    }

    fn duplicate_posters(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let bytes = "Same bytes under several ids, of which the first is used:";
        let picture = "Same picture under several ids, which are kept on one side of the split:";
        for (heading, groups) in [(bytes, &self.duplicates), (picture, &self.twins)] {
            first_lines(f, heading, groups.iter().map(|group| group.join(", ")), 10, "more groups")?;
        }
        Ok(())
    }

    fn genre_counts(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "\nGenres (films with a poster):")?;
        for GenreCount { genre, films } in &self.genres {
            writeln!(f, "{films:>9}  {}", short(genre, NAME))?;
        }
        writeln!(f, "\nGenres per film:")?;
        for (genres, films) in &self.genres_per_film {
            writeln!(f, "{films:>9}  with {genres}")?;
        }
        Ok(())
    }

    fn poster_sizes(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Some(Sizes { width, height, commonest }) = &self.sizes else { return Ok(()) };
        let ([low_w, median_w, high_w], [low_h, median_h, high_h]) = (width, height);
        writeln!(f, "\nWidth {low_w} to {high_w} (median {median_w}), height {low_h} to {high_h} ({median_h})")?;
        for [w, h, count] in commonest {
            writeln!(f, "{count:>9}  {w}x{h}")?;
        }
        Ok(())
    }

    fn experiments(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let work = |of: &ExperimentPlan| Work {
            experiment: of.experiment,
            classes: of.genres.len(),
            train: of.train,
            val: of.val,
            test: of.test,
            course: Course::of_epochs(of.train, Recipe::best().batch, of.epochs),
            members: 1,
            epoch: Duration::try_from_secs_f64(of.seconds_an_epoch).ok(),
        };
        let work: Vec<Work> = self.experiments.iter().map(work).collect();
        write!(f, "\n{}", table(&work))?;
        for ExperimentPlan { experiment, rare, .. } in &self.experiments {
            if let Some(rare) = RareGenre::phrase(rare) {
                writeln!(f, "warning: {experiment}: {rare}")?;
            }
        }
        Ok(())
    }

    fn costs(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Plan {
            cache_bytes,
            free_bytes,
            seconds_to_build,
            posters_per_second,
            images_per_second,
            bf16_gain,
            memory_bytes,
            threads,
        } = self.plan;
        let gb = |bytes: u64| bytes as f64 / 1e9;
        let minutes = self.experiments.iter().map(|of| of.epochs as f64 * of.seconds_an_epoch).sum::<f64>() / 60.0;
        let (cache, free) = (gb(cache_bytes), gb(free_bytes));
        writeln!(f, "\nA cache of all posters: {cache:.2} GB, {free:.2} GB are free")?;
        write!(f, "{seconds_to_build:.0} s to build it at {posters_per_second:.0} posters/s; ")?;
        writeln!(f, "training by default {minutes:.0} min at {images_per_second:.0} images/s ({threads} threads)")?;
        match bf16_gain < 0.1 {
            true => writeln!(f, "bf16 (--precision): multiplied {:.0} times slower than f32", 1.0 / bf16_gain)?,
            false => writeln!(f, "bf16 (--precision): multiplied {bf16_gain:.1} times as fast as f32")?,
        }
        if let Some(memory) = memory_bytes {
            let memory = gb(memory);
            writeln!(
                f,
                "Memory: {memory:.2} GB, the cache not included, which the system keeps as far as it has room"
            )?;
        }
        Ok(())
    }
}

/// Writes a heading and at most `most` lines under it, then how many `more` there are; writes
/// nothing where there are no lines.
fn first_lines(
    f: &mut fmt::Formatter,
    heading: &str,
    lines: impl ExactSizeIterator<Item = String>,
    most: usize,
    more: &str,
) -> fmt::Result {
    let count = lines.len();
    if count > 0 {
        writeln!(f, "{heading}")?;
    }
    for line in lines.take(most) {
        writeln!(f, "  {line}")?;
    }
    if count > most {
        writeln!(f, "  and {} {more}, which --json names", count - most)?;
    }
    Ok(())
}
