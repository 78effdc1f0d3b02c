//! A heat map in colours over its poster.

use crate::classifier::explain::HeatMap;
use crate::data::decode::ImageSpec;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

/// Inferno, a colour map whose lightness rises evenly, so that it reads the same in grey and to the
/// colour-blind: eleven places from 0 to 1, and linear between them to within 9 levels.
///
/// Smith and van der Walt 2015, <https://bids.github.io/colormap/>, in the public domain (CC0).
#[rustfmt::skip]
const INFERNO: [u32; 11] = [
    0x000004, 0x170b3b, 0x420a68, 0x6b176e, 0x932667, 0xbb3755, 0xdd513a, 0xf3771a, 0xfca50a, 0xf6d644, 0xfcffa4,
];

/// What the coolest and the hottest colour cover of the poster.
const COVER: [f32; 2] = [0.35, 0.8];

/// The share of the places speaking for the genre that colours tell apart; those few beyond are as
/// hot as the hottest of them. On a fine map, a single place would take all colours for itself.
const TOLD_APART: f32 = 0.98;

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
    /// What speaks for the genre is shown, from the coolest colour at 0 to the hottest at the largest
    /// values of the map; what speaks against it is as cool as 0. A map on which nothing speaks for
    /// the genre is cool all over.
    ///
    /// # Shapes
    /// `poster` and the result: u8 `[size.height, size.width, 3]`, RGB
    /// # Panics
    /// If the poster has another length.
    pub fn over_image(&self, poster: &[u8], size: ImageSpec) -> Vec<u8> {
        assert_eq!(poster.len(), size.bytes(), "the poster is not [height, width, 3]");
        let hottest = self.hottest();
        let mut shown = poster.to_vec();
        let (pixels, _) = shown.as_chunks_mut::<3>();
        for (pixel, value) in pixels.iter_mut().zip(self.enlarged(size)) {
            *pixel = blended(*pixel, hottest.map_or(0.0, |hottest| (value / hottest).clamp(0.0, 1.0)));
        }
        shown
    }

    /// The value that the hottest colour stands for; `None` where nothing speaks for the genre.
    fn hottest(&self) -> Option<f32> {
        let mut above: Vec<f32> = self.values.iter().copied().filter(|&value| value > 0.0).collect();
        above.sort_unstable_by(f32::total_cmp);
        let at = (TOLD_APART * above.len().saturating_sub(1) as f32).ceil() as usize;
        above.get(at).copied()
    }

    /// The values at each pixel of a picture, `[size.height, size.width]`: cubic, since bilinear
    /// enlargements of a coarse map show stars where its values peak.
    ///
    /// Mitchell and Netravali 1988, Reconstruction Filters in Computer Graphics.
    pub(crate) fn enlarged(&self, size: ImageSpec) -> Vec<f32> {
        let mut enlarged = vec![0.0; size.height * size.width];
        let bytes = bytemuck::cast_slice_mut(&mut enlarged);
        let from = TypedImageRef::<F32>::from_buffer(
            self.width as u32,
            self.height as u32,
            bytemuck::cast_slice(&self.values),
        );
        let to = TypedImage::<F32>::from_buffer(size.width as u32, size.height as u32, bytes);
        let (from, mut to) = (from.expect("a value per place"), to.expect("a value per pixel"));
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Mitchell));
        Resizer::new().resize_typed(&from, &mut to, &options).expect("a resize without cropping");
        enlarged
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
