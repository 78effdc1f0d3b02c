//! A small software rasteriser: shapes are signed distances, edges are smooth, and numbers are the
//! same on every platform.
//!
//! Positions and lengths are in pixels, x to the right and y down; pixel (i, j) is sampled at (i +
//! 0.5, j + 0.5). Angles are in turns (1 = full circle), clockwise from the x axis. Only `+ - * /`,
//! `sqrt` and `floor` on f32 are used, whose rounding IEEE 754 prescribes; sine and arc tangent are
//! polynomials, since those of a platform may differ in the last bit.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Red, green and blue, as levels from 0 to 255.
pub type Rgb = [f32; 3];

/// The colour that lies a share `t` (0 to 1) of the way from `a` to `b`.
pub fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

/// `(cos, sin)` of an angle in turns, to within 2e-4.
pub fn direction(turns: f32) -> (f32, f32) {
    fn sine(turns: f32) -> f32 {
        let t = turns - turns.floor();
        let (t, sign) = if t < 0.5 { (t, 1.0) } else { (t - 0.5, -1.0) };
        let z = 4.0 * t.min(0.5 - t);
        let zz = z * z;
        sign * z * (1.570_796_4 - zz * (0.645_964_1 - zz * (0.079_692_63 - zz * 0.004_681_754)))
    }
    (sine(turns + 0.25), sine(turns))
}

/// The angle of the vector `(dx, dy)`, in turns from 0 to 1, to within 1e-5 (Abramowitz and Stegun,
/// 4.4.49).
pub fn turns_of(dx: f32, dy: f32) -> f32 {
    let (ax, ay) = (dx.abs(), dy.abs());
    let r = ax.min(ay) / ax.max(ay).max(1e-9);
    let rr = r * r;
    let atan = r * (0.999_866 + rr * (-0.330_299_5 + rr * (0.180_141 + rr * (-0.085_133 + rr * 0.020_835_1))));
    let eighth = atan * 0.159_154_94;
    let quarter = if ay > ax { 0.25 - eighth } else { eighth };
    let half = if dx < 0.0 { 0.5 - quarter } else { quarter };
    if dy < 0.0 { 1.0 - half } else { half }
}

/// Random choices from the raw words of a stream: the way in which `rand` turns words into ranges
/// may change with its version, but a poster's bytes must not.
pub struct Dice(pub ChaCha8Rng);

impl Dice {
    /// A random number from `low` up to, but not including, `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.0.next_u32() >> 8) as f32 / 16_777_216.0)
    }

    /// A random integer from `low` to `high`, both included.
    pub fn int(&mut self, low: usize, high: usize) -> usize {
        low + ((u64::from(self.0.next_u32()) * (high - low + 1) as u64) >> 32) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f32) -> bool {
        self.between(0.0, 1.0) < p
    }

    /// One of `items`, picked at random.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.int(0, items.len() - 1)]
    }

    /// The four bytes of one word.
    pub fn bytes(&mut self) -> [u8; 4] {
        self.0.next_u32().to_le_bytes()
    }
}

/// How a shape is filled.
#[derive(Clone, Copy)]
pub struct Ink {
    pub colour: Rgb,
    /// From 0, which leaves what is below, to 1, which covers it.
    pub opacity: f32,
    /// The width of the edge in pixels; 1 is crisp.
    pub edge: f32,
}

impl From<Rgb> for Ink {
    /// An opaque ink with a crisp edge.
    fn from(colour: Rgb) -> Self {
        Self { colour, opacity: 1.0, edge: 1.0 }
    }
}

/// A picture that is being drawn.
pub struct Canvas {
    pub width: f32,
    pub height: f32,
    /// Pixels per unit of design: a whole poster is about 200 units wide, a picture within a
    /// picture fewer.
    pub unit: f32,
    columns: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A canvas of `width` x `height` pixels, all of one colour.
    pub fn new(width: usize, height: usize, unit: f32, ground: Rgb) -> Self {
        Self { width: width as f32, height: height as f32, unit, columns: width, pixels: vec![ground; width * height] }
    }

    /// Replaces each pixel by `shader(x, y, its colour)`.
    pub fn shade(&mut self, mut shader: impl FnMut(f32, f32, Rgb) -> Rgb) {
        for (y, row) in self.pixels.chunks_exact_mut(self.columns).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = shader(x as f32 + 0.5, y as f32 + 0.5, *pixel);
            }
        }
    }

    /// Fills the canvas with a gradient from `top` at the upper edge to `bottom` at the lower one.
    pub fn gradient(&mut self, top: Rgb, bottom: Rgb) {
        let height = self.height;
        self.shade(|_, y, _| mix(top, bottom, y / height));
    }

    /// Fills the area in which `distance(x, y)` is negative, within the box
    /// `[left, top, right, bottom]` and the canvas.
    pub fn fill(&mut self, within: [f32; 4], ink: impl Into<Ink>, distance: impl Fn(f32, f32) -> f32) {
        let Ink { colour, opacity, edge } = ink.into();
        let [left, top, right, bottom] = within;
        // A cast takes a float beyond the range of usize to the nearest end of the range.
        let rows = (self.pixels.len() / self.columns).min((bottom + edge).max(0.0) as usize + 1);
        let columns = self.columns.min((right + edge).max(0.0) as usize + 1);
        for j in (top - edge).max(0.0) as usize..rows {
            for i in (left - edge).max(0.0) as usize..columns {
                let cover = 0.5 - distance(i as f32 + 0.5, j as f32 + 0.5) / edge;
                if cover > 0.0 {
                    let pixel = &mut self.pixels[j * self.columns + i];
                    *pixel = mix(*pixel, colour, opacity * cover.min(1.0));
                }
            }
        }
    }

    /// Fills as [`fill`](Self::fill) does, but without a box: for patterns that cover the canvas.
    pub fn cover(&mut self, ink: impl Into<Ink>, distance: impl Fn(f32, f32) -> f32) {
        self.fill([0.0, 0.0, self.width, self.height], ink, distance);
    }

    /// Draws a disc of radius `r`.
    pub fn disc(&mut self, (cx, cy): (f32, f32), r: f32, ink: impl Into<Ink>) {
        self.fill([cx - r, cy - r, cx + r, cy + r], ink, |x, y| length(x - cx, y - cy) - r);
    }

    /// Draws a straight stroke with round ends.
    pub fn stroke(&mut self, (ax, ay): (f32, f32), (bx, by): (f32, f32), thickness: f32, ink: impl Into<Ink>) {
        let r = 0.5 * thickness;
        let within = [ax.min(bx) - r, ay.min(by) - r, ax.max(bx) + r, ay.max(by) + r];
        self.fill(within, ink, |x, y| to_segment((x, y), (ax, ay), (bx, by)) - r);
    }

    /// Draws a rectangle of half sizes `(hx, hy)`, turned by `turns` about its centre.
    pub fn rect(&mut self, (cx, cy): (f32, f32), (hx, hy): (f32, f32), turns: f32, ink: impl Into<Ink>) {
        let (c, s) = direction(turns);
        let reach = hx + hy;
        self.fill([cx - reach, cy - reach, cx + reach, cy + reach], ink, |x, y| {
            let (dx, dy) = (x - cx, y - cy);
            ((c * dx + s * dy).abs() - hx).max((c * dy - s * dx).abs() - hy)
        });
    }

    /// Draws a heart, turned by `turns`: a square of half size `r` on its corner, with a half disc
    /// on each upper side.
    pub fn heart(&mut self, (cx, cy): (f32, f32), r: f32, turns: f32, ink: impl Into<Ink>) {
        let (c, s) = direction(turns + 0.125);
        self.fill([cx - 3.0 * r, cy - 3.0 * r, cx + 3.0 * r, cy + 3.0 * r], ink, |x, y| {
            let (dx, dy) = (x - cx, y - cy);
            let (a, b) = (c * dx + s * dy, c * dy - s * dx);
            (a.abs().max(b.abs()) - r).min(length(a + r, b) - r).min(length(a, b + r) - r)
        });
    }

    /// Draws a polygon, convex or not.
    pub fn polygon(&mut self, corners: &[(f32, f32)], ink: impl Into<Ink>) {
        let mut within = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
        for &(x, y) in corners {
            within = [within[0].min(x), within[1].min(y), within[2].max(x), within[3].max(y)];
        }
        self.fill(within, ink, |x, y| to_polygon((x, y), corners));
    }

    /// Pastes `picture` with its upper left corner at `(left, top)` (whole pixels), where
    /// `distance` is negative.
    pub fn paste(&mut self, picture: &Self, (left, top): (f32, f32), distance: impl Fn(f32, f32) -> f32) {
        let columns = self.columns;
        for (j, row) in picture.pixels.chunks_exact(picture.columns).enumerate() {
            for (i, &colour) in row.iter().enumerate() {
                let (x, y) = (left + i as f32, top + j as f32);
                if x < 0.0 || y < 0.0 || x >= self.width || y >= self.height {
                    continue;
                }
                let cover = (0.5 - distance(x + 0.5, y + 0.5)).clamp(0.0, 1.0);
                let pixel = &mut self.pixels[y as usize * columns + x as usize];
                *pixel = mix(*pixel, colour, cover);
            }
        }
    }

    /// The picture as bytes: rows of red, green, blue.
    pub fn to_rgb8(&self) -> Vec<u8> {
        // The cast saturates at 0 and 255.
        self.pixels.iter().flatten().map(|level| (level + 0.5) as u8).collect()
    }
}

/// Euclidean length of a vector.
pub fn length(dx: f32, dy: f32) -> f32 {
    (dx * dx + dy * dy).sqrt()
}

/// Distance of a value from the nearest whole number: 0 to 0.5.
pub fn off_whole(t: f32) -> f32 {
    (t - (t + 0.5).floor()).abs()
}

fn to_segment((x, y): (f32, f32), (ax, ay): (f32, f32), (bx, by): (f32, f32)) -> f32 {
    let (dx, dy) = (bx - ax, by - ay);
    let along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy).max(1e-9);
    let along = along.clamp(0.0, 1.0);
    length(x - ax - along * dx, y - ay - along * dy)
}

/// The signed distance from a polygon, negative inside; a point is inside if a ray from it to the
/// right crosses an odd number of sides.
fn to_polygon((x, y): (f32, f32), corners: &[(f32, f32)]) -> f32 {
    let mut nearest = f32::MAX;
    let mut inside = false;
    let mut a = corners[corners.len() - 1];
    for &b in corners {
        nearest = nearest.min(to_segment((x, y), a, b));
        if (a.1 > y) != (b.1 > y) && x < a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1) {
            inside = !inside;
        }
        a = b;
    }
    if inside { -nearest } else { nearest }
}
