//! The options of a recipe on the command line: each changes one field of whatever recipe they are
//! applied to.

use crate::error::{Error, Result};
use crate::nn::{Adam, Rule, Sgd};
use crate::run::recipe::Recipe;
use crate::run::recipe::headings::TRAINING;
use crate::run::values::{positive, share};
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

/// The options of the update rule on the command line. They depend on each other: another optimiser
/// has other defaults.
#[derive(Clone, Debug, Args)]
pub struct RuleOptions {
    /// Optimizer: how weights follow their gradients.
    #[arg(long, ignore_case = true, help_heading = TRAINING)]
    pub optimizer: Option<OptimizerName>,
    /// Learning rate [default: the recipe's, or that of Keras for another optimizer: 0.001 for
    /// adam, 0.01 for sgd].
    #[arg(
        long = "lr",
        value_name = "F",
        value_parser = positive::<f32>,
        visible_alias = "learning-rate",
        help_heading = TRAINING
    )]
    pub learning_rate: Option<f32>,
    /// Momentum of sgd.
    #[arg(long, value_name = "F", value_parser = share::<f32>, help_heading = TRAINING)]
    pub momentum: Option<f32>,
    /// Nesterov's momentum, for sgd.
    #[arg(long, help_heading = TRAINING)]
    pub nesterov: bool,
    /// The share of itself, times the learning rate, that a weight loses in a step (AdamW)
    /// [default: the recipe's, or 0 for another optimizer].
    #[arg(long, value_name = "F", value_parser = share::<f32>, help_heading = TRAINING)]
    pub weight_decay: Option<f32>,
}

/// The names of the update rules.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum OptimizerName {
    /// Adam; with weight decay it is AdamW.
    Adam,
    /// Adam with weight decay.
    #[value(name = "adamw")]
    AdamW,
    /// Stochastic gradient descent.
    Sgd,
}

impl RuleOptions {
    /// The update rule that results from applying the options to a recipe's rule, `base`.
    ///
    /// # Errors
    /// [`Error::Usage`] for options that would have no effect.
    fn apply(&self, base: Rule) -> Result<Rule> {
        let rule = match (self.optimizer, base) {
            (None, base) | (Some(OptimizerName::Adam | OptimizerName::AdamW), base @ Rule::Adam(_)) => base,
            (Some(OptimizerName::Adam | OptimizerName::AdamW), _) => Rule::adam(1e-3),
            (Some(OptimizerName::Sgd), _) => {
                Rule::Sgd(Sgd { learning_rate: 1e-2, momentum: 0.0, nesterov: false, weight_decay: 0.0 })
            }
        };
        match rule {
            Rule::Adam(_) if self.momentum.is_some() || self.nesterov => {
                Err(Error::usage("--momentum and --nesterov are of sgd", "add --optimizer sgd"))
            }
            Rule::Adam(adam)
                if self.optimizer == Some(OptimizerName::AdamW)
                    && self.weight_decay.unwrap_or(adam.weight_decay) == 0.0 =>
            {
                Err(Error::usage("adamw without weight decay is adam", "add --weight-decay, such as 0.05"))
            }
            Rule::Adam(adam) => Ok(Rule::Adam(Adam {
                learning_rate: self.learning_rate.unwrap_or(adam.learning_rate),
                weight_decay: self.weight_decay.unwrap_or(adam.weight_decay),
                ..adam
            })),
            Rule::Sgd(sgd) if self.nesterov && self.momentum.unwrap_or(sgd.momentum) == 0.0 => {
                Err(Error::usage("--nesterov changes nothing without momentum", "add --momentum, such as 0.9"))
            }
            Rule::Sgd(sgd) => Ok(Rule::Sgd(Sgd {
                learning_rate: self.learning_rate.unwrap_or(sgd.learning_rate),
                momentum: self.momentum.unwrap_or(sgd.momentum),
                nesterov: self.nesterov,
                weight_decay: self.weight_decay.unwrap_or(sgd.weight_decay),
            })),
        }
    }
}

/// The options of a recipe as a command line gives them: each changes one field of whatever recipe
/// they are applied to.
#[derive(Clone, Debug)]
pub struct RecipeOptions {
    rule: RuleOptions,
    given: ArgMatches,
}

impl RecipeOptions {
    /// The recipe, changed in those fields for which an option was given.
    ///
    /// # Errors
    /// [`Error::Usage`] for options that would have no effect.
    pub fn apply(&self, mut recipe: Recipe) -> Result<Recipe> {
        recipe.update_from_arg_matches(&self.given).expect("clap has read them already");
        Ok(Recipe { rule: self.rule.apply(recipe.rule)?, ..recipe })
    }

    /// The value that was given for the field of that name, if one was.
    ///
    /// # Panics
    /// If a recipe has no such field, or it is of another type.
    pub fn given<T: Clone + Send + Sync + 'static>(&self, field: &str) -> Option<T> {
        self.given.get_one(field).cloned()
    }

    /// The options and the fields that they set, in the order of the help text.
    pub fn all() -> Vec<(String, String)> {
        let command = Self::augment_args(Command::new("recipe"));
        let named = |arg: &clap::Arg| Some((format!("--{}", arg.get_long()?), arg.get_id().to_string()));
        command.get_arguments().filter_map(named).collect()
    }
}

impl Args for RecipeOptions {
    /// No option is required, since a recipe provides what is not given.
    fn augment_args(command: Command) -> Command {
        RuleOptions::augment_args(Recipe::augment_args_for_update(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RecipeOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { rule: RuleOptions::from_arg_matches(matches)?, given: matches.clone() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
