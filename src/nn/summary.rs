//! The model as a table, in the manner of Keras' `summary()`.

use super::layers::conv2d::Options;
use super::{LayerSpec, PlannedLayer, Sequential};
use crate::text::thousands;
use onesheet_kernels::conv2d::{Algorithm, Pass};
use onesheet_kernels::precision::Precision;
use std::fmt::Write;

impl Sequential {
    /// How many values all parameters have, and how many of them are trained.
    pub fn parameter_counts(&self) -> (usize, usize) {
        let (mut all, mut trained) = (0, 0);
        self.each_parameter(|parameter| {
            all += parameter.value.len();
            trained += if parameter.is_trained() { parameter.value.len() } else { 0 };
        });
        (all, trained)
    }

    /// Arithmetic of one item's forward pass, in floating-point operations (a multiply-add is two).
    pub fn forward_flops(&self) -> u64 {
        self.plan().iter().map(|layer| layer.flops).sum()
    }

    /// One line per layer: name, shape of one item of the output, parameters, arithmetic of the
    /// forward pass and its share of the model's; then the totals, and the precision of training where it
    /// is not f32. A second table names the
    /// algorithms of each convolution with their register tiles (see [`Algorithm::tile`]): of its
    /// forward pass, its input gradient and its weight gradient. Both fit into 80 columns.
    pub fn summary(&self) -> String {
        let (plan, flops) = (self.plan(), self.forward_flops() as f64);
        let mut text = line(["layer", "output", "parameters", "MFLOP", "share"].map(str::to_owned));
        text += &line(["input".into(), dims(&self.spec().input), String::new(), String::new(), String::new()]);
        let mut convolutions = String::new();
        // The first that computes: a stem only lays out its input.
        let stem = matches!(self.spec().layers.first(), Some(LayerSpec::SpaceToDepth { .. }));
        for (i, (layer, spec)) in plan.iter().zip(&self.spec().layers).enumerate() {
            let own = layer.flops as f64;
            let [mflop, share] = match layer.flops {
                0 => Default::default(),
                _ => [format!("{:.1}", own / 1e6), format!("{:.1} %", 100.0 * own / flops)],
            };
            text += &line([layer.name.clone(), dims(&layer.output), thousands(layer.parameter_count()), mflop, share]);
            if let Some(algorithms) = self.algorithms(spec, layer, i == usize::from(stem)) {
                convolutions += &passes(&layer.name, algorithms);
            }
        }
        let (all, trained) = self.parameter_counts();
        text += &line(["total".into(), String::new(), thousands(all), format!("{:.1}", flops / 1e6), String::new()]);
        let statistics = thousands(all - trained);
        writeln!(text, "{} parameters are trained, {statistics} are statistics", thousands(trained))
            .expect("a String takes all");
        if self.fused_blocks > 0 {
            let layers = "(conv2d, re_lu, batch_normalization, max_pooling2d)";
            writeln!(text, "fused: {} x {layers}", self.fused_blocks).expect("a String takes all");
        }
        if self.precision() != Precision::F32 {
            writeln!(text, "training multiplies in {}", self.precision()).expect("a String takes all");
        }
        if !convolutions.is_empty() {
            text += "\n";
            text += &passes("computed by", ["forward", "dx", "dw"].map(str::to_owned));
            text += &convolutions;
        }
        text
    }

    /// The algorithms of a layer's passes, if it is a convolution; the first layer has no input
    /// gradient.
    fn algorithms(&self, spec: &LayerSpec, layer: &PlannedLayer, is_first: bool) -> Option<[String; 3]> {
        let (&LayerSpec::Conv2d { filters, kernel, stride, padding }, &[h, w, c]) = (spec, &layer.input[..]) else {
            return None;
        };
        let shape = Options { filters, kernel, stride, padding }.shape([h, w, c]).expect("the plan was checked");
        // That of a training step, whose passes these are.
        let isa = self.isa().with_precision(self.precision());
        let of = |pass| match pass {
            Pass::BackwardX if is_first => "-".to_owned(),
            pass => {
                let algorithm = Algorithm::choose(isa, &shape, pass);
                format!("{algorithm} {}", algorithm.tile(isa, &shape, pass))
            }
        };
        Some([Pass::Forward, Pass::BackwardX, Pass::BackwardW].map(of))
    }

    fn plan(&self) -> Vec<PlannedLayer> {
        self.spec().plan().expect("the model was built from it")
    }
}

fn line([name, shape, parameters, mflop, share]: [String; 5]) -> String {
    let text = format!("{name:<28}{shape:<16}{parameters:>13}{mflop:>10}{share:>9}");
    format!("{}\n", text.trim_end())
}

fn passes(name: &str, [forward, dx, dw]: [String; 3]) -> String {
    format!("{name:<26}{forward:<18}{dx:<18}{dw}\n")
}

fn dims(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}
