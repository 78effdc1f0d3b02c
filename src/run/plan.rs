//! What a run will do and what that takes, before it does any of it.

use crate::classifier::experiment::Experiment;
use crate::data::auxiliary::Taught;
use crate::data::cache::Cache;
use crate::data::decode::ImageSpec;
use crate::data::frames::Frame;
use crate::error::{Error, Result};
use crate::nn::Isa;
use crate::progress::duration;
use crate::report::columns;
use crate::run::course::Course;
use crate::run::memory;
use crate::run::options::Options;
use crate::run::speed::Speed;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an experiment leaves beside its weights: descriptions, and what is said of its films.
const BESIDE: u64 = 1 << 20;

/// What a run will do and what that takes; as text, some lines for the user.
#[derive(Debug)]
pub struct Plan {
    work: Vec<Work>,
    /// What is taught beside the genres, in words; empty where nothing is.
    auxiliary: String,
    memory: Amount,
    /// The cache, where one has to be made or to grow.
    cache: Option<Room>,
    /// The posters that will be decoded into it.
    to_decode: usize,
    results: Room,
    /// What the results take once the run is complete.
    left: u64,
    /// The seconds that a poster takes to be decoded, where any have to be.
    decoding: Option<f64>,
}

/// The work of an experiment.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub experiment: &'static str,
    pub classes: usize,
    pub train: usize,
    pub val: usize,
    pub test: usize,
    pub course: Course,
    /// The models that are trained.
    pub members: usize,
    /// The time of an epoch, where it has been measured.
    pub epoch: Option<Duration>,
}

/// Bytes that are needed, beside those that are free, where the system tells.
#[derive(Clone, Copy, Debug)]
struct Amount {
    needed: u64,
    free: Option<u64>,
}

/// A folder, and the bytes that it will take at most.
#[derive(Debug)]
struct Room {
    folder: PathBuf,
    needed: u64,
    free: u64,
}

impl Plan {
    /// The plan of a run of experiments with their films, which looks at so many `posters`, and with what
    /// else is taught to the one that takes it.
    ///
    /// # Errors
    /// If a model does not fit together, or the system does not tell the free space.
    pub(crate) fn of(
        options: &Options,
        experiments: &[(Experiment, &Frame)],
        posters: &BTreeSet<u64>,
        taught: Option<&Taught>,
        isa: Isa,
    ) -> Result<Self> {
        let (mut work, mut memory, mut left, mut largest) = (Vec::new(), 0, 0, 0);
        for (turn, (experiment, frame)) in experiments.iter().enumerate() {
            let options = options.of_turn(turn, Path::new(""));
            let (recipe, classes) = (&options.recipe, frame.genres.len());
            let taught = taught.filter(|_| experiment.takes_auxiliary());
            let auxiliary = taught.map_or(0, |taught| taught.heads.classes());
            let train = Taught::films(taught, frame).len();
            let model = recipe.model(classes + auxiliary).memory(isa, 1, Some(&recipe.rule))?;
            memory = memory.max(memory::needed_with_heads(&options, [classes, auxiliary], recipe.batch, isa)?);
            let members = options.members as u64;
            left += members * (model.values + BESIDE);
            if members > 1 {
                // All of them once more, in the file of the ensemble.
                left += members * model.values + BESIDE;
            }
            // Beside the model a better one, before they change places, and a checkpoint likewise:
            // what the optimiser keeps, the best weights, and the average of the weights.
            let average = if recipe.ema > 0.0 { model.values } else { 0 };
            largest = largest.max(model.values + 2 * (model.parameters + average));
            work.push(Work {
                experiment: experiment.name,
                classes,
                train,
                val: frame.val.len(),
                test: frame.test.len(),
                course: recipe.course(train),
                members: options.members,
                epoch: None,
            });
        }
        let others = taught.iter().flat_map(|taught| taught.train.iter().map(|film| film.id));
        let ids: BTreeSet<u64> = posters.iter().copied().chain(others).collect();
        let (cache, to_decode) = match &options.cache {
            Some(folder) => growth(folder, &ids)?,
            None => (None, 0),
        };
        let results = Room { folder: options.out.clone(), needed: left + largest, free: free_space(&options.out)? };
        let memory = Amount { needed: memory, free: memory::available() };
        let auxiliary = taught.map_or(String::new(), |taught| format!("also    {taught}\n"));
        Ok(Self { work, auxiliary, memory, cache, to_decode, results, left, decoding: None })
    }

    /// The posters that will be decoded into a cache.
    pub(crate) fn to_decode(&self) -> usize {
        self.to_decode
    }

    /// Refuses a run for which the disks have no room.
    ///
    /// # Errors
    /// [`Error::Io`], as for a disk that is full.
    pub fn check(&self) -> Result<()> {
        let rooms = [Some(&self.results), self.cache.as_ref()].into_iter().flatten();
        // No two disks have the same number of bytes free.
        let is_one_disk = self.cache.as_ref().is_some_and(|cache| cache.free == self.results.free);
        let all = rooms.clone().map(|room| room.needed).sum();
        for room in rooms {
            let needed = if is_one_disk { all } else { room.needed };
            if needed > room.free {
                let what = format!("the run takes {} and {} are free", size(needed), size(room.free));
                let full = io::Error::new(io::ErrorKind::StorageFull, what);
                return Err(Error::io(&room.folder, "make room for the run")(full));
            }
        }
        Ok(())
    }

    /// Notes what was measured: the speed, and the seconds that a poster takes to be decoded.
    pub(crate) fn measured(&mut self, speed: Speed, decoding: Option<f64>) {
        self.work.iter_mut().for_each(|work| work.epoch = Some(speed.epoch(work.train, work.val)));
        self.decoding = decoding;
    }

    /// The whole time of a run, where it has been measured.
    fn time(&self) -> Option<(Duration, Duration)> {
        let all: Option<Vec<Duration>> = self.work.iter().map(Work::time).collect();
        let decoding = self.decoding.map_or(0.0, |seconds| seconds * self.to_decode as f64);
        Some((Duration::try_from_secs_f64(decoding).unwrap_or_default(), all?.iter().sum()))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { work, auxiliary, memory, cache, to_decode, results, left, .. } = self;
        write!(f, "{}\n{auxiliary}", table(work))?;
        let free = memory.free.map_or(String::new(), |free| format!(", {} are free", size(free)));
        writeln!(f, "memory  {}{free}", size(memory.needed))?;
        if let Some(Room { folder, needed, free }) = cache {
            let (needed, free, folder) = (size(*needed), size(*free), folder.display());
            writeln!(f, "cache   {needed} in {folder}, {free} are free; {to_decode} posters to decode")?;
        }
        let Room { folder, needed, free } = results;
        let (needed, left, free) = (size(*needed), size(*left), size(*free));
        write!(f, "results {needed} at most in {}, {left} in the end, {free} are free", folder.display())?;
        if let Some((decoding, training)) = self.time() {
            write!(f, "\ntime    {}", duration(decoding + training))?;
            if *to_decode > 0 {
                write!(f, ", of which {} to decode the posters", duration(decoding))?;
            }
        }
        Ok(())
    }
}

impl Work {
    /// The time of all epochs, where it has been measured.
    pub fn time(&self) -> Option<Duration> {
        let epochs = self.course.all_films() as f64 / self.train.max(1) as f64;
        self.epoch.map(|epoch| epoch.mul_f64(self.members as f64 * epochs))
    }
}

/// The work of experiments, a line each; with times where they have been measured.
pub(crate) fn table(work: &[Work]) -> String {
    let is_measured = work.iter().all(|work| work.epoch.is_some());
    let has_members = work.iter().any(|work| work.members > 1);
    let mut head = vec!["experiment", "classes", "train", "val", "test"];
    head.extend(has_members.then_some("models"));
    head.extend(["epochs", "steps"]);
    if is_measured {
        head.extend(["per epoch", "in all"]);
    }
    let cells = |of: &Work| {
        let (epochs, steps) = (of.course.epochs(), of.members * of.course.steps());
        let films = [of.classes, of.train, of.val, of.test].into_iter();
        let counts = films.chain(has_members.then_some(of.members)).chain([epochs, steps]);
        let counts = counts.map(|count| count.to_string());
        let times = [of.epoch, of.time()].into_iter().flatten().map(duration);
        std::iter::once(of.experiment.to_owned()).chain(counts).chain(times.filter(|_| is_measured)).collect()
    };
    columns(head.into_iter().map(str::to_owned).collect(), work.iter().map(cells).collect(), &[0])
}

/// The bytes of a cache that holds these posters beside what it holds already, and how many of them
/// it lacks; no bytes where it lacks none.
fn growth(folder: &Path, ids: &BTreeSet<u64>) -> Result<(Option<Room>, usize)> {
    let cache = Cache::open(&Cache::path_in(folder, ImageSpec::POSTER), ImageSpec::POSTER).ok();
    let lacks = ids.iter().filter(|id| cache.as_ref().is_none_or(|cache| !cache.knows(**id))).count();
    if lacks == 0 {
        return Ok((None, 0));
    }
    let needed = Cache::bytes_for(lacks + cache.map_or(0, |cache| cache.len()), ImageSpec::POSTER);
    Ok((Some(Room { folder: folder.to_owned(), needed, free: free_space(folder)? }), lacks))
}

/// The free space on the disk of a folder, which need not exist yet, in bytes.
///
/// # Errors
/// [`Error::Io`] if the system does not tell.
pub(crate) fn free_space(folder: &Path) -> Result<u64> {
    // The last ancestor of a relative path is the empty one, which is the current folder.
    let exists = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    fs4::available_space(exists).map_err(Error::io(exists, "ask for the free space"))
}

/// Bytes in words.
fn size(bytes: u64) -> String {
    match bytes {
        0..100_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
