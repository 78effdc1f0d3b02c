//! How the pixels of a poster become what a network sees: told in every model file, so that other
//! programs can do the same.

use crate::data::cache::PIXEL_RULES;
use crate::data::decode::ImageSpec;
use crate::nn::BYTE_SCALE;
use serde::{Deserialize, Serialize};

/// The steps from a poster's file to the values that a network takes, in their order.
///
/// The files in which they are defined are `src/data/decode.rs` and `src/data/transform.rs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pixels {
    /// The rules of decoding, with the versions of decoder and resizer.
    pub rules: String,
    /// The size that the decoded poster is brought to: u8 `[height, width, 3]`, RGB.
    pub poster: Resize,
    /// The size that this, or a view of it, is then brought to: u8 `[height, width, 3]`, RGB. An
    /// image that has the size already stays as it is.
    pub input: Resize,
    /// The factor of each value, as a 32-bit float.
    pub scale: f32,
}

/// How an image is resized, without regard to its aspect ratio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// The size of the result.
    #[serde(flatten)]
    pub size: ImageSpec,
    /// How values between pixels are found.
    pub filter: Filter,
    /// Where the centre of a pixel lies.
    pub centres: Centres,
    /// Whether the filter grows with the step where an image becomes smaller. Then the height is
    /// changed before the width, with values rounded to u8 in between.
    pub antialias: bool,
}

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// By a triangle over the nearest pixels.
    Bilinear,
}

/// Where the centre of a pixel lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centres {
    /// Half a pixel from its edges: position `x` of the result is `(x + 1/2) * step - 1/2` of the
    /// image.
    HalfPixel,
}

impl Pixels {
    /// The steps for networks that take images of a size.
    pub fn of(input: ImageSpec) -> Self {
        let resize =
            |size, antialias| Resize { size, filter: Filter::Bilinear, centres: Centres::HalfPixel, antialias };
        Self {
            rules: PIXEL_RULES.to_owned(),
            poster: resize(ImageSpec::POSTER, false),
            input: resize(input, true),
            scale: BYTE_SCALE,
        }
    }

    /// Whether the steps are the same; another version of the decoder does not make them others.
    pub fn are_made_as(&self, other: &Self) -> bool {
        (&self.poster, &self.input, self.scale) == (&other.poster, &other.input, other.scale)
    }
}
