//! The recipes by their names, and the table of their values.

use clap::ValueEnum;
use onesheet::run::recipe::Recipe;
use onesheet::run::recipe_options::RecipeOptions;

/// The names of the recipes.
#[derive(Clone, Copy, ValueEnum)]
pub enum RecipeName {
    /// What learns most from real posters in minutes
    Best,
    /// What learns more in three times as long, from the weights of a run of `patterns` (--init-from)
    Long,
    /// What learns shapes from the patterns of `train demo --patterns`, for `long` to start from
    Patterns,
    /// The model and training of the starting report
    Report,
}

impl RecipeName {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Long => "long",
            Self::Patterns => "patterns",
            Self::Report => "report",
        }
    }

    /// The recipe.
    pub fn values(self) -> Recipe {
        match self {
            Self::Best => Recipe::best(),
            Self::Long => Recipe::long(),
            Self::Patterns => Recipe::patterns(),
            Self::Report => Recipe::report(),
        }
    }
}

/// The table of the recipes' values, one option per line.
pub fn table() -> String {
    let recipes: Vec<(&str, toml::Table)> = RecipeName::value_variants()
        .iter()
        .map(|recipe| (recipe.name(), toml::Table::try_from(recipe.values()).expect("plain data")))
        .collect();
    let value = |of: &toml::Value| match of {
        toml::Value::String(name) => name.replace('_', "-"),
        // Recipes hold f32, whose decimals are shorter than those of the f64 they become here.
        toml::Value::Float(value) => (*value as f32).to_string(),
        toml::Value::Array(values) => values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let line = |option: &str, values: Vec<String>| {
        let values: String = values.iter().map(|value| format!(" {value:<18}")).collect();
        format!("{option:<20}{}\n", values.trim_end())
    };
    let mut lines = line("Recipes:", recipes.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (option, field) in RecipeOptions::all() {
        // No recipe has a value for the momentum of an optimizer that it does not use.
        let values: Option<Vec<String>> = recipes.iter().map(|(_, recipe)| recipe.get(&field).map(value)).collect();
        lines += &values.map_or_else(String::new, |values| line(&format!("  {option}"), values));
    }
    lines
}
