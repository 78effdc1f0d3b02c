//! Pictures as parts of the page: JPEG files in data URIs.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder};

use crate::data::decode::Decoder;
use crate::data::poster;

/// The quality of the pictures, of 100: what is left out is not seen at their size.
const QUALITY: u8 = 78;

/// A picture of RGB pixels.
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    /// u8 `[height, width, 3]`
    pub pixels: Vec<u8>,
}

impl Picture {
    /// A poster's file brought to a size that fits into `width` and `height`, its sides in their
    /// proportion; `None` if it cannot be read or does not decode.
    pub fn of_poster(path: &Path, width: usize, height: usize) -> Option<Self> {
        let mut bytes = Vec::new();
        poster::read(path, &mut bytes).ok()?.ok()?;
        let mut decoder = Decoder::new();
        let pixels = decoder.decode_pixels(&bytes).ok()?.to_vec();
        let (from_width, from_height) = decoder.size();
        Some(Self { width: from_width, height: from_height, pixels }.fitted(width, height))
    }

    /// The picture made smaller, if it has to be, to fit into `width` and `height`.
    fn fitted(self, width: usize, height: usize) -> Self {
        let scale = (width as f64 / self.width as f64).min(height as f64 / self.height as f64);
        if scale >= 1.0 {
            return self;
        }
        let side = |of: usize| ((of as f64 * scale).round() as usize).max(1);
        let (width, height) = (side(self.width), side(self.height));
        let mut pixels = vec![0; width * height * 3];
        let from = TypedImageRef::<U8x3>::from_buffer(self.width as u32, self.height as u32, &self.pixels);
        let to = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut pixels);
        let (from, mut to) = (from.expect("a picture has its pixels"), to.expect("the buffer has the size"));
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        Resizer::new().resize_typed(&from, &mut to, &options).expect("a resize without cropping");
        Self { width, height, pixels }
    }

    /// The picture as the address of an `img`.
    ///
    /// # Panics
    /// If a side is 0, or longer than JPEG files have them.
    pub fn data_uri(&self) -> String {
        let side = |of: usize| u16::try_from(of).expect("a side that JPEG can have");
        let mut jpeg = Vec::new();
        let encoder = Encoder::new(&mut jpeg, QUALITY);
        let encoded = encoder.encode(&self.pixels, side(self.width), side(self.height), ColorType::Rgb);
        encoded.expect("memory takes all");
        format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(&jpeg))
    }
}
