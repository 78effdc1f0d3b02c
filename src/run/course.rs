//! How long a training is: steps, and the epochs that they make.

/// The course of a training on a number of films: epochs, of which the last one may be a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    train: usize,
    batch: usize,
    steps: usize,
}

impl Course {
    /// So many whole epochs on `train` films, `batch` of them per step.
    pub fn of_epochs(train: usize, batch: usize, epochs: usize) -> Self {
        Self { train, batch, steps: epochs.saturating_mul(train.div_ceil(batch)) }
    }

    /// So many steps on `train` films, `batch` of them per step.
    pub fn of_steps(train: usize, batch: usize, steps: usize) -> Self {
        Self { train, batch, steps }
    }

    /// All steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// How many epochs they make, the last of which may be a part of one.
    pub fn epochs(&self) -> usize {
        self.steps.div_ceil(self.steps_an_epoch())
    }

    /// How many films of its order an epoch goes through, which is counted from 1.
    pub fn films(&self, epoch: usize) -> usize {
        let left = self.steps.saturating_sub((epoch - 1).saturating_mul(self.steps_an_epoch()));
        left.saturating_mul(self.batch).min(self.train)
    }

    /// How many films all epochs go through.
    pub fn all_films(&self) -> usize {
        let whole = self.steps / self.steps_an_epoch();
        whole.saturating_mul(self.train).saturating_add(self.films(whole + 1))
    }

    fn steps_an_epoch(&self) -> usize {
        self.train.div_ceil(self.batch).max(1)
    }
}
