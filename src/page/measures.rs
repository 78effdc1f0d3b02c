//! The headline metrics of an experiment, each with its interval and the trivial answer that it has
//! to beat.

use crate::report::{CHANCE_AUC, Metrics, percent, score};

/// A metric.
pub(super) struct Measure {
    pub name: &'static str,
    /// What it says, in a sentence.
    pub meaning: &'static str,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
    pub baseline: f64,
    /// The answer that gets the baseline.
    pub trivial: &'static str,
    /// Whether it is a share of the films, which is shown in per cent.
    is_share: bool,
}

/// How a metric stands to its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// All of the interval lies above.
    Above,
    /// The baseline lies in the interval.
    Within,
    /// All of the interval lies below.
    Below,
}

impl Measure {
    /// The headline metrics that exist.
    pub fn all(metrics: &Metrics) -> Vec<Self> {
        let intervals = metrics.intervals.as_ref();
        let with_films = metrics.per_genre.iter().filter(|genre| genre.support > 0).count();
        let top_k = |name, meaning, value, interval, baseline, trivial| {
            Some(Self { name, meaning, value, interval, baseline, trivial, is_share: true })
        };
        let of = [
            top_k(
                "Top-1 hit",
                "films whose most probable genre is one of theirs",
                metrics.top1_hit,
                intervals.map(|all| all.top1_hit),
                metrics.baselines.constant_top1_hit,
                "best constant answer",
            ),
            top_k(
                "Top-3 hit",
                "films with one of their genres among the three most probable",
                metrics.top3_hit,
                intervals.map(|all| all.top3_hit),
                metrics.baselines.constant_top3_hit,
                "best three constants",
            ),
            Self::mean(
                "Macro AP",
                "average precision, the mean over the genres",
                metrics.macro_ap,
                intervals.and_then(|all| all.macro_ap),
                metrics.baselines.chance_macro_ap,
                "chance",
            ),
            Self::mean(
                "Macro AUC",
                "area under the ROC curve, the mean over the genres",
                metrics.macro_auc,
                intervals.and_then(|all| all.macro_auc),
                Some(CHANCE_AUC),
                "chance",
            ),
            Self::mean(
                "Balanced accuracy",
                "recall, the mean over the genres",
                metrics.balanced_accuracy,
                intervals.and_then(|all| all.balanced_accuracy),
                (with_films > 0).then(|| 1.0 / with_films as f64),
                "chance",
            ),
        ];
        of.into_iter().flatten().collect()
    }

    /// The means in which a genre counts by its films, as far as they exist.
    pub fn weighted(metrics: &Metrics) -> Vec<Self> {
        let intervals = metrics.intervals.as_ref();
        let of = [
            Self::mean(
                "Weighted AP",
                "average precision, the mean over the genres by their films",
                metrics.weighted_ap,
                intervals.and_then(|all| all.weighted_ap),
                metrics.baselines.chance_weighted_ap,
                "chance",
            ),
            Self::mean(
                "Weighted AUC",
                "area under the ROC curve, the mean over the genres by their films",
                metrics.weighted_auc,
                intervals.and_then(|all| all.weighted_auc),
                Some(CHANCE_AUC),
                "chance",
            ),
        ];
        of.into_iter().flatten().collect()
    }

    /// A mean over the genres; `None` where it or its baseline does not exist.
    fn mean(
        name: &'static str,
        meaning: &'static str,
        value: Option<f64>,
        interval: Option<[f64; 2]>,
        baseline: Option<f64>,
        trivial: &'static str,
    ) -> Option<Self> {
        Some(Self { name, meaning, value: value?, interval, baseline: baseline?, trivial, is_share: false })
    }

    /// A value of the metric as it is shown.
    pub fn shown(&self, value: f64) -> String {
        if self.is_share { percent(value) } else { score(Some(value)) }
    }

    /// The interval as it is shown, such as `40.8 – 48.2%`.
    pub fn shown_interval(&self) -> Option<String> {
        self.interval.map(|[low, high]| format!("{} – {}", self.shown(low).trim_end_matches('%'), self.shown(high)))
    }

    /// `None` without an interval.
    pub fn standing(&self) -> Option<Standing> {
        let [low, high] = self.interval?;
        Some(match self.baseline {
            baseline if low > baseline => Standing::Above,
            baseline if high < baseline => Standing::Below,
            _ => Standing::Within,
        })
    }
}

impl Standing {
    /// What it means, behind the name of the trivial answer.
    pub fn words(self) -> &'static str {
        match self {
            Self::Above => "clearly better",
            Self::Within => "within the interval: no clear difference",
            Self::Below => "clearly worse",
        }
    }
}
