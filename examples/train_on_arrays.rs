//! Build, train, save, load and use a model of your own, on arrays: which of three clouds does a
//! point belong to? `cargo run --release --example train_on_arrays --no-default-features`

use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Pass, Rule, Sequential, Trainer};
use rand::{RngExt, SeedableRng};
use std::error::Error;

/// `n` points, `[n, 2]`, and their classes, `[n, 3]`: three clouds around the corners of a
/// triangle.
fn clouds(n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (mut points, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n {
        let centre = [[0.0, 1.0], [-1.0, -0.5], [1.0, -0.5]][i % 3];
        points.extend(centre.map(|at| at + rng.random_range(-0.6..0.6f32)));
        labels.extend((0..3).map(|class| f32::from(class == i % 3)));
    }
    (points, labels)
}

fn main() -> Result<(), Box<dyn Error>> {
    let isa = Isa::choose()?;
    let spec = ModelSpec::input(&[2]).dense(16).relu().dense(3);
    let mut model = Sequential::build(spec, isa, 1)?;
    let optimizer = Optimizer::new(Rule::adam(0.01), &mut model);
    let mut trainer = Trainer::new(Head::Softmax, optimizer, 1);
    print!("{}", model.summary());

    for epoch in 0..20 {
        let (points, labels) = clouds(256, epoch);
        let loss = trainer.step(&mut model, Input::F32(&points), &labels);
        println!("epoch {epoch:>2}  loss {loss:.3}");
    }

    let file = std::env::temp_dir().join("onesheet-clouds.safetensors");
    model.save(&file)?;
    let mut model = Sequential::load(&file, isa)?;
    let (points, labels) = clouds(300, 99);
    let probabilities = Head::Softmax.probabilities(model.forward(Input::F32(&points), Pass::Inference));
    let right = probabilities.chunks(3).zip(labels.chunks(3)).filter(|(p, label)| {
        let best = (0..3).max_by(|&a, &b| p[a].total_cmp(&p[b])).expect("three classes");
        label[best] == 1.0
    });
    println!("{} of 300 new points are told right, by a model read from {}", right.count(), file.display());
    Ok(())
}
