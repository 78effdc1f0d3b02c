//! The resize, compared with `tf.image.resize` on the images and sizes of
//! `tests/golden/resize.safetensors`.

use onesheet::data::decode::{ImageSpec, resize};
use serde::Deserialize;

use crate::common::golden;

/// One image, the size to which it is resized, and which rows and columns of the result the file
/// holds: 0, step, 2 step, ...
#[derive(Deserialize)]
struct Case {
    name: String,
    kind: Kind,
    seed: u32,
    width: usize,
    height: usize,
    to_width: usize,
    to_height: usize,
    step: usize,
}

/// How an image is filled, using integers alone so that Python and Rust make the same image.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A hash of the flat index.
    Noise,
    /// Triangle waves.
    Smooth,
}

/// RGB pixels, as `pixels` in `tools/golden.py` defines them.
fn pixels(case: &Case) -> Vec<u8> {
    let value = |i: usize| match case.kind {
        Kind::Noise => {
            let v = (i as u32).wrapping_add(case.seed.wrapping_mul(1_000_003)).wrapping_mul(2_654_435_761);
            ((v ^ (v >> 15)).wrapping_mul(2_246_822_519) >> 24) as u8
        }
        Kind::Smooth => {
            let (c, x, y) = (i % 3, i / 3 % case.width, i / 3 / case.width);
            let t = ((5 + c) * x + (3 + 2 * c) * y + 40 * c + case.seed as usize) % 510;
            if t < 256 { t as u8 } else { (510 - t) as u8 }
        }
    };
    (0..case.width * case.height * 3).map(value).collect()
}

#[test]
fn resizes_as_tensorflow_does_within_one_level() {
    let (metadata, tensors) = golden::read("resize");
    let cases: Vec<Case> = serde_json::from_str(&metadata["cases"]).expect("the cases' description");
    assert_eq!(cases.len(), tensors.len());
    for case in cases {
        let expected = &tensors[&case.name];
        let spec = ImageSpec { height: case.to_height, width: case.to_width };
        let mut out = vec![0xAA; spec.bytes()];
        resize(&pixels(&case), case.width, case.height, spec, &mut out);

        let rows = (0..spec.height).step_by(case.step);
        let held = rows.flat_map(|y| (0..spec.width).step_by(case.step).map(move |x| (y * spec.width + x) * 3));
        let ours: Vec<u8> = held.flat_map(|at| out[at..at + 3].to_vec()).collect();
        assert_eq!(ours.len(), expected.values.len(), "{}", case.name);
        let apart = |(&a, &b): (&u8, &f64)| (f64::from(a) - b).abs();
        let worst = ours.iter().zip(&expected.values).map(apart).fold(0.0, f64::max);
        assert!(worst <= 1.0, "{}: {worst} levels from TensorFlow", case.name);
    }
}
