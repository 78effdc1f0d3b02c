//! `train predict` among ranks: rank 0 lists the posters and takes the answers, all of them look at the
//! posters.

use onesheet::classifier::Classifier;
use onesheet::classifier::predict::Prediction;
use onesheet::ranks::Team;
use onesheet::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Posters that a rank looks at before the answers are brought together: half a minute's work, or less.
const AT_ONCE: usize = 4096;

/// What is said of a poster, as one rank tells it another.
#[derive(Serialize, Deserialize)]
enum Told {
    Prediction(Prediction),
    Refused { poster: String, what: String, remedy: String },
}

/// Does on all ranks what [`Classifier::predict_all`] does on one: `each` is given the answers on rank 0,
/// which alone has the `posters`.
///
/// # Errors
/// Those of [`Classifier::predict_all`].
pub fn predict_all(
    classifier: &mut Classifier,
    team: &Team,
    mut posters: impl Iterator<Item = Result<PathBuf>>,
    top: usize,
    mut each: impl FnMut(Result<Prediction>) -> ControlFlow<()>,
) -> Result<()> {
    let mut goes_on = true;
    loop {
        let mut names = Vec::new();
        while team.is_first() && goes_on && names.len() < AT_ONCE * team.count() {
            match posters.next() {
                Some(poster) => names.push(poster?.into_os_string().into_encoded_bytes()),
                None => break,
            }
        }
        let names: Vec<Vec<u8>> = team.value_of_first(names);
        if names.is_empty() {
            return Ok(());
        }
        let own = names[team.place().share(names.len())].iter().cloned().map(crate::predict::path_of);
        let mut told = Vec::new();
        classifier.predict_all(own, top, |prediction| {
            told.push(tell(prediction));
            ControlFlow::Continue(())
        })?;
        for told in team.gather_values(&told).into_iter().flatten() {
            goes_on &= !team.is_first() || each(hear(told)).is_continue();
        }
    }
}

fn tell(prediction: Result<Prediction>) -> Told {
    match prediction {
        Ok(prediction) => Told::Prediction(prediction),
        Err(Error::Data { place, what, remedy }) => {
            Told::Refused { poster: place.path.to_string_lossy().into_owned(), what, remedy }
        }
        Err(error) => {
            Told::Refused { poster: String::new(), what: error.to_string(), remedy: "try it again".to_owned() }
        }
    }
}

fn hear(told: Told) -> Result<Prediction> {
    match told {
        Told::Prediction(prediction) => Ok(prediction),
        Told::Refused { poster, what, remedy } => Err(Error::data(Path::new(&poster), what, remedy)),
    }
}
