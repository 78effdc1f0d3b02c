//! A heat map in colours over its poster.

use crate::classifier::explain::HeatMap;
use crate::data::decode::ImageSpec;

/// Inferno, a colour map whose lightness rises evenly, at nine places from 0 to 1: between them it is
/// linear to within 9 levels of its 256 colours. It reads the same in grey and to the colour-blind.
///
/// Smith and van der Walt 2015, <https://bids.github.io/colormap/>, in the public domain (CC0).
#[rustfmt::skip]
const INFERNO: [u32; 9] = [
    0x000004, 0x1f0c48, 0x550f6d, 0x88226a, 0xba3655, 0xe35933, 0xf98c0a, 0xf9c932, 0xfcffa4,
];

/// What the coolest and the hottest colour cover of the poster.
const COVER: [f32; 2] = [0.35, 0.8];

impl HeatMap {
    /// The poster in shades of grey, with the map over it.
    ///
    /// # Shapes
    /// `poster` and the result: u8 `[256, 256, 3]`, RGB; see [`ImageSpec::POSTER`]
    /// # Panics
    /// If the poster has another length.
    pub fn over(&self, poster: &[u8]) -> Vec<u8> {
        self.over_image(poster, ImageSpec::POSTER)
    }

    /// Like [`over`](Self::over), on the poster in any size and shape.
    ///
    /// What speaks for the genre is shown, from the coolest colour at 0 to the hottest at the map's
    /// largest value; what speaks against it is as cool as 0. A map on which nothing speaks for the
    /// genre is cool all over.
    ///
    /// # Shapes
    /// `poster` and the result: u8 `[size.height, size.width, 3]`, RGB
    /// # Panics
    /// If the poster has another length.
    pub fn over_image(&self, poster: &[u8], size: ImageSpec) -> Vec<u8> {
        assert_eq!(poster.len(), size.bytes(), "the poster is not [height, width, 3]");
        let highest = self.values.iter().copied().fold(0.0, f32::max);
        let mut shown = poster.to_vec();
        for (y, row) in shown.chunks_exact_mut(3 * size.width).enumerate() {
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let [row, column] = [(y, size.height), (x, size.width)].map(|(at, len)| (at as f32 + 0.5) / len as f32);
                let heat = if highest > 0.0 { (self.at(row, column) / highest).max(0.0) } else { 0.0 };
                *pixel = blended(*pixel, heat);
            }
        }
        shown
    }

    /// The value at a point of the poster, whose sides are 1 long: bilinear between the centres of
    /// the places, and constant beyond the outermost ones.
    fn at(&self, row: f32, column: f32) -> f32 {
        let [(top, bottom, down), (left, right, along)] =
            [(row, self.height), (column, self.width)].map(|(at, len)| {
                let at = (at * len as f32 - 0.5).clamp(0.0, (len - 1) as f32);
                (at as usize, (at as usize + 1).min(len - 1), at.fract())
            });
        let across = |row: usize| {
            let value = |column: usize| self.values[row * self.width + column];
            value(left) + along * (value(right) - value(left))
        };
        across(top) + down * (across(bottom) - across(top))
    }
}

/// A pixel in grey under the colour of a heat from 0 to 1.
fn blended(pixel: [u8; 3], heat: f32) -> [u8; 3] {
    let [r, g, b] = pixel.map(f32::from);
    let grey = 0.299 * r + 0.587 * g + 0.114 * b;
    let cover = COVER[0] + heat * (COVER[1] - COVER[0]);
    inferno(heat).map(|value| (grey + cover * (value - grey)).round() as u8)
}

/// The colour at a place from 0 to 1 of the colour map.
fn inferno(at: f32) -> [f32; 3] {
    let at = at * (INFERNO.len() - 1) as f32;
    let below = (at as usize).min(INFERNO.len() - 2);
    [16, 8, 0].map(|shift| {
        let [low, high] = [INFERNO[below], INFERNO[below + 1]].map(|colour| (colour >> shift & 0xff) as f32);
        low + (at - below as f32) * (high - low)
    })
}
