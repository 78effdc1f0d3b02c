//! Checks of what options name, before any work begins.

use onesheet::data::decode::ImageSpec;
use onesheet::run::recipe::Recipe;
use onesheet::{Error, Result};
use std::path::Path;

/// Refuses what is easily taken for the folder of the data: a file in it, or its posters.
///
/// # Errors
/// [`Error::Data`], naming the folder that is meant.
pub fn check_data(data: &Path) -> Result<()> {
    let is_data = |folder: &Path| folder.join("genres.csv").exists();
    let parent = || {
        data.parent().filter(|folder| is_data(folder)).map(|folder| match folder.as_os_str().is_empty() {
            true => ".".to_owned(),
            false => folder.display().to_string(),
        })
    };
    if data.is_file() {
        let remedy = match parent() {
            Some(folder) => format!("name the folder that it is in: --data {folder}"),
            None => "name the folder that holds genres.csv and posters/".to_owned(),
        };
        return Err(Error::data(data, "it is a file", remedy));
    }
    match parent() {
        Some(folder) if data.is_dir() && !is_data(data) => {
            Err(Error::data(data, "there is no genres.csv in it", format!("name the folder above it: --data {folder}")))
        }
        _ => Ok(()),
    }
}

/// Refuses a model whose image is used up before its last block, and names the options that decide
/// it.
///
/// # Errors
/// [`Error::Usage`] with the smallest input that would do.
pub fn check_model(recipe: &Recipe) -> Result<()> {
    let Err(error) = recipe.model(1).plan() else { return Ok(()) };
    let fits = |input: &usize| Recipe { input: *input, ..recipe.clone() }.model(1).plan().is_ok();
    let (input, blocks) = (recipe.input, recipe.filters.len());
    match (input + 1..=ImageSpec::POSTER.height).find(fits) {
        Some(smallest) => {
            let what = format!("--input {input} is too small for the {blocks} blocks of --filters");
            Err(Error::usage(what, format!("name --input {smallest} or more, or fewer --filters")))
        }
        None if Recipe { filters: recipe.filters[..1].to_vec(), ..recipe.clone() }.model(1).plan().is_ok() => {
            let what = format!("--filters names {blocks} blocks, which leave nothing of an image of {input} pixels");
            Err(Error::usage(what, "name fewer of them"))
        }
        None => Err(error),
    }
}
