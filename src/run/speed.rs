//! How fast this machine trains: measured on a few steps, of a scratch model before a run or on the
//! first ones of the run itself.

use crate::error::Result;
use crate::nn::{Average, Input, Isa, Objective, Optimizer, Pass, Sequential, Trainer};
use crate::progress::duration;
use crate::run::recipe::Recipe;
use std::time::{Duration, Instant};

/// The steps that are measured. The first half is not timed: it touches its memory for the first
/// time, and finds batches that were made while nobody waited for them.
const STEPS: usize = 12;
/// Where batches are large, about as many films are enough.
const FILMS: usize = 512;
/// And a slow machine shows its speed in fewer: after this time no further one begins, from the third on.
const ENOUGH: Duration = Duration::from_secs(5);

/// The seconds that a film takes on this machine, with the threads of the current pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    /// In a step of training, waiting for its poster included.
    pub train: f64,
    /// To be answered.
    pub answer: f64,
}

impl Speed {
    /// How many steps a measurement takes at most, given the films in one.
    pub fn steps(batch: usize) -> usize {
        (FILMS / batch).clamp(4, STEPS)
    }

    /// The time of an epoch on so many films, and of its validation.
    pub fn epoch(&self, train: usize, val: usize) -> Duration {
        let seconds = self.train * train as f64 + self.answer * val as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// Trains a model that is thrown away, and lets it answer. `view` shows the images and labels
    /// of a batch. `None` where there are no batches.
    ///
    /// # Errors
    /// Those of the batches, and those of building the model.
    pub fn measure<B>(
        recipe: &Recipe,
        (objective, outputs): (impl Into<Objective>, usize),
        isa: Isa,
        batches: impl Iterator<Item = Result<B>>,
        view: impl Fn(&B) -> (&[u8], &[f32]),
    ) -> Result<Option<Self>> {
        let mut model = Sequential::build(recipe.model(outputs), isa, 1)?;
        model.train_in(recipe.precision.into());
        model.reserve(recipe.batch);
        let optimizer = Optimizer::new(recipe.rule, &mut model);
        let mut trainer = Trainer::new(objective, optimizer, 1);
        trainer.average = (recipe.ema > 0.0).then(|| Average::new(recipe.ema, &model));

        // The films that are done, and when, before the first step and after each.
        let mut marks = vec![(0, Instant::now())];
        let mut last = None;
        for batch in batches.take(Self::steps(recipe.batch)) {
            if marks.len() > 2 && marks[0].1.elapsed() > ENOUGH {
                break;
            }
            let batch = batch?;
            let (images, labels) = view(&batch);
            trainer.step(&mut model, Input::U8(images), labels);
            marks.push((marks[marks.len() - 1].0 + labels.len() / outputs, Instant::now()));
            last = Some(batch);
        }
        let Some(last) = last else { return Ok(None) };
        let (images, labels) = view(&last);
        let mut answer = || {
            let begin = Instant::now();
            model.forward(Input::U8(images), Pass::Inference);
            begin.elapsed().as_secs_f64() * outputs as f64 / labels.len() as f64
        };
        // The first pass claims its memory.
        answer();
        let (begin, end) = (marks[(marks.len() - 1) / 2], marks[marks.len() - 1]);
        let train = (end.1 - begin.1).as_secs_f64() / (end.0 - begin.0) as f64;
        Ok(Some(Self { train, answer: answer() }))
    }
}

/// The first steps of a run, which tell how long its epochs will take.
#[derive(Debug)]
pub struct FirstSteps {
    train: usize,
    epochs: usize,
    steps: usize,
    /// The films that were done after the first half of the steps, and when.
    begin: (usize, Instant),
}

impl FirstSteps {
    /// A run of so many epochs on `train` films, which begins now.
    pub fn of(train: usize, epochs: usize) -> Self {
        Self { train, epochs, steps: 0, begin: (0, Instant::now()) }
    }

    /// Tells that another step is over, with which `films` are done. Returns a note about the time
    /// of an epoch once, after the last of the first steps; a run of fewer steps has none.
    pub fn step(&mut self, films: usize) -> Option<String> {
        self.steps += 1;
        let (before, begin) = self.begin;
        if self.steps == STEPS / 2 {
            self.begin = (films, Instant::now());
        }
        (self.steps == STEPS).then(|| {
            let epoch = begin.elapsed().as_secs_f64() * self.train as f64 / (films - before) as f64;
            let [one, all] = [1, self.epochs].map(|epochs| Duration::from_secs_f64(epoch * epochs as f64));
            format!("an epoch takes about {}, all {} take {}", duration(one), self.epochs, duration(all))
        })
    }
}
