//! The model as a table, in the manner of Keras' `summary()`.

use super::{Parameter, Sequential};
use std::fmt::Write;

impl Sequential {
    /// Parameters, and how many of them are trained.
    pub fn parameter_counts(&self) -> (usize, usize) {
        let count = |of: &dyn Fn(&Parameter) -> bool| {
            self.parameters().filter(|(_, p)| of(p)).map(|(_, p)| p.value.len()).sum::<usize>()
        };
        (count(&|_| true), count(&Parameter::is_trained))
    }

    /// Arithmetic of one item's forward pass, in floating-point operations (a multiply-add is two).
    pub fn forward_flops(&self) -> u64 {
        self.lines().map(|line| line.flops).sum()
    }

    /// A line a layer: name, shape of one item of the output, parameters, arithmetic; then the totals.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, shape: &str, parameters: &str, mflop: &str| {
            let text = &mut text;
            writeln!(text, "{name:<26}{shape:<20}{parameters:>12}{mflop:>14}").expect("a String takes all");
        };
        line("layer", "output", "parameters", "MFLOP forward");
        line("input", &dims(&self.spec().input), "", "");
        for Line { name, output, parameters, flops } in self.lines() {
            let mflop = flops as f64 / 1e6;
            let mflop = if mflop > 0.0 { format!("{mflop:.1}") } else { String::new() };
            line(&name, &dims(&output), &thousands(parameters), &mflop);
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

    fn lines(&self) -> impl Iterator<Item = Line> {
        let spec = self.spec();
        let (names, shapes) = spec.plan().expect("the model was built from it");
        let parameters = spec.parameter_shapes().expect("the model was built from it");
        names.into_iter().enumerate().map(move |(i, name)| {
            let of_layer = parameters.iter().filter(|(full, _)| full.rsplit_once('/').is_some_and(|(l, _)| l == name));
            let parameters = of_layer.map(|(_, shape)| shape.iter().product::<usize>()).sum();
            let (input, output) = (shapes[i].clone(), shapes[i + 1].clone());
            Line { flops: spec.layers[i].flops(&input, &output), name, output, parameters }
        })
    }
}

/// What the table says of a layer.
struct Line {
    name: String,
    output: Vec<usize>,
    parameters: usize,
    flops: u64,
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
