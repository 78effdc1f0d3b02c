//! The model as a table, in the manner of Keras' `summary()`.

use super::{PlannedLayer, Sequential};
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

    /// One line per layer: name, shape of one item of the output, parameters, arithmetic; then the
    /// totals.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, shape: &str, parameters: &str, mflop: &str| {
            let text = &mut text;
            writeln!(text, "{name:<26}{shape:<20}{parameters:>12}{mflop:>14}").expect("a String takes all");
        };
        line("layer", "output", "parameters", "MFLOP forward");
        line("input", &dims(&self.spec().input), "", "");
        for layer in self.plan() {
            let mflop = layer.flops as f64 / 1e6;
            let mflop = if mflop > 0.0 { format!("{mflop:.1}") } else { String::new() };
            line(&layer.name, &dims(&layer.output), &thousands(layer.parameter_count()), &mflop);
        }
        let (all, trained) = self.parameter_counts();
        line("total", "", &thousands(all), &format!("{:.1}", self.forward_flops() as f64 / 1e6));
        writeln!(text, "{} parameters are trained, {} are statistics", thousands(trained), thousands(all - trained))
            .expect("a String takes all");
        match self.fused_blocks {
            0 => {}
            blocks => writeln!(text, "fused: {blocks} x (conv2d, re_lu, batch_normalization, max_pooling2d)")
                .expect("a String takes all"),
        }
        text
    }

    fn plan(&self) -> Vec<PlannedLayer> {
        self.spec().plan().expect("the model was built from it")
    }
}

fn dims(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

/// 3711731 as 3,711,731.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}
