//! Batch normalisation.

use super::{Backward, Claims, Description, Inputs, Layer, Pass, among, values};
use crate::nn::parameter::{Parameter, Role};
use crate::nn::tensor::Tensor;
use crate::ranks::Team;
use onesheet_kernels::batch_norm::{self, Gradients, Normalization, Workspace};
use onesheet_kernels::simd::Isa;

/// Batch norm keeps any shape; its parameters have one value per channel.
pub fn describe(input: &[usize], momentum: f32, epsilon: f32) -> Result<Description, &'static str> {
    if !(0.0..=1.0).contains(&momentum) {
        return Err("the momentum is between 0 and 1");
    }
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err("epsilon is above 0");
    }
    let c = channels(input);
    let roles = [Role::Gamma, Role::Beta, Role::MovingMean, Role::MovingVariance];
    Ok(Description { parameters: roles.map(|role| (role, vec![c])).to_vec(), ..Description::of_output(input.to_vec()) })
}

/// What batch norm claims beside its parameters for a batch of `n` items of a shape.
pub fn claims(n: usize, input: &[usize]) -> Claims {
    let (len, c) = (n * item_len(input), channels(input));
    Claims::new(Workspace::bytes(len, c) + 2 * c * size_of::<f32>(), [0; 2])
}

fn item_len(input: &[usize]) -> usize {
    values(input).expect("the plan was checked")
}

fn channels(input: &[usize]) -> usize {
    *input.last().expect("shapes have an axis")
}

/// The parameters of batch norm, and how its statistics move.
pub struct Norm {
    pub gamma: Parameter,
    pub beta: Parameter,
    pub moving_mean: Parameter,
    pub moving_variance: Parameter,
    pub momentum: f32,
    pub epsilon: f32,
}

impl Norm {
    pub fn new(layer: &str, c: usize, momentum: f32, epsilon: f32) -> Self {
        let parameter = |role, value| Parameter::per_channel(layer, role, c, value);
        Self {
            gamma: parameter(Role::Gamma, 1.0),
            beta: parameter(Role::Beta, 0.0),
            moving_mean: parameter(Role::MovingMean, 0.0),
            moving_variance: parameter(Role::MovingVariance, 1.0),
            momentum,
            epsilon,
        }
    }

    pub fn parameters(&self) -> [&Parameter; 4] {
        [&self.gamma, &self.beta, &self.moving_mean, &self.moving_variance]
    }

    pub fn parameters_mut(&mut self) -> [&mut Parameter; 4] {
        [&mut self.gamma, &mut self.beta, &mut self.moving_mean, &mut self.moving_variance]
    }

    /// Moves the statistics towards those of a batch.
    pub fn follow(&mut self, mean: &[f32], variance: &[f32]) {
        batch_norm::update_moving(self.momentum, mean, &mut self.moving_mean.value);
        batch_norm::update_moving(self.momentum, variance, &mut self.moving_variance.value);
    }

    /// The normalisation with these statistics.
    pub fn with<'a>(&'a self, mean: &'a [f32], variance: &'a [f32]) -> Normalization<'a> {
        Normalization { gamma: &self.gamma.value, beta: &self.beta.value, mean, variance, epsilon: self.epsilon }
    }
}

/// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each channel.
pub struct BatchNorm {
    norm: Norm,
    /// Values of one item.
    item_len: usize,
    /// The statistics of the last training batch, for the backward pass.
    mean: Vec<f32>,
    variance: Vec<f32>,
    workspace: Workspace,
    /// The ranks whose batches are one.
    team: Team,
}

impl BatchNorm {
    pub fn new(name: &str, input: &[usize], momentum: f32, epsilon: f32) -> Self {
        let c = channels(input);
        Self {
            norm: Norm::new(name, c, momentum, epsilon),
            item_len: item_len(input),
            mean: vec![0.0; c],
            variance: vec![0.0; c],
            workspace: Workspace::default(),
            team: Team::default(),
        }
    }
}

impl Layer for BatchNorm {
    fn each_parameter<'a>(&'a self, visit: &mut dyn FnMut(&'a Parameter)) {
        self.norm.parameters().into_iter().for_each(visit);
    }

    fn each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.norm.parameters_mut().into_iter().for_each(visit);
    }

    fn normalise_among(&mut self, team: &Team) {
        self.team = team.clone();
    }

    fn reserve(&mut self, _isa: Isa, n: usize, _training: bool) {
        self.workspace.reserve(n * self.item_len, self.mean.len());
    }

    fn forward(&mut self, isa: Isa, Inputs { x, .. }: Inputs, y: &mut Tensor, pass: Pass) {
        let Self { norm, mean, variance, workspace, team, .. } = self;
        if pass.is_training() {
            among(team, |others| batch_norm::statistics(isa, x.values(), others, mean, variance, workspace));
            norm.follow(mean, variance);
        }
        let by = match pass {
            Pass::Training { .. } => norm.with(mean, variance),
            Pass::Inference => norm.with(&norm.moving_mean.value, &norm.moving_variance.value),
        };
        batch_norm::forward(isa, &by, x.values(), y.values_mut(), workspace);
    }

    fn backward(&mut self, isa: Isa, Backward { inputs: Inputs { x, .. }, dy, dx, .. }: Backward) {
        let Self { norm: Norm { gamma, beta, epsilon, .. }, mean, variance, workspace, team, .. } = self;
        let by = Normalization { gamma: &gamma.value, beta: &beta.value, mean, variance, epsilon: *epsilon };
        let dx = dx.map(Tensor::values_mut);
        let to = Gradients { dx, dgamma: &mut gamma.gradient, dbeta: &mut beta.gradient };
        among(team, |others| batch_norm::backward(isa, &by, x.values(), dy.values(), others, to, workspace));
    }

    fn input_gradient(&mut self, isa: Isa, Backward { dy, dx, .. }: Backward) {
        let Self { norm: Norm { gamma, moving_variance, epsilon, .. }, workspace, .. } = self;
        if let Some(dx) = dx {
            // With statistics that stay it is a linear function: that of the gradient, without what
            // is added.
            let (gamma, variance, none) = (&gamma.value, &moving_variance.value, &vec![0.0; gamma.value.len()]);
            let by = Normalization { gamma, beta: none, mean: none, variance, epsilon: *epsilon };
            batch_norm::forward(isa, &by, dy.values(), dx.values_mut(), workspace);
        }
    }
}
