//! The model card: a `README.md` beside a model that tells whoever finds it what the model is, what
//! it is worth and where it fails, in the form that Hugging Face's hub reads.
//!
//! Mitchell et al. 2019, Model Cards for Model Reporting, <https://arxiv.org/abs/1810.03993>.

use crate::classifier::{Classifier, MODEL_FILE};
use crate::data::auxiliary::Taught;
use crate::data::frames::Frame;
use crate::error::Result;
use crate::files;
use crate::nn::Head;
use crate::report::{CHANCE_AUC, FEW, Metrics, percent, score, short};
use crate::run::options::{Options, Teaching};
use crate::run::recipe::Keep;
use crate::version::VERSION;
use std::path::Path;

/// The file of the card in an experiment's folder.
pub const CARD_FILE: &str = "README.md";

/// The most characters of a genre's name in a card.
const NAME: usize = 60;

/// What a card is made from.
///
/// The same training gives the same card: there is no time, path or thread count in it.
pub struct Card<'a> {
    /// The options in force.
    pub options: &'a Options,
    /// The films that it was trained, chosen and measured on.
    pub frame: &'a Frame,
    /// What it was taught beside the genres.
    pub taught: Option<&'a Taught>,
    /// The classifier as it was saved.
    pub classifier: &'a Classifier,
    /// The SHA-256 of the model file in hexadecimal.
    pub model_sha256: &'a str,
    /// The metrics on the test films; `None` where they were not looked at.
    pub metrics: Option<&'a Metrics>,
}

/// Writes the card into the folder of an experiment.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where the file cannot be written.
pub fn write_card(folder: &Path, card: &Card) -> Result<()> {
    files::write_atomically(&folder.join(CARD_FILE), |file| file.write_all(card.text().as_bytes()))
}

impl Card<'_> {
    /// The card as Markdown below a header in YAML.
    pub fn text(&self) -> String {
        let parts = [self.header(), self.summary(), self.usage(), self.data(), self.results(), self.limits()];
        parts.concat() + &self.training()
    }

    /// The header. Nothing of others is in it: all is fixed text and numbers, which need no quotes.
    ///
    /// <https://huggingface.co/docs/hub/model-cards>
    fn header(&self) -> String {
        let kind = match self.classifier.meta.head {
            Head::Sigmoid => "multi-label-classification",
            Head::Softmax => "multi-class-classification",
        };
        let mut text = format!(
            "---\n\
             # license: yours to choose; it also depends on the posters\n\
             library_name: onesheet\n\
             pipeline_tag: image-classification\n\
             tags:\n- image-classification\n- {kind}\n- film-genres\n- movie-posters\n"
        );
        let Some(metrics) = self.metrics else { return text + "---\n" };
        let values = [
            ("accuracy", "Categorical accuracy", metrics.categorical_accuracy),
            ("top1_hit", "Top-1 hit", Some(metrics.top1_hit)),
            ("top3_hit", "Top-3 hit", Some(metrics.top3_hit)),
            ("average_precision", "Macro average precision", metrics.macro_ap),
            ("roc_auc", "Macro AUC", metrics.macro_auc),
            ("f1", "Macro F1", metrics.macro_f1),
        ];
        let values: Vec<_> = values.into_iter().filter_map(|(kind, name, value)| Some((kind, name, value?))).collect();
        text += "metrics:\n";
        text.extend(values.iter().map(|(kind, ..)| format!("- {kind}\n")));
        text += &format!(
            "model-index:\n\
             - name: onesheet-{}\n  \
               results:\n  \
               - task:\n      \
                   type: image-classification\n    \
                 dataset:\n      \
                   name: film posters\n      \
                   type: film-posters\n      \
                   split: test\n    \
                 metrics:\n",
            self.classifier.meta.experiment
        );
        for (kind, name, value) in values {
            text += &format!("    - type: {kind}\n      name: {name}\n      value: {value}\n");
        }
        text + "---\n"
    }

    fn summary(&self) -> String {
        let Self { options, frame, classifier, .. } = self;
        let parameters = classifier.network.parameter_counts().0;
        let (what, it_has) = match classifier.members() {
            1 => ("A convolutional network that sees the poster of a film and says".to_owned(), "It has".to_owned()),
            count => (
                format!("{count} convolutional networks that each see the poster of a film, and together say"),
                "Their probabilities are averaged. Each has".to_owned(),
            ),
        };
        let answer = match classifier.meta.head {
            Head::Sigmoid => "which of these genres it has, a probability for each",
            Head::Softmax => "which one of these genres it has, probabilities that sum to 1",
        };
        let genres: Vec<String> = frame.genres.iter().map(|genre| markdown(genre)).collect();
        let start = match (&options.init_from, classifier.members()) {
            (Some(_), 1) => "its weights start as those of another trained model",
            (Some(_), _) => "their weights start as those of other trained models",
            (None, 1) => "its weights start at random",
            (None, _) => "their weights start at random, each with a seed of its own",
        };
        let was = if classifier.members() == 1 { "It was" } else { "They were" };
        format!(
            "\n# Film genres from posters: {}\n\n\
             {what} {answer}: {}.\n\n\
             {it_has} {parameters} weights and takes RGB images of {height}x{width}. {was} trained on CPUs by onesheet \
             {VERSION}; {start}.\n",
            classifier.meta.experiment,
            genres.join(", "),
            height = options.recipe.input.height,
            width = options.recipe.input.width,
        )
    }

    fn usage(&self) -> String {
        let answer = match (self.classifier.meta.head, &self.classifier.meta.thresholds) {
            (Head::Softmax, _) => "The most probable genre is the answer.",
            (Head::Sigmoid, Some(_)) => {
                "A genre counts as predicted above a threshold of its own, which was chosen for the best F1 on the \
                 validation films and is in the model file."
            }
            (Head::Sigmoid, None) => "A genre counts as predicted above a probability of 0.5.",
        };
        format!(
            "\n## Use\n\n\
             In this folder:\n\n\
             ```sh\n\
             train predict . poster.jpg         # the most probable genres; any number of JPEG files of any size\n\
             train evaluate . --data DIR        # measure it on a folder with genres.csv and posters/\n\
             ```\n\n\
             {answer} `{MODEL_FILE}` holds the weights as 32-bit floats under Keras' names and in Keras' layouts, and \
             the model as JSON in its metadata.\n"
        )
    }

    fn data(&self) -> String {
        let Frame { genres, train, val, test } = self.frame;
        let mut text = format!(
            "\n## Training data\n\n\
             Posters of {} films: {} to train, {} to validate (they choose the epoch and the thresholds), {} to test. \
             The side of a film is decided by a hash of its id. Films without a poster that decodes, with more than \
             {} genres, or with the very bytes of another's poster were left out.\n\n\
             | genre | train | validation | test |\n|---|--:|--:|--:|\n",
            train.len() + val.len() + test.len(),
            train.len(),
            val.len(),
            test.len(),
            self.options.max_genres,
        );
        let mut counts = vec![[0; 3]; genres.len()];
        for (side, films) in [train, val, test].into_iter().enumerate() {
            films.iter().flat_map(|film| &film.genres).for_each(|&genre| counts[genre][side] += 1);
        }
        for (genre, [train, val, test]) in genres.iter().zip(counts) {
            text += &format!("| {} | {train} | {val} | {test} |\n", markdown(genre));
        }
        if let Some(taught) = self.taught {
            text += &format!(
                "\nWhile it was trained, it also had to tell other things of the posters, of which nothing is left in \
                 the model but features: {taught}.\n"
            );
        }
        text
    }

    fn results(&self) -> String {
        let head = "\n## Results\n\n";
        let Some(metrics) = self.metrics else {
            return format!("{head}The test films were not looked at.\n");
        };
        let (baselines, intervals) = (&metrics.baselines, metrics.intervals.as_ref());
        let range = |ends: Option<[f64; 2]>, show: fn(f64) -> String| {
            ends.map_or(String::new(), |[low, high]| format!("{} to {}", show(low), show(high)))
        };
        let plain: fn(f64) -> String = |value| score(Some(value));
        let mut rows: Vec<[String; 4]> = vec![
            [
                "top-1 hit".into(),
                percent(metrics.top1_hit),
                range(intervals.map(|of| of.top1_hit), percent),
                format!("{} (always the commonest genre)", percent(baselines.constant_top1_hit)),
            ],
            [
                "top-3 hit".into(),
                percent(metrics.top3_hit),
                range(intervals.map(|of| of.top3_hit), percent),
                format!("{} (always the best three)", percent(baselines.constant_top3_hit)),
            ],
            [
                "macro AP".into(),
                score(metrics.macro_ap),
                range(intervals.and_then(|of| of.macro_ap), plain),
                format!("{} (chance)", score(baselines.chance_macro_ap)),
            ],
            [
                "weighted AP".into(),
                score(metrics.weighted_ap),
                range(intervals.and_then(|of| of.weighted_ap), plain),
                format!("{} (chance)", score(baselines.chance_weighted_ap)),
            ],
            [
                "macro AUC".into(),
                score(metrics.macro_auc),
                range(intervals.and_then(|of| of.macro_auc), plain),
                format!("{CHANCE_AUC:.3} (chance)"),
            ],
            [
                "weighted AUC".into(),
                score(metrics.weighted_auc),
                range(intervals.and_then(|of| of.weighted_auc), plain),
                format!("{CHANCE_AUC:.3} (chance)"),
            ],
            ["macro F1".into(), score(metrics.macro_f1), String::new(), String::new()],
            ["micro F1".into(), score(Some(metrics.micro_f1)), String::new(), String::new()],
        ];
        if let Some(accuracy) = metrics.hamming_accuracy {
            let zeros = format!("{} (no genre at all)", percent(baselines.all_zeros_hamming_accuracy));
            rows.push(["Hamming accuracy".into(), percent(accuracy), String::new(), zeros]);
        }
        if let Some(accuracy) = metrics.subset_accuracy {
            rows.push(["subset accuracy".into(), percent(accuracy), String::new(), String::new()]);
        }
        if let Some(accuracy) = metrics.balanced_accuracy {
            let chance = format!("{} (chance)", percent(1.0 / metrics.genres.len() as f64));
            let range = range(intervals.and_then(|of| of.balanced_accuracy), percent);
            rows.push(["balanced accuracy".into(), percent(accuracy), range, chance]);
        }
        let mut text = format!(
            "{head}On {} test films, which neither the weights nor any choice has seen; beside each metric what an \
             answer gets that never looks at a poster.\n\n\
             | metric | value | 95 % interval | without looking |\n|---|--:|---|---|\n",
            metrics.films
        );
        rows.iter().for_each(|row| text += &format!("| {} |\n", row.join(" | ")));
        text += "\nA hit is a film of which a genre is among the k most probable ones. A macro mean counts all \
                 genres alike, a weighted one by their films. The intervals are of other films of the same kind, not of \
                 other seeds.\n\n\
                 | genre | films | AP | AUC | precision | recall | F1 |\n|---|--:|--:|--:|--:|--:|--:|\n";
        for genre in &metrics.per_genre {
            let numbers = [genre.ap, genre.auc, genre.precision, genre.recall, genre.f1].map(score);
            text += &format!("| {} | {} | {} |\n", markdown(&genre.genre), genre.support, numbers.join(" | "));
        }
        text
    }

    fn limits(&self) -> String {
        let mut limits = vec![
            "A poster says little about a film's genre. The table above says how much better the model is than an \
             answer that never looks; where the two are close, it has learned next to nothing."
                .to_owned(),
            "It knows the posters of its training data. Those of other countries, decades, languages or sizes of \
             production may look otherwise, and so may pictures that are no posters: it names genres for any image."
                .to_owned(),
            "The truth is what the data's catalogue says. Its genres are conventions, not all are noted for each \
             film, and the model learns the catalogue's habits with them."
                .to_owned(),
            "It may go by whatever goes together with a genre in the data, such as the age, sex or skin of the people \
             shown, lettering or colours. Do not use it to judge people, or to rate or bar films without a person \
             who looks."
                .to_owned(),
            "Posters that show the same picture are on one side of the split; one that is cropped or laid out anew, or \
             a sequel's that looks alike, may be on another. That makes the results look better than they are."
                .to_owned(),
            match self.classifier.members() {
                1 => "One training with one seed: another seed gives other numbers, by a few points.".to_owned(),
                count => format!("One training of each of the {count} networks: other seeds give other numbers."),
            },
        ];
        let rare: Vec<String> = self.frame.rare().iter().map(|of| markdown(&of.genre)).collect();
        if !rare.is_empty() {
            limits.insert(1, format!("Too few films to learn or measure these genres: {}.", rare.join(", ")));
        }
        if let Some(metrics) = self.metrics.filter(|metrics| metrics.films < FEW) {
            limits.insert(0, format!("The results are rough: {} test films are few.", metrics.films));
        }
        "\n## Limits\n\n".to_owned() + &limits.iter().map(|limit| format!("- {limit}\n")).collect::<String>()
    }

    fn training(&self) -> String {
        let (options, meta) = (self.options, &self.classifier.meta);
        let recipe = toml::to_string(&options.recipe).expect("plain data");
        let members = self.classifier.members();
        let kept = match (meta.epoch, &meta.best, options.recipe.keep) {
            (Some(epoch), Some(best), Keep::Best) => format!("The weights are those after epoch {epoch}: the {best}."),
            _ if members > 1 => format!(
                "Each network was trained on its own, with seeds from {} to {}.",
                options.seed,
                options.seed.wrapping_add(members as u64 - 1)
            ),
            _ => "The weights are those after the last epoch.".to_owned(),
        };
        let taught = options.teaching.as_ref().map_or(String::new(), |Teaching { weight, sha256, .. }| {
            format!(
                " What was learned is, for a share of {weight}, what another model says of the same images, and the labels \
                 for the rest. The SHA-256 of that model's file is {}.",
                sha256.concat()
            )
        });
        format!(
            "\n## Training\n\n\
             {kept}{taught} The options, by the names that they have in `config.toml`:\n\n\
             ```toml\n{recipe}seed = {}\n```\n\n\
             The same data, options and seed give the same file, byte for byte, on any number of threads. This one's \
             SHA-256:\n\n\
             ```\n{}\n```\n",
            options.seed, self.model_sha256
        )
    }
}

/// A name as Markdown shows it: in one line, and without a meaning of its own. A backslash takes the
/// meaning from any punctuation (CommonMark 0.31, 2.4).
fn markdown(name: &str) -> String {
    let mut text = String::new();
    for c in short(name, NAME).chars() {
        if c.is_ascii_punctuation() && !matches!(c, ',' | '-' | '\'') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
