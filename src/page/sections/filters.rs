//! The network: its layers, and the filters of its first convolution as pictures.

use crate::nn::{LayerSpec, Role, Sequential};
use crate::page::chart::{number, picture};
use crate::page::document::{Figure, Head, Section, Table, absent};
use crate::page::folder::Folder;
use crate::text::thousands;
use maud::{Markup, html};

/// The most filters that are shown.
const MOST: usize = 128;

pub(in crate::page) fn section(folder: &Folder) -> Section {
    let body = match &folder.classifier {
        Some(classifier) => html! {
            @if classifier.members() > 1 {
                p { "The first of " (classifier.members()) " networks, whose probabilities are averaged; the others have the same layers." }
            }
            (filters(&classifier.network)) (layers(&classifier.network))
        },
        None => absent("There is no model.safetensors."),
    };
    Section { id: "network", title: "The network", body }
}

/// The filters of the first convolution over RGB pixels; a sentence if there are none.
fn filters(network: &Sequential) -> Markup {
    let parameters = network.parameters();
    let kernel = parameters.into_iter().find(|of| of.role == Role::Kernel && of.shape.len() == 4);
    // Behind a stem a pixel is a square of them.
    let stem = match network.spec().layers[..] {
        [LayerSpec::SpaceToDepth { block }, ..] => block,
        _ => 1,
    };
    let shape = kernel.map(|kernel| (kernel, &kernel.shape[..]));
    let Some((kernel, &[kh, kw, channels, count])) = shape.filter(|(_, shape)| shape[2] == 3 * stem * stem) else {
        return absent("The model has no convolution over colours whose filters could be shown.");
    };
    let [height, width] = [kh * stem, kw * stem];
    let at = |filter: usize, y: usize, x: usize, channel: usize| {
        let within = (y % stem * stem + x % stem) * 3 + channel;
        f64::from(kernel.value[((y / stem * kw + x / stem) * channels + within) * count + filter])
    };
    let all = |filter: usize| (0..height * width * 3).map(move |i| at(filter, i / 3 / width, i / 3 % width, i % 3));
    let shown = count.min(MOST);
    let chart = html! {
        div.filters {
            @for filter in 0..shown {
                @let largest = all(filter).fold(f64::MIN_POSITIVE, |most, weight| most.max(weight.abs()));
                (filter_picture(filter, [height, width], &|y, x| {
                    [0, 1, 2].map(|channel| (127.5 + 127.5 * at(filter, y, x, channel) / largest).round() as u8)
                }))
            }
        }
    };
    let mean =
        |filter: usize, channel: usize| all(filter).skip(channel).step_by(3).sum::<f64>() / (height * width) as f64;
    let rows = (0..shown).map(|filter| {
        let length = all(filter).map(|weight| weight * weight).sum::<f64>().sqrt();
        let means = (0..3).map(|channel| format!("{:+.3}", mean(filter, channel)));
        [(filter + 1).to_string(), format!("{length:.3}")].into_iter().chain(means).collect()
    });
    let table = Table {
        caption: "Length of each filter, and the mean weight of each colour in it",
        head: ["Filter", "Length", "Red", "Green", "Blue"].map(Head::Number).to_vec(),
        rows: rows.collect(),
    };
    let caption = html! {
        "Each of the " (thousands(count)) " filters of " (kernel.layer) " looks at " (height) " by " (width) " pixels. Grey is a
         weight of 0; a lighter red, green or blue is a positive weight of that colour, a darker one a negative weight.
         Every filter is brought to its own largest weight."
        @if shown < count { " The first " (shown) " are shown." }
    };
    Figure { title: "Filters of the first convolution", caption, chart, table }.markup()
}

fn filter_picture(filter: usize, [height, width]: [usize; 2], colour: &dyn Fn(usize, usize) -> [u8; 3]) -> Markup {
    let content = html! {
        @for y in 0..height {
            @for x in 0..width {
                @let [r, g, b] = colour(y, x);
                rect x=(x) y=(y) width="1" height="1" fill=(format!("#{r:02x}{g:02x}{b:02x}")) {}
            }
        }
    };
    let (name, size) = (format!("Filter {}", filter + 1), [width as f64, height as f64]);
    let description = format!("{} by {} weights as colours", number(size[1]), number(size[0]));
    picture(&format!("filter-{filter}"), &name, &description, size, &content)
}

fn layers(network: &Sequential) -> Markup {
    let plan = network.spec().plan().unwrap_or_default();
    let shape = |of: &[usize]| of.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
    let input = vec!["input".to_owned(), shape(&network.spec().input), String::new(), String::new()];
    let rows = plan.iter().map(|layer| {
        let flops = match layer.flops {
            0 => String::new(),
            1..50_000 => "< 0.1".to_owned(),
            flops => format!("{:.1}", flops as f64 / 1e6),
        };
        let count = layer.parameter_count();
        let count = if count > 0 { thousands(count) } else { String::new() };
        vec![layer.name.clone(), shape(&layer.output), count, flops]
    });
    let (all, _) = network.parameter_counts();
    let flops = format!("{:.1}", network.forward_flops() as f64 / 1e6);
    let total = vec!["total".to_owned(), String::new(), thousands(all), flops];
    let table = Table {
        caption: "Shape of the output, parameters, and millions of floating-point operations for one poster",
        head: vec![Head::Text("Layer"), Head::Number("Output"), Head::Number("Parameters"), Head::Number("MFLOP")],
        rows: std::iter::once(input).chain(rows).chain([total]).collect(),
    };
    html! { h3 { "Layers" } (table.markup()) }
}
