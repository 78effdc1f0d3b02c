//! Draws one poster: motifs in the colours of a palette, a light that hides the palette, a title,
//! and grain.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use super::canvas::{Canvas, Dice, Ink, Rgb, direction, length, mix};
use super::genres::{GENRES, Genre, Tones};

/// Palettes, from dark to light.
#[rustfmt::skip]
const PALETTES: [[u32; 5]; 12] = [
    [0x1b1b3a, 0x593d6b, 0xa74482, 0xf2789f, 0xffd9e0], // dusk
    [0x3b1f1a, 0x8c3b1f, 0xcf6f2a, 0xf2b84b, 0xfbe9c6], // desert
    [0x140b0c, 0x4a1013, 0x99191c, 0xd9482f, 0xf3e3d3], // blood
    [0x0b1d33, 0x14487a, 0x2a8fbd, 0x7fd1d8, 0xeef7f2], // ocean
    [0x13231a, 0x2f5233, 0x6c8c3c, 0xc8c45a, 0xf4f1d0], // forest
    [0x10052b, 0x3a0ca3, 0xb5179e, 0x4cc9f0, 0xf1faee], // neon
    [0x2d1e5f, 0xe63974, 0xff9f1c, 0x2ec4b6, 0xfff6e0], // candy
    [0x1a1a1c, 0x4a4b50, 0x8a8a86, 0xc2bfb5, 0xf2efe6], // newsprint
    [0x0f2a30, 0x1f6f78, 0xe36414, 0xf4a261, 0xfdf0d5], // teal and orange
    [0x3a0f26, 0x8c2f4f, 0xd96c86, 0xf3b2b0, 0xfdecea], // rose
    [0x070d1a, 0x1f2f50, 0x4a5f8a, 0x9fb1cf, 0xf3f5fa], // midnight
    [0x2a2416, 0x7a5c1e, 0xc9a227, 0xe9d27a, 0xfbf6e3], // mustard
];

/// The words of titles: the same for all genres, so that they give nothing away.
const FIRST: [&str; 16] = [
    "THE LAST",
    "A QUIET",
    "BEYOND",
    "SEVEN",
    "THE OTHER",
    "AFTER",
    "NEVER",
    "ONE MORE",
    "UNDER",
    "HER",
    "WITHOUT",
    "NORTH OF",
    "THE LONG",
    "TWO",
    "ALL MY",
    "BEFORE",
];
const SECOND: [&str; 16] = [
    "WINTER",
    "HOUSES",
    "GARDEN",
    "RIVERS",
    "SUNDAY",
    "BROTHERS",
    "MIDNIGHT",
    "PAPER",
    "SUMMER",
    "STRANGERS",
    "ORCHARD",
    "MIRRORS",
    "HARBOUR",
    "LETTERS",
    "TOMORROW",
    "WINDOWS",
];

/// The letters A to Z in 3x5 dots: five rows of three bits, the uppermost row in the highest bits.
#[rustfmt::skip]
const LETTERS: [u16; 26] = [
    0b010_101_111_101_101, 0b110_101_110_101_110, 0b011_100_100_100_011, 0b110_101_101_101_110, 0b111_100_110_100_111,
    0b111_100_110_100_100, 0b011_100_101_101_011, 0b101_101_111_101_101, 0b111_010_010_010_111, 0b001_001_001_101_010,
    0b101_101_110_101_101, 0b100_100_100_100_111, 0b101_111_111_101_101, 0b110_101_101_101_101, 0b010_101_101_101_010,
    0b110_101_110_100_100, 0b010_101_101_110_011, 0b110_101_110_101_101, 0b011_100_010_001_110, 0b111_010_010_010_010,
    0b101_101_101_101_111, 0b101_101_101_101_010, 0b101_101_111_111_101, 0b101_101_010_101_101, 0b101_101_010_010_010,
    0b111_001_010_100_111,
];

/// Draws a poster of `genres` (indices into [`GENRES`], at least one) and returns it as a JPEG
/// file.
///
/// # Errors
/// The errors of the encoder; writing to memory causes none.
pub fn draw(genres: &[usize], mut dice: Dice) -> Result<Vec<u8>, EncodingError> {
    let dice = &mut dice;
    let (width, height) = size(dice);
    let tones = tones(&GENRES[genres[0]], dice);
    let mut canvas = Canvas::new(width, height, width as f32 / 200.0, tones[0]);
    panels(&mut canvas, genres, &tones, dice);
    if dice.chance(0.3) {
        badge(&mut canvas, genres, &tones, dice);
    }
    light(&mut canvas, dice);
    lettering(&mut canvas, dice);
    grain(&mut canvas, dice);

    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, dice.int(68, 94) as u8);
    encoder.set_sampling_factor(dice.pick(&[SamplingFactor::F_1_1, SamplingFactor::F_2_2, SamplingFactor::F_2_2]));
    encoder.set_progressive(dice.chance(0.05));
    encoder.encode(&canvas.to_rgb8(), width as u16, height as u16, ColorType::Rgb)?;
    Ok(jpeg)
}

/// The size of a poster: mostly one of the two that film sites hand out, otherwise something
/// between them.
fn size(dice: &mut Dice) -> (usize, usize) {
    match dice.int(0, 9) {
        0..=3 => (182, 268),
        4..=6 => (230, 345),
        _ => (dice.int(182, 230), dice.int(268, 345)),
    }
}

/// A palette that the genre favours, or sometimes any palette, from dark to light or from light to
/// dark.
fn tones(genre: &Genre, dice: &mut Dice) -> Tones {
    let palette = if dice.chance(0.8) { dice.pick(&genre.palettes) } else { dice.int(0, PALETTES.len() - 1) };
    let mut tones = PALETTES[palette].map(|hex| [16, 8, 0].map(|shift| (hex >> shift & 0xff) as f32));
    if dice.chance(0.12) {
        tones.reverse();
    }
    tones
}

/// Draws a motif for each genre, side by side or one above the other, with slanted seams.
fn panels(canvas: &mut Canvas, genres: &[usize], tones: &Tones, dice: &mut Dice) {
    if let [genre] = genres {
        return (GENRES[*genre].motif)(canvas, tones, dice);
    }
    let (w, h) = (canvas.width, canvas.height);
    let stacked = dice.chance(0.6);
    let long = if stacked { h } else { w };
    // Half of the seam's shift from one side of the poster to the other.
    let slant = long * dice.between(-0.08, 0.08);
    let share = long / genres.len() as f32;
    let first = dice.int(0, genres.len() - 1);
    for i in 0..genres.len() {
        let (low, high) = (i as f32 * share, (i + 1) as f32 * share);
        // The panel's box, slanted ends included, in whole pixels.
        let from = (low - slant.abs() - 2.0).max(0.0).floor();
        let to = (high + slant.abs() + 2.0).min(long).floor();
        let (wide, tall) = if stacked { (w, to - from) } else { (to - from, h) };
        let mut panel = Canvas::new(wide as usize, tall as usize, canvas.unit, tones[0]);
        (GENRES[genres[(first + i) % genres.len()]].motif)(&mut panel, tones, dice);
        let corner = if stacked { (0.0, from) } else { (from, 0.0) };
        canvas.paste(&panel, corner, |x, y| {
            let (along, across) = if stacked { (y, x / w) } else { (x, y / h) };
            let along = along + slant * (2.0 * across - 1.0);
            let before = if i == 0 { -1.0 } else { low + 1.5 - along };
            let after = if i + 1 == genres.len() { -1.0 } else { along - high + 1.5 };
            before.max(after)
        });
    }
}

/// Draws a distraction: the motif of a genre that the film does not have, in a small disc.
fn badge(canvas: &mut Canvas, genres: &[usize], tones: &Tones, dice: &mut Dice) {
    let other = dice.int(0, GENRES.len() - 1);
    if genres.contains(&other) {
        return;
    }
    let side = (dice.between(0.2, 0.3) * canvas.width).floor();
    let mut picture = Canvas::new(side as usize, side as usize, 0.6 * canvas.unit, tones[0]);
    (GENRES[other].motif)(&mut picture, tones, dice);
    let corner = (dice.between(0.0, canvas.width - side).floor(), dice.between(0.0, canvas.height - side).floor());
    let (cx, cy, r) = (corner.0 + 0.5 * side, corner.1 + 0.5 * side, 0.5 * side);
    canvas.paste(&picture, corner, |x, y| length(x - cx, y - cy) - r);
}

/// Applies exposure, tint and fading to the whole picture, and a shadow from one side: no palette
/// survives it unchanged, so the mean colour says little.
fn light(canvas: &mut Canvas, dice: &mut Dice) {
    let exposure = dice.between(0.75, 1.12);
    let gain = [(); 3].map(|()| exposure * dice.between(0.86, 1.14));
    let veil = [(); 3].map(|()| dice.between(0.0, 255.0));
    let fading = dice.between(0.0, 0.2);
    let (w, h) = (canvas.width, canvas.height);
    let (c, s) = direction(dice.between(0.0, 1.0));
    let shadow = dice.between(0.0, 0.35);
    canvas.shade(|x, y, pixel| {
        let across = c * (x / w - 0.5) + s * (y / h - 0.5);
        let dim = 1.0 - shadow * (0.5 + across);
        mix([0, 1, 2].map(|i| (pixel[i] * gain[i] * dim).min(255.0)), veil, fading)
    });
}

/// Draws the title, at any height, and lines too small to read below it or at the foot.
fn lettering(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    let lines = [dice.pick(&FIRST), dice.pick(&SECOND)];
    let longest = lines[0].len().max(lines[1].len()) as f32;
    let dot = (dice.between(0.5, 0.9) * w / (4.0 * longest)).min(5.0 * u);
    let block = 13.0 * dot;
    let top = dice.pick(&[0.06, 0.08, 0.4, 0.7, 0.72]) * h + dice.between(0.0, 0.04) * h;
    let light = dice.chance(0.5);
    let (paper, ink) = if light { ([244.0, 240.0, 230.0], [24.0; 3]) } else { ([20.0, 20.0, 24.0], [248.0; 3]) };
    let bar = Ink { opacity: dice.pick(&[0.0, 0.0, 0.7, 1.0]), ..Ink::from(paper) };
    canvas.rect((0.5 * w, top + 0.5 * block), (0.5 * w, 0.5 * block + 1.5 * dot), 0.0, bar);
    for (line, y) in lines.iter().zip([top, top + 7.0 * dot]) {
        let left = 0.5 * (w - (4.0 * line.len() as f32 - 1.0) * dot);
        write(canvas, line, (left, y), dot, ink);
    }
    let mut y = if dice.chance(0.6) { h * dice.between(0.9, 0.94) } else { top + block + 4.0 * dot };
    for _ in 0..dice.int(1, 3) {
        small_print(canvas, y, ink, dice);
        y += 4.5 * u;
    }
}

/// Writes capitals and blanks, each letter in 3x5 dots of `dot` pixels.
fn write(canvas: &mut Canvas, line: &str, (left, top): (f32, f32), dot: f32, ink: Rgb) {
    for (i, letter) in line.bytes().enumerate().filter(|(_, letter)| letter.is_ascii_uppercase()) {
        let bits = LETTERS[usize::from(letter - b'A')];
        for cell in (0..15).filter(|cell| bits >> (14 - cell) & 1 == 1) {
            let x = left + ((4 * i + cell % 3) as f32 + 0.5) * dot;
            let y = top + ((cell / 3) as f32 + 0.5) * dot;
            canvas.rect((x, y), (0.55 * dot, 0.55 * dot), 0.0, ink);
        }
    }
}

/// Draws a centred line of words of which only the lengths can be seen.
fn small_print(canvas: &mut Canvas, y: f32, ink: Rgb, dice: &mut Dice) {
    let (w, u) = (canvas.width, canvas.unit);
    let half = w * dice.between(0.25, 0.42);
    let mut x = 0.5 * w - half;
    while x < 0.5 * w + half {
        let word = dice.between(4.0, 16.0) * u;
        canvas.rect((x + 0.5 * word, y), (0.5 * word, 1.1 * u), 0.0, Ink { opacity: 0.8, ..Ink::from(ink) });
        x += word + 2.5 * u;
    }
}

/// Adds grey noise to every pixel: the sum of two uniform numbers, so that most of it is weak.
fn grain(canvas: &mut Canvas, dice: &mut Dice) {
    let strength = dice.between(2.0, 12.0) / 255.0;
    canvas.shade(|_, _, pixel| {
        let [a, b, ..] = dice.bytes();
        let noise = strength * (f32::from(a) + f32::from(b) - 255.0);
        pixel.map(|level| level + noise)
    });
}
