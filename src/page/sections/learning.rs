//! What the losses and the metrics on the validation films did from epoch to epoch.

use crate::classifier::ensemble::member_folder;
use crate::page::FILE;
use crate::page::chart::{Axis, Key, Mark, Plot, legend};
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::progress::seconds;
use crate::report::{Epoch, percent, score};
use crate::text::excerpt;
use maud::{Markup, html};

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let meta = folder.classifier.as_ref().map(|classifier| &classifier.meta);
    let kept = meta.and_then(|meta| meta.epoch);
    let members = folder.classifier.as_ref().map_or(1, |classifier| classifier.members());
    let body = match &folder.history {
        Some(epochs) => html! {
            p {
                (epochs.len()) (if epochs.len() == 1 { " epoch" } else { " epochs" }) " in "
                (seconds(epochs.iter().map(|of| of.seconds).sum()))
                " of training steps."
                @if let Some(kept) = kept {
                    " The weights are those after epoch " (kept)
                    (meta.and_then(|meta| meta.best.as_deref()).map_or(String::new(), |best| format!(": the {}", excerpt(best)))) "."
                }
            }
            div.figures { (losses(Course { epochs, kept })) (scores(Course { epochs, kept })) }
        },
        None if members > 1 => html! {
            p {
                "Each of the " (members) " networks was trained on its own, and has its course in a report of its own: "
                @for number in 1..=members {
                    @let member = member_folder(number);
                    a href={ "../" (member) "/" (folder.own_name()) "/" (FILE) } { (member) }
                    (if number < members { ", " } else { "." })
                }
            }
        },
        None => absent("No epoch ended: there is no history.csv."),
    };
    Section { id: "learning", title: "Learning", body }
}

/// What is drawn over the epochs: its name, and its value after an epoch.
type Series<'a> = (&'a str, fn(&Epoch) -> Option<f64>);

/// The epochs, and the one whose weights were kept.
#[derive(Clone, Copy)]
struct Course<'a> {
    epochs: &'a [Epoch],
    kept: Option<usize>,
}

fn losses(course: Course) -> Markup {
    let epochs = course.epochs;
    let series: [Series; 2] =
        [("training films", |of| Some(of.train_loss)), ("validation films", |of| Some(of.val_loss))];
    let rows = epochs.iter().map(|of| {
        vec![
            of.epoch.to_string(),
            format!("{:.4}", of.train_loss),
            format!("{:.4}", of.val_loss),
            seconds(of.seconds),
            format!("{:.0}", of.images_per_second),
            percent(of.waiting),
        ]
    });
    let table = Table {
        caption: "Loss and speed of each epoch",
        head: vec![
            Head::Number("Epoch"),
            Head::Number("Training loss"),
            Head::Number("Validation loss"),
            Head::Number("Time"),
            Head::Number("Posters a second"),
            Head::Number("Waiting for posters"),
        ],
        rows: rows.collect(),
    };
    let values = || series.iter().flat_map(|(_, of)| epochs.iter().filter_map(of));
    let y = Axis::around("Loss per film", values());
    let caption = html! { "The training loss is measured with varied posters and dropout, before each step." };
    figure("losses", "Loss", caption, y, &series, course, table)
}

fn scores(course: Course) -> Markup {
    let epochs = course.epochs;
    let series: [Series; 4] = [
        ("top-1 hit", |of| Some(of.val_top1_hit)),
        ("top-3 hit", |of| Some(of.val_top3_hit)),
        ("macro AP", |of| of.val_macro_ap),
        ("macro AUC", |of| of.val_macro_auc),
    ];
    let rows = epochs.iter().map(|of| {
        vec![
            of.epoch.to_string(),
            percent(of.val_top1_hit),
            percent(of.val_top3_hit),
            score(of.val_macro_ap),
            score(of.val_macro_auc),
        ]
    });
    let table = Table {
        caption: "Metrics on the validation films after each epoch",
        head: vec![
            Head::Number("Epoch"),
            Head::Number("Top-1 hit"),
            Head::Number("Top-3 hit"),
            Head::Number("Macro AP"),
            Head::Number("Macro AUC"),
        ],
        rows: rows.collect(),
    };
    let caption = html! { "After each epoch, with one view of each poster." };
    figure("scores", "On the validation films", caption, Axis::of_shares("Share"), &series, course, table)
}

fn figure(
    id: &str,
    title: &str,
    caption: Markup,
    y: Axis,
    series: &[Series],
    Course { epochs, kept }: Course,
    table: Table,
) -> Markup {
    let last = epochs.last().map_or(1, |of| of.epoch);
    let mut marks: Vec<Mark> = kept.into_iter().map(|epoch| Mark::upright(epoch as f64)).collect();
    for (colour, (_, value)) in series.iter().enumerate() {
        let points = epochs.iter().filter_map(|of| Some([of.epoch as f64, value(of)?])).collect();
        marks.push(Mark::Line { points, colour });
    }
    let ends = series.iter().filter_map(|(name, value)| {
        let (first, last) = (value(epochs.first()?)?, value(epochs.last()?)?);
        Some(format!("{name} from {} to {}", score(Some(first)), score(Some(last))))
    });
    let description = format!("{}.", ends.collect::<Vec<_>>().join("; "));
    let plot = Plot { id, title, description, x: Axis::of_numbers("Epoch", last), y, marks, height: 260.0 };
    let names: Vec<String> = series.iter().map(|(name, _)| (*name).to_owned()).collect();
    let chart = html! {
        (plot.svg())
        (legend(&names, Key::Line(epochs.len())))
        @if kept.is_some() { p.note { "The dashed line marks the epoch that was kept." } }
    };
    Figure { title, caption, chart, table }.markup()
}
