//! Checks of what options name, before any work begins.

use onesheet::data::decode::ImageSpec;
use onesheet::report::Monitor;
use onesheet::run::recipe::{Keep, Pooling, Recipe};
use onesheet::run::recipe_options::RecipeOptions;
use onesheet::run::values::image_size_text;
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
    check_stem(recipe, "--input", recipe.input)?;
    let Err(error) = recipe.model(1).plan() else { return Ok(()) };
    // The sides that are shorter are raised.
    let with = |side: usize| ImageSpec { height: recipe.input.height.max(side), width: recipe.input.width.max(side) };
    let fits = |side: &usize| Recipe { input: with(*side), ..recipe.clone() }.model(1).plan().is_ok();
    let (input, blocks) = (image_size_text(recipe.input), recipe.filters.len());
    match (1..=ImageSpec::POSTER.height).find(fits).map(|side| image_size_text(with(side))) {
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

/// Refuses a size of posters that the squares of the stem do not fill; `option` is what names it.
fn check_stem(recipe: &Recipe, option: &str, size: ImageSpec) -> Result<()> {
    let stem = recipe.stem;
    match size.height.is_multiple_of(stem) && size.width.is_multiple_of(stem) {
        true => Ok(()),
        false => {
            let what = format!("squares of --stem {stem} do not fill posters of {option} {}", image_size_text(size));
            Err(Error::usage(what, format!("name sides that {stem} divides")))
        }
    }
}

/// Refuses sizes of a training that do not grow to the model's own, or that its weights depend on.
///
/// # Errors
/// [`Error::Usage`] with the options that decide it.
pub fn check_sizes(recipe: &Recipe) -> Result<()> {
    let Recipe { progressive, input, .. } = recipe;
    let sizes: Vec<ImageSpec> = progressive.iter().chain([input]).copied().collect();
    let is_smaller = |a: ImageSpec, b: ImageSpec| a.height <= b.height && a.width <= b.width && a != b;
    if let Some(pair) = sizes.windows(2).find(|pair| !is_smaller(pair[0], pair[1])) {
        let [size, next] = [pair[0], pair[1]].map(image_size_text);
        let what = format!("the sizes of --progressive grow up to --input, and {size} is not smaller than {next}");
        return Err(Error::usage(what, "name smaller ones first"));
    }
    if !progressive.is_empty() && recipe.pooling == Pooling::Flatten {
        let what = "--progressive changes the size of the last image, on which weights depend after --pooling flatten";
        return Err(Error::usage(what, "add --pooling average, or leave it out"));
    }
    progressive.iter().try_for_each(|&size| check_stem(recipe, "--progressive", size))?;
    let fits = |size: ImageSpec| Recipe { input: size, ..recipe.clone() }.model(1).plan().is_ok();
    match progressive.iter().find(|size| !fits(**size)) {
        Some(&size) => {
            let (size, blocks) = (image_size_text(size), recipe.filters.len());
            let what = format!("--progressive {size} is too small for the {blocks} blocks of --filters");
            Err(Error::usage(what, "name larger sizes, or fewer --filters"))
        }
        None => Ok(()),
    }
}

/// Refuses what only another option would use.
///
/// # Errors
/// [`Error::Usage`] with the options that contradict each other.
pub fn check_controls(recipe: &Recipe, options: &RecipeOptions) -> Result<()> {
    let &Recipe { patience, plateau, .. } = recipe;
    if options.given::<f64>("plateau_factor").is_some() && plateau == 0 {
        return Err(Error::usage("--plateau-factor is of --plateau", "add --plateau N, such as --plateau 3"));
    }
    if options.given::<f32>("magnitude").is_some() && recipe.randaugment == 0 {
        return Err(Error::usage("--magnitude is of --randaugment", "add --randaugment N, such as --randaugment 2"));
    }
    if options.given::<f32>("auxiliary_weight").is_some() && recipe.auxiliary.is_empty() {
        let remedy = "add --auxiliary LIST, such as --auxiliary themes,countries";
        return Err(Error::usage("--auxiliary-weight is of --auxiliary", remedy));
    }
    if (1..=plateau).contains(&patience) {
        let what = format!("--patience {patience} ends the training before --plateau {plateau} could help it");
        return Err(Error::usage(what, "name more epochs for --patience than for --plateau"));
    }
    Ok(())
}

/// Refuses a metric that was asked for to compare the epochs of a run, where nothing does.
///
/// # Errors
/// [`Error::Usage`] with the options that do.
pub fn check_monitor(recipe: &Recipe, asked: Option<Monitor>) -> Result<()> {
    let &Recipe { keep, patience, plateau, .. } = recipe;
    match asked {
        Some(_) if keep == Keep::Last && (patience, plateau) == (0, 0) => {
            let what = "--monitor compares epochs, and nothing here asks which is better";
            Err(Error::usage(what, "add --keep best, --patience or --plateau"))
        }
        _ => Ok(()),
    }
}
