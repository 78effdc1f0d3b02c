//! Draws patterns: fractals of many kinds, from which a network can learn to see shapes before it sees a
//! poster, without any photograph.
//!
//! A kind is a system of affine maps of the plane. A point that is moved by one of them after another,
//! drawn by chance, stays in a set of points that looks like itself in its parts. A picture shows that set
//! for maps that are changed a little, in a size, a place and a turn, with colours and on a ground that
//! have nothing to do with its kind.
//!
//! Kataoka et al. 2021, Pre-training without Natural Images, <https://arxiv.org/abs/2101.08515>. The maps
//! are drawn as in Anderson and Farrell 2021, Improving Fractal Pre-training,
//! <https://arxiv.org/abs/2110.03091>, section 4: by their singular values, so that few sets are a dot or
//! all over the place.

use jpeg_encoder::{ColorType, Encoder, EncodingError};

use super::canvas::{Canvas, Dice, Rgb, direction, mix};

/// Height and width of a picture in pixels.
pub const SIDE: usize = 160;

/// Points that show what a system looks like, when it is chosen.
const FEW_POINTS: usize = 4_000;

/// A map of the plane: `[a, b, c, d, e, f]` moves `(x, y)` to `(a x + b y + e, c x + d y + f)`.
type Map = [f32; 6];

/// A kind of pattern.
pub struct System {
    maps: Vec<Map>,
}

/// The smallest square around points, by its upper left corner and its side.
#[derive(Clone, Copy)]
struct Square {
    left: f32,
    top: f32,
    side: f32,
}

impl System {
    /// A system that fills a part of its square that can be told from a dot and from a blot.
    pub fn new(dice: &mut Dice) -> Self {
        loop {
            let Some(system) = Self::contracting(dice) else { continue };
            let points = system.points(FEW_POINTS, dice);
            let Some(square) = Square::around(&points) else { continue };
            // Of 32 x 32 cells.
            let mut cells = [false; 1024];
            for &(x, y) in &points {
                let [column, row] = [x - square.left, y - square.top].map(|from| (from / square.side * 31.9) as usize);
                cells[row * 32 + column] = true;
            }
            if (130..800).contains(&cells.iter().filter(|cell| **cell).count()) {
                return system;
            }
        }
    }

    /// Maps with random singular values of a sum that suits their number; none where one of them would
    /// not bring points nearer to each other.
    fn contracting(dice: &mut Dice) -> Option<Self> {
        let count = dice.int(2, 5);
        let mut values: Vec<[f32; 2]> = Vec::new();
        for _ in 0..count {
            let larger = dice.between(0.0, 1.0);
            values.push([larger, dice.between(0.0, larger)]);
        }
        let sum: f32 = values.iter().map(|[larger, smaller]| larger + 2.0 * smaller).sum();
        let factor = dice.between(0.5 * (5.0 + count as f32), 0.5 * (6.0 + count as f32)) / sum;
        let values = values.iter().map(|pair| pair.map(|value| value * factor));
        let maps: Vec<Map> = values.clone().map(|[larger, smaller]| map(larger, smaller, dice)).collect();
        values.clone().all(|[larger, _]| larger < 0.98).then_some(Self { maps })
    }

    /// Points of the set. Each map is taken as often as the area that it leaves asks for.
    fn points(&self, count: usize, dice: &mut Dice) -> Vec<(f32, f32)> {
        /// Steps after which a point is as near to the set as can be seen.
        const ARRIVAL: usize = 30;
        let areas: Vec<f32> = self.maps.iter().map(|[a, b, c, d, ..]| (a * d - b * c).abs().max(0.01)).collect();
        let all: f32 = areas.iter().sum();
        let (mut x, mut y) = (0.0f32, 0.0f32);
        let mut points = Vec::with_capacity(count);
        for step in 0..count + ARRIVAL {
            let mut ticket = dice.between(0.0, all);
            let chosen = areas.iter().position(|area| {
                ticket -= area;
                ticket < 0.0
            });
            let [a, b, c, d, e, f] = self.maps[chosen.unwrap_or(areas.len() - 1)];
            (x, y) = (a * x + b * y + e, c * x + d * y + f);
            if step >= ARRIVAL {
                points.push((x, y));
            }
        }
        points
    }

    /// A picture of the system as the bytes of a JPEG.
    pub fn draw(&self, mut dice: Dice) -> Result<Vec<u8>, EncodingError> {
        let dice = &mut dice;
        let mut canvas = Canvas::new(SIDE, SIDE, 1.0, [0.0; 3]);
        ground(&mut canvas, dice);
        // Another system of the same kind, if a little of one of its maps is another.
        let mut maps = self.maps.clone();
        let (changed, factor) = (dice.int(0, maps.len() - 1), dice.between(0.85, 1.1));
        maps[changed] = maps[changed].map(|value| value * factor);
        let count = dice.int(6_000, 20_000);
        let points = Self { maps }.points(count, dice);
        if let Some(square) = Square::around(&points) {
            lay(&mut canvas, &points, square, dice);
        }
        let mut jpeg = Vec::new();
        let bytes = canvas.to_rgb8();
        Encoder::new(&mut jpeg, 90).encode(&bytes, SIDE as u16, SIDE as u16, ColorType::Rgb)?;
        Ok(jpeg)
    }
}

impl Square {
    /// None where the points are one, or far away.
    fn around(points: &[(f32, f32)]) -> Option<Self> {
        let [mut low, mut high] = [[f32::MAX; 2], [f32::MIN; 2]];
        for &(x, y) in points {
            low = [low[0].min(x), low[1].min(y)];
            high = [high[0].max(x), high[1].max(y)];
        }
        let side = (high[0] - low[0]).max(high[1] - low[1]);
        (1e-3..1e3).contains(&side).then_some(Self { left: low[0], top: low[1], side })
    }
}

/// A map with these singular values, turned before and after, perhaps mirrored, and moved.
fn map(larger: f32, smaller: f32, dice: &mut Dice) -> Map {
    let [(ca, sa), (cb, sb)] = [dice.between(0.0, 1.0), dice.between(0.0, 1.0)].map(direction);
    let [right, down] = [dice.chance(0.5), dice.chance(0.5)].map(|mirrored| if mirrored { -1.0 } else { 1.0 });
    [
        (ca * larger * cb - sa * smaller * sb) * right,
        (-ca * larger * sb - sa * smaller * cb) * down,
        (sa * larger * cb + ca * smaller * sb) * right,
        (-sa * larger * sb + ca * smaller * cb) * down,
        dice.between(-1.0, 1.0),
        dice.between(-1.0, 1.0),
    ]
}

/// Fills the canvas with colours that run into each other, from few and wide to many and small.
fn ground(canvas: &mut Canvas, dice: &mut Dice) {
    let cells = dice.pick(&[1, 2, 4, 8]);
    let (base, variety) = (any_colour(dice), dice.between(0.0, 0.8));
    let colours: Vec<Rgb> = (0..(cells + 1) * (cells + 1)).map(|_| mix(base, any_colour(dice), variety)).collect();
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    canvas.shade(|x, y, _| {
        let [x, y] = [x, y].map(|at| at / SIDE as f32 * cells as f32);
        let [column, row] = [x, y].map(|at| (at as usize).min(cells - 1));
        let [right, down] = [smooth(x - column as f32), smooth(y - row as f32)];
        let of_row = |row: usize| {
            let at = row * (cells + 1) + column;
            mix(colours[at], colours[at + 1], right)
        };
        mix(of_row(row), of_row(row + 1), down)
    });
}

/// Lays the points of a square over the canvas, the denser the brighter or the darker.
fn lay(canvas: &mut Canvas, points: &[(f32, f32)], square: Square, dice: &mut Dice) {
    let side = SIDE as f32;
    let size = side * dice.between(0.35, 0.95);
    let (cos, sin) = direction(dice.between(-0.1, 0.1));
    let [left, top] = [0; 2].map(|_| size * 0.3 + dice.between(0.0, side - size * 0.6));
    // A point may be a pixel, or a blot that runs into the next ones.
    let wide = dice.chance(0.6);
    let mut density = vec![0.0f32; SIDE * SIDE];
    for &(x, y) in points {
        let [x, y] = [x - square.left, y - square.top].map(|from| from / square.side - 0.5);
        let [x, y] = [(cos * x - sin * y) * size + left, (sin * x + cos * y) * size + top];
        if x >= 0.0 && y >= 0.0 && x < side - 1.0 && y < side - 1.0 {
            let at = y as usize * SIDE + x as usize;
            density[at] += 1.0;
            if wide {
                density[at + 1] += 0.7;
                density[at + SIDE] += 0.7;
                density[at + SIDE + 1] += 0.4;
            }
        }
    }
    let most = density.iter().copied().fold(1.0, f32::max);
    let (hue, turn, saturation) = (dice.between(0.0, 1.0), dice.between(-0.3, 0.3), dice.between(0.0, 1.0));
    let (thin, thick) = (dice.between(0.0, 0.8), dice.between(0.4, 1.0));
    canvas.shade(|x, y, below| {
        let here = density[y as usize * SIDE + x as usize];
        let share = (here / most).sqrt();
        let ink = colour(hue + turn * share, saturation, thin + (thick - thin) * share);
        mix(below, ink, (0.75 + 0.25 * share) * here.min(1.0))
    });
}

fn any_colour(dice: &mut Dice) -> Rgb {
    colour(dice.between(0.0, 1.0), dice.between(0.0, 1.0), dice.between(0.0, 1.0))
}

/// A colour by its hue (in turns), its saturation and its value.
fn colour(hue: f32, saturation: f32, value: f32) -> Rgb {
    [5.0, 3.0, 1.0].map(|offset| {
        let at = (offset + hue * 6.0) / 6.0;
        let at = (at - at.floor()) * 6.0;
        255.0 * value * (1.0 - saturation * at.min(4.0 - at).clamp(0.0, 1.0))
    })
}
