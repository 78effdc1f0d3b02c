//! Trainings on disk: all that a training remembers, so that one that is taken up again goes on as
//! if it had never stopped, to the bit.
//!
//! A checkpoint is one safetensors file. Beside the weights and statistics, under the names that
//! they have in a model file, it holds `moments/0/..` and `moments/1/..`, what the optimiser
//! remembers of each; `average/..`, their moving average; and `best/..`, the weights that the
//! caller keeps aside. Nothing random is in it: streams of random numbers are functions of the seed
//! and the number of the step (see [`crate::rng`]).

use super::parameter::Parameter;
use super::tensors::{Named, Refusal, TensorFile, check_values, object, to_bytes as file_of};
use super::{Sequential, Trainer};
use crate::error::{Error, Result};
use crate::files::write_atomically;
#[cfg(feature = "posters")]
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::path::Path;

/// The field of the description that holds [`Remembered`].
const TRAINING: &str = "training";
const REMEDY: &str = "name a checkpoint of this training, or begin it again";

/// What a training remembers beside tensors.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// The optimiser's steps.
    steps: u64,
    /// Its [`rate_factor`](super::Optimizer::rate_factor).
    rate_factor: f64,
    /// The learning rate of its last step.
    last_rate: f32,
    /// The steps that the average has followed, where there is one.
    average: Option<u64>,
    /// Whether there are tensors `best/..`.
    best: bool,
}

/// The part of a description that this file reads.
#[derive(Deserialize)]
struct Description {
    training: Remembered,
}

/// Values for each parameter of a model, in its order.
pub(crate) type Values = Vec<Vec<f32>>;

impl Trainer {
    /// Writes the training to a file, whole or not at all: the model's weights and statistics, and
    /// all that the trainer remembers.
    ///
    /// # Errors
    /// [`Error::Data`] where the training has run away, so that [`resume`](Self::resume) would
    /// refuse it; [`Error::Io`] where the file cannot be written.
    ///
    /// # Panics
    /// If the trainer was made for another model.
    pub fn save(&self, model: &Sequential, path: &Path) -> Result<()> {
        let bytes = to_bytes(model, self, None, &Map::new(), path)?;
        write_atomically(path, |file| file.write_all(&bytes))
    }

    /// Takes up a training that [`save`](Self::save) wrote, where this trainer and `model` were made
    /// as those were: the next step gives the bits that it would have given then, on any number of
    /// threads.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it is damaged or of
    /// another model or trainer. `model` then has to be built again.
    pub fn resume(&mut self, model: &mut Sequential, path: &Path) -> Result<()> {
        Checkpoint::open(path)?.restore(model, self).map(drop)
    }
}

/// The bytes of a checkpoint whose description has the fields of `more`; `path` is where they will
/// be written.
///
/// # Errors
/// [`Error::Data`], naming `path`, for values that [`Checkpoint::restore`] would refuse.
///
/// # Panics
/// If the trainer was made for another model, or `more` has a field `training` or `checksum`.
pub(crate) fn to_bytes(
    model: &Sequential,
    trainer: &Trainer,
    best: Option<&Values>,
    more: &impl Serialize,
    path: &Path,
) -> Result<Vec<u8>> {
    let average = trainer.average.as_ref();
    let parameters = model.parameters();
    let mut all = Vec::new();
    for (i, of) in parameters.iter().enumerate() {
        let values = tensors(of, average.map(|average| &average.values[i][..]), best.map(|best| &best[i][..]));
        for (kind, values) in values {
            let name = kind.name(of);
            check_values(&name, values, |value| kind.allows(of, value)).map_err(|what| {
                let what = format!("the training cannot be saved: {what}");
                Error::data(path, what, "it has run away: train again with a lower learning rate")
            })?;
            all.push(Named { name, shape: &of.shape, values });
        }
    }
    let remembered = Remembered {
        steps: trainer.optimizer.steps(),
        rate_factor: trainer.optimizer.rate_factor,
        last_rate: trainer.optimizer.last_rate(),
        average: average.map(|average| average.steps),
        best: best.is_some(),
    };
    let mut description = object(more);
    let remembered = serde_json::to_value(remembered).expect("plain data");
    assert!(description.insert(TRAINING.to_owned(), remembered).is_none(), "the field `{TRAINING}` is the training's");
    file_of(all, description).map_err(|what| Error::data(path, what, "shorten its description"))
}

/// The bytes of a file that only says something: a checkpoint between two trainings.
///
/// # Errors
/// [`Error::Data`], naming `path`, for a description of more than 64 MiB.
#[cfg(feature = "posters")]
pub(crate) fn description_to_bytes(more: &impl Serialize, path: &Path) -> Result<Vec<u8>> {
    file_of(Vec::new(), object(more)).map_err(|what| Error::data(path, what, "shorten its description"))
}

/// An open checkpoint, which is what was written. No tensor of it has been read yet.
pub(crate) struct Checkpoint<'a> {
    path: &'a Path,
    file: TensorFile,
}

impl<'a> Checkpoint<'a> {
    /// Opens a checkpoint.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Data`] where it is damaged.
    pub fn open(path: &'a Path) -> Result<Self> {
        let file = TensorFile::open(path).and_then(|mut file| file.verify().map(|()| file));
        let file = file.map_err(|refusal| refuse(refusal, path))?;
        Ok(Self { path, file })
    }

    /// What the caller wrote into the description.
    ///
    /// # Errors
    /// [`Error::Data`] where a field of `T` is missing.
    #[cfg(feature = "posters")]
    pub fn description<T: DeserializeOwned>(&self) -> Result<T> {
        self.file.description().map_err(|what| refuse(what.into(), self.path))
    }

    /// Gives a model and its trainer back what they had, and returns the values kept aside.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::Data`] where it is damaged, or does not
    /// fit the two. Its header is checked before a value is read.
    pub fn restore(self, model: &mut Sequential, trainer: &mut Trainer) -> Result<Option<Values>> {
        let path = self.path;
        self.restore_from_file(model, trainer).map_err(|refusal| refuse(refusal, path))
    }

    fn restore_from_file(mut self, model: &mut Sequential, trainer: &mut Trainer) -> Result<Option<Values>, Refusal> {
        let Description { training: remembered } = self.file.description()?;
        if remembered.average.is_some() != trainer.average.is_some() {
            return Err(Refusal::File("it is of a training with another moving average".to_owned()));
        }
        let values = || model.parameters().into_iter().map(|of| of.value.to_vec()).collect::<Values>();
        let mut best = remembered.best.then(values);
        self.check_shapes(model, trainer, best.as_ref())?;

        let (mut result, mut i) = (Ok(()), 0);
        let file = &mut self.file;
        model.each_parameter_mut(|of| {
            if result.is_ok() {
                let average = trainer.average.as_mut().map(|average| &mut average.values[i][..]);
                result = read(file, of, average, best.as_mut().map(|best| &mut best[i][..]));
            }
            i += 1;
        });
        result?;
        trainer.optimizer.rate_factor = remembered.rate_factor;
        trainer.optimizer.go_on_after(remembered.steps, remembered.last_rate);
        if let (Some(average), Some(steps)) = (&mut trainer.average, remembered.average) {
            average.steps = steps;
        }
        Ok(best)
    }

    /// Refuses tensors that are not those of the model and its trainer.
    fn check_shapes(&self, model: &Sequential, trainer: &Trainer, best: Option<&Values>) -> Result<(), String> {
        let mut expected = 0;
        for (i, of) in model.parameters().into_iter().enumerate() {
            let average = trainer.average.as_ref().map(|average| &average.values[i][..]);
            for (kind, _) in tensors(of, average, best.map(|best| &best[i][..])) {
                self.file.check(&kind.name(of), &of.shape)?;
                expected += 1;
            }
        }
        match self.file.len() {
            found if found == expected => Ok(()),
            found => Err(format!("{found} tensors instead of {expected}")),
        }
    }
}

fn refuse(refusal: Refusal, path: &Path) -> Error {
    refusal.at(path, "read the checkpoint", REMEDY)
}

/// What a tensor of a checkpoint is to its parameter.
#[derive(Clone, Copy)]
enum Kind {
    Value,
    FirstMoment,
    SecondMoment,
    Average,
    Best,
}

impl Kind {
    fn name(self, of: &Parameter) -> String {
        let name = of.name();
        match self {
            Self::Value => name,
            Self::FirstMoment => format!("moments/0/{name}"),
            Self::SecondMoment => format!("moments/1/{name}"),
            Self::Average => format!("average/{name}"),
            Self::Best => format!("best/{name}"),
        }
    }

    /// Whether a training that goes well can leave such a value.
    fn allows(self, of: &Parameter, value: f32) -> bool {
        match self {
            Self::Value | Self::Average | Self::Best => of.role.allows(value),
            Self::FirstMoment => value.is_finite(),
            // A mean of squares.
            Self::SecondMoment => value.is_finite() && value >= 0.0,
        }
    }
}

/// The tensors of a parameter, given its values in the average and in those kept aside.
fn tensors<'a>(
    of: &'a Parameter,
    average: Option<&'a [f32]>,
    best: Option<&'a [f32]>,
) -> impl Iterator<Item = (Kind, &'a [f32])> {
    let [first, second] = &of.moments;
    let moments = [(Kind::FirstMoment, &first[..]), (Kind::SecondMoment, &second[..])];
    [(Kind::Value, &of.value[..])]
        .into_iter()
        .chain(moments.into_iter().filter(|(_, values)| !values.is_empty()))
        .chain(average.map(|values| (Kind::Average, values)))
        .chain(best.map(|values| (Kind::Best, values)))
}

/// Reads the tensors of a parameter, whose shapes have been checked.
fn read(
    file: &mut TensorFile,
    of: &mut Parameter,
    average: Option<&mut [f32]>,
    best: Option<&mut [f32]>,
) -> Result<(), Refusal> {
    let mut value = std::mem::take(&mut of.value);
    let mut moments = std::mem::take(&mut of.moments);
    let [first, second] = &mut moments;
    let moved = [(Kind::FirstMoment, &mut first[..]), (Kind::SecondMoment, &mut second[..])];
    let all = [(Kind::Value, &mut value[..])]
        .into_iter()
        .chain(moved.into_iter().filter(|(_, values)| !values.is_empty()))
        .chain(average.map(|values| (Kind::Average, values)))
        .chain(best.map(|values| (Kind::Best, values)));
    for (kind, values) in all {
        file.read(&kind.name(of), values, |value| kind.allows(of, value))?;
    }
    (of.value, of.moments) = (value, moments);
    Ok(())
}
