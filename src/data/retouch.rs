//! What changes an image in place: its geometry, its colours, its sharpness.
//!
//! The operations of [`Operation`] are those of RandAugment, Cubuk et al. 2019,
//! <https://arxiv.org/abs/1909.13719>, as far as they make sense for posters, with its ranges. Here
//! each of them is the identity at strength 0, also those that have no strength there: equalising and
//! stretching are blended with the image.

use crate::data::decode::ImageSpec;

/// What stands where an image shows nothing.
const GREY: u8 = 128;

/// A way to change an image, by a strength from -1 to 1. Where there is no direction, the sign does
/// not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing.
    Identity,
    /// Turns the image about its centre by up to 30 degrees.
    Rotate,
    /// Moves each row by up to 0.3 of its distance from the middle one.
    ShearX,
    /// Moves each column likewise.
    ShearY,
    /// Moves the image to a side by up to 0.45 of its width.
    TranslateX,
    /// Moves the image up or down by up to 0.45 of its height.
    TranslateY,
    /// Multiplies all values by 0.1 to 1.9.
    Brightness,
    /// Multiplies the distance from the image's mean grey by 0.1 to 1.9.
    Contrast,
    /// Multiplies the distance from a pixel's own grey by 0.1 to 1.9.
    Saturation,
    /// Multiplies the distance from the mean of the pixels around by 0.1 to 1.9: blurred or sharpened.
    Sharpness,
    /// Keeps the upper 4 to 8 bits of each value.
    Posterize,
    /// Inverts the values from a threshold on, which at strength 1 is 0.
    Solarize,
    /// Has all values of a channel come up about equally often.
    Equalize,
    /// Has the values of each channel reach from 0 to 255.
    AutoContrast,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::Rotate,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Brightness,
        Self::Contrast,
        Self::Saturation,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::Equalize,
        Self::AutoContrast,
    ];

    /// Where the geometric ones take the pixels of a result from.
    fn map(self, strength: f64, size: ImageSpec) -> Option<Affine> {
        let (sin, cos) = (strength * 30.0f64.to_radians()).sin_cos();
        let side = |len: usize| 0.45 * strength * len as f64;
        let is = Affine::IDENTITY;
        Some(match self {
            Self::Rotate => Affine { x: [cos, -sin, 0.0], y: [sin, cos, 0.0] },
            Self::ShearX => Affine { x: [1.0, 0.3 * strength, 0.0], ..is },
            Self::ShearY => Affine { y: [0.3 * strength, 1.0, 0.0], ..is },
            Self::TranslateX => Affine { x: [1.0, 0.0, side(size.width)], ..is },
            Self::TranslateY => Affine { y: [0.0, 1.0, side(size.height)], ..is },
            _ => return None,
        })
    }

    /// Does the others.
    fn repaint(self, image: &mut [u8], size: ImageSpec, strength: f32, spare: &mut Vec<u8>) {
        let (factor, share) = (1.0 + 0.9 * strength, strength.abs());
        match self {
            Self::Brightness => colour(image, [factor, 1.0, 1.0]),
            Self::Contrast => colour(image, [1.0, factor, 1.0]),
            Self::Saturation => colour(image, [1.0, 1.0, factor]),
            Self::Sharpness => sharpen(image, size, 0.9 * strength, spare),
            Self::Posterize => {
                let lost = (4.0 * share).round() as u32;
                image.iter_mut().for_each(|value| *value = *value >> lost << lost);
            }
            Self::Solarize => {
                let threshold = (256.0 * (1.0 - share)) as u16;
                let invert =
                    |value: &mut u8| *value = if u16::from(*value) >= threshold { 255 - *value } else { *value };
                image.iter_mut().for_each(invert);
            }
            Self::Equalize => by_histogram(image, share, equalized),
            Self::AutoContrast => by_histogram(image, share, stretched),
            _ => {}
        }
    }
}

/// Applies operations, each with its strength: first those that move pixels, all at once, so that the
/// image is read between its pixels only once; then the others in their order. What comes from outside
/// of the image is grey. `spare` is overwritten.
///
/// # Shapes
/// `image`: u8 `[size.height, size.width, 3]`
/// # Panics
/// If its length differs from its shape.
pub fn apply(image: &mut [u8], size: ImageSpec, operations: &[(Operation, f32)], spare: &mut Vec<u8>) {
    assert_eq!(image.len(), size.bytes(), "image");
    let maps = operations.iter().filter_map(|&(operation, strength)| operation.map(f64::from(strength), size));
    if let Some(map) = maps.reduce(Affine::after) {
        resample(image, size, map, spare);
    }
    for &(operation, strength) in operations {
        operation.repaint(image, size, strength, spare);
    }
}

/// Exchanges left and right.
pub(super) fn mirror(image: &mut [u8], width: usize) {
    for row in image.chunks_exact_mut(width * 3) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}

/// Multiplies brightness, contrast (the distance from the image's mean grey) and saturation (the
/// distance from the pixel's own grey).
pub(super) fn colour(image: &mut [u8], [brightness, contrast, saturation]: [f32; 3]) {
    let grey = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
    let (pixels, _) = image.as_chunks_mut::<3>();
    let sum: f64 = pixels.iter().map(|pixel| f64::from(grey(pixel.map(f32::from)))).sum();
    let mean = brightness * (sum / pixels.len() as f64) as f32;
    for pixel in pixels {
        let changed = pixel.map(|value| mean + contrast * (brightness * f32::from(value) - mean));
        let own = grey(changed);
        *pixel = changed.map(|value| byte(own + saturation * (value - own)));
    }
}

/// The nearest whole number from 0 to 255; halves are rounded up, as by `f32::round`, which is a call
/// that costs more than all else here.
pub fn byte(value: f32) -> u8 {
    // From here on floats are whole, so that a sum is rounded to one, halves to the even one.
    const WHOLE: f32 = (1 << 23) as f32;
    let value = value.clamp(0.0, 255.0);
    let sum = value + WHOLE;
    let is_half_above = value - (sum - WHOLE) == 0.5;
    sum.to_bits() as u8 + u8::from(is_half_above)
}

/// A rectangle, as shares of an image's sides from its upper left corner: its centre and its size.
/// What lies outside of the image is cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rectangle {
    /// Vertically and horizontally.
    pub centre: [f32; 2],
    /// Its height and width.
    pub sides: [f32; 2],
}

impl Rectangle {
    /// Its rows, and the bytes of each row that are in it.
    fn within(self, size: ImageSpec) -> [std::ops::Range<usize>; 2] {
        let range = |axis: usize, len: usize| {
            let (middle, half) = (self.centre[axis] * len as f32, self.sides[axis] * len as f32 / 2.0);
            (middle - half).max(0.0).round() as usize..((middle + half).round() as usize).min(len)
        };
        let columns = range(1, size.width);
        [range(0, size.height), columns.start * 3..columns.end * 3]
    }

    /// Greys an image there.
    pub fn cut_out(self, image: &mut [u8], size: ImageSpec) {
        let [rows, bytes] = self.within(size);
        for row in image.chunks_exact_mut(size.width * 3).take(rows.end).skip(rows.start) {
            row[bytes.clone()].fill(GREY);
        }
    }

    /// Puts the part of another image there; returns the share of the area that it takes.
    pub fn paste(self, image: &mut [u8], other: &[u8], size: ImageSpec) -> f32 {
        let [rows, bytes] = self.within(size);
        for row in rows.clone() {
            let at = row * size.width * 3;
            image[at..][bytes.clone()].copy_from_slice(&other[at..][bytes.clone()]);
        }
        (rows.len() * bytes.len()) as f32 / size.bytes() as f32
    }
}

/// A map of points, relative to the centre of an image: the factors of x and y, and what is added.
#[derive(Clone, Copy)]
struct Affine {
    x: [f64; 3],
    y: [f64; 3],
}

impl Affine {
    const IDENTITY: Self = Self { x: [1.0, 0.0, 0.0], y: [0.0, 1.0, 0.0] };

    fn of(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.x, self.y].map(|[by_x, by_y, moved]| by_x * x + by_y * y + moved)
    }

    /// The map that takes a point through `other` and then through this one.
    fn after(self, other: Self) -> Self {
        let [x, y] = [self.x, self.y].map(|[by_x, by_y, moved]| {
            let through = |i: usize| by_x * other.x[i] + by_y * other.y[i];
            [through(0), through(1), through(2) + moved]
        });
        Self { x, y }
    }
}

/// Takes each pixel from where `map` says, between pixels by bilinear interpolation.
fn resample(image: &mut [u8], size: ImageSpec, map: Affine, spare: &mut Vec<u8>) {
    // Places have 16 bits behind the point, of which the weights take 8.
    let fixed = |value: f64| (value * 65_536.0).round() as i64;
    spare.clear();
    spare.extend_from_slice(image);
    let (from, _) = spare.as_chunks::<3>();
    let last = [size.width, size.height].map(|len| len as i64 - 1);
    let centre = last.map(|last| last as f64 / 2.0);
    let step = [fixed(map.x[0]), fixed(map.y[0])];
    let is_outside = |at: i64, last: i64| at < -32_768 || at >= (last << 16) + 32_768;
    for (row, out) in image.chunks_exact_mut(size.width * 3).enumerate() {
        let begin = map.of([-centre[0], row as f64 - centre[1]]);
        let [mut x, mut y] = [fixed(begin[0] + centre[0]), fixed(begin[1] + centre[1])];
        for pixel in out.as_chunks_mut::<3>().0 {
            *pixel = match is_outside(x, last[0]) || is_outside(y, last[1]) {
                true => [GREY; 3],
                false => between(from, last, [x, y]),
            };
            (x, y) = (x + step[0], y + step[1]);
        }
    }
}

/// The value between the pixels around a place of 16 bits behind the point.
fn between(from: &[[u8; 3]], last: [i64; 2], at: [i64; 2]) -> [u8; 3] {
    let [x, y] = [0, 1].map(|axis| at[axis].clamp(0, last[axis] << 16));
    let (left, top) = (x >> 16, y >> 16);
    let (right, bottom) = ((left + 1).min(last[0]), (top + 1).min(last[1]));
    let [across, down] = [x, y].map(|at| (at >> 8 & 255) as u32);
    let width = last[0] + 1;
    let corner = |x: i64, y: i64| from[(y * width + x) as usize].map(u32::from);
    let corners = [corner(left, top), corner(right, top), corner(left, bottom), corner(right, bottom)];
    std::array::from_fn(|channel| {
        let [a, b, c, d] = corners.map(|corner| corner[channel]);
        let [upper, lower] = [[a, b], [c, d]].map(|[a, b]| a * (256 - across) + b * across);
        ((upper * (256 - down) + lower * down + (1 << 15)) >> 16) as u8
    })
}

/// Moves each pixel away from the mean of the 3x3 pixels around it, in which it counts five times, by
/// a share of its distance. The border stays.
fn sharpen(image: &mut [u8], size: ImageSpec, share: f32, spare: &mut Vec<u8>) {
    spare.clear();
    spare.extend_from_slice(image);
    // All of it is border.
    if size.width < 3 {
        return;
    }
    let row = size.width * 3;
    let inner = row - 6;
    for y in 1..size.height.saturating_sub(1) {
        let rows: [&[u8]; 3] = std::array::from_fn(|dy| &spare[(y + dy - 1) * row..][..row]);
        let near: [&[u8]; 9] = std::array::from_fn(|at| &rows[at / 3][at % 3 * 3..][..inner]);
        let out = &mut image[y * row..][3..][..inner];
        for (x, out) in out.iter_mut().enumerate() {
            let sum: u16 = near.iter().map(|row| u16::from(row[x])).sum::<u16>() + 4 * u16::from(*out);
            let value = f32::from(*out);
            *out = byte(value + share * (value - f32::from(sum) / 13.0));
        }
    }
}

/// How often each value of a channel comes up.
type Histogram = [u32; 256];

/// Replaces each value by what a channel's histogram makes of it, or by a share of that.
fn by_histogram(image: &mut [u8], share: f32, values: impl Fn(&Histogram) -> Option<[f32; 256]>) {
    let mut histograms = [[0; 256]; 3];
    let (pixels, _) = image.as_chunks_mut::<3>();
    for pixel in pixels.iter() {
        (0..3).for_each(|channel| histograms[channel][usize::from(pixel[channel])] += 1);
    }
    let tables = histograms.map(|histogram| {
        let values = values(&histogram);
        let blended = |at: usize| values.map_or(at as f32, |values| at as f32 + share * (values[at] - at as f32));
        std::array::from_fn::<u8, 256, _>(|at| byte(blended(at)))
    });
    for pixel in pixels {
        *pixel = std::array::from_fn(|channel| tables[channel][usize::from(pixel[channel])]);
    }
}

/// Each value by its rank; `None` where all are the same.
fn equalized(histogram: &Histogram) -> Option<[f32; 256]> {
    let all: u32 = histogram.iter().sum();
    let first = histogram.iter().copied().find(|&count| count > 0).filter(|&first| first < all)?;
    let mut up_to = 0;
    Some(histogram.map(|count| {
        up_to += count;
        255.0 * (up_to.max(first) - first) as f32 / (all - first) as f32
    }))
}

/// The lowest value at 0, the highest one at 255; `None` where they are the same.
fn stretched(histogram: &Histogram) -> Option<[f32; 256]> {
    let low = histogram.iter().position(|&count| count > 0)?;
    let high = histogram.iter().rposition(|&count| count > 0).filter(|&high| high > low)?;
    Some(std::array::from_fn(|at| 255.0 * (at as f32 - low as f32) / (high - low) as f32))
}
