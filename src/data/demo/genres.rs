//! The genre vocabulary: the name of each genre, its frequency, the palettes that it favours, and
//! what it looks like.
//!
//! A motif fills the canvas that it is given. It draws with five tones, from ground to ink, without
//! knowing their colours: what tells the genres apart is shape and texture, and the palette is only
//! a hint.

use std::f32::consts::TAU;

use super::canvas::{Canvas, Dice, Ink, Rgb, direction, length, mix, off_whole, turns_of};

/// Five colours that go together: 0 is the ground, 3 is the accent, 4 stands out most from the
/// ground.
pub type Tones = [Rgb; 5];

/// A genre of the demo set.
pub struct Genre {
    /// The name, as Letterboxd spells it.
    pub name: &'static str,
    /// The relative frequency.
    pub share: usize,
    /// The palettes that the genre favours, as indices into the poster's palettes.
    pub palettes: [usize; 4],
    /// The function that draws the motif.
    pub motif: fn(&mut Canvas, &Tones, &mut Dice),
}

/// All genres, sorted by name. As in the real set, a few are frequent and most are not.
pub const GENRES: [Genre; 10] = [
    Genre { name: "Action", share: 9, palettes: [2, 8, 11, 5], motif: action },
    Genre { name: "Animation", share: 12, palettes: [6, 3, 5, 11], motif: animation },
    Genre { name: "Comedy", share: 15, palettes: [6, 11, 8, 9], motif: comedy },
    Genre { name: "Documentary", share: 16, palettes: [7, 4, 10, 3], motif: documentary },
    Genre { name: "Drama", share: 19, palettes: [0, 10, 8, 7], motif: drama },
    Genre { name: "Horror", share: 10, palettes: [2, 7, 4, 10], motif: horror },
    Genre { name: "Romance", share: 7, palettes: [9, 0, 6, 1], motif: romance },
    Genre { name: "Science Fiction", share: 5, palettes: [5, 3, 10, 0], motif: science_fiction },
    Genre { name: "Thriller", share: 8, palettes: [10, 2, 7, 4], motif: thriller },
    Genre { name: "Western", share: 5, palettes: [1, 11, 8, 4], motif: western },
];

/// Rays from an explosion, its jagged fireball, and speed lines.
fn action(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.cover(tones[0], |_, _| -1.0);
    let (cx, cy) = (w * dice.between(0.25, 0.75), h * dice.between(0.25, 0.75));
    let rays = dice.int(16, 26) as f32;
    let phase = dice.between(0.0, 1.0);
    canvas.cover(tones[2], |x, y| {
        let (dx, dy) = (x - cx, y - cy);
        let across = 0.25 - off_whole(turns_of(dx, dy) * rays + phase);
        across * TAU * length(dx, dy) / rays
    });
    let points = dice.int(11, 17);
    let size = dice.between(28.0, 52.0) * u;
    for (scale, tone) in [(1.0, 3), (0.62, 4)] {
        let corners: Vec<_> = (0..2 * points)
            .map(|i| {
                let r = scale * size * if i % 2 == 0 { dice.between(0.85, 1.35) } else { 0.6 };
                let (c, s) = direction((i as f32 + phase) / (2 * points) as f32);
                (cx + r * c, cy + r * s)
            })
            .collect();
        canvas.polygon(&corners, tones[tone]);
    }
    let (c, s) = direction(dice.pick(&[0.11, 0.14, 0.36, 0.39]));
    for _ in 0..dice.int(8, 13) {
        let (x, y) = (dice.between(0.0, w), dice.between(0.0, h));
        let reach = dice.between(30.0, 90.0) * u;
        let thickness = dice.between(2.0, 6.0) * u;
        canvas.stroke((x - reach * c, y - reach * s), (x + reach * c, y + reach * s), thickness, tones[4]);
    }
}

/// Flat shapes with thick outlines; some of them have eyes.
fn animation(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.cover(mix(tones[0], tones[1], 0.6), |_, _| -1.0);
    let outline = mix(tones[0], [0.0; 3], 0.8);
    let thick = dice.between(3.5, 5.5) * u;
    let count = (w * h / (u * u) / dice.between(700.0, 1000.0)) as usize;
    for _ in 0..count.max(4) {
        let at = (dice.between(0.0, w), dice.between(0.0, h));
        let r = dice.between(11.0, 24.0) * u;
        let turns = dice.between(0.0, 1.0);
        let tone = tones[dice.int(1, 4)];
        match dice.int(0, 3) {
            0 => {
                canvas.rect(at, (r + thick, 0.7 * r + thick), turns, outline);
                canvas.rect(at, (r, 0.7 * r), turns, tone);
            }
            1 => {
                for (reach, tone) in [(1.15 * r + 2.0 * thick, outline), (1.15 * r, tone)] {
                    let corners = [0.0, 1.0, 2.0].map(|i| {
                        let (c, s) = direction(turns + i / 3.0);
                        (at.0 + reach * c, at.1 + reach * s)
                    });
                    canvas.polygon(&corners, tone);
                }
            }
            _ => {
                canvas.disc(at, r + thick, outline);
                canvas.disc(at, r, tone);
                for side in [-0.38, 0.38] {
                    let eye = (at.0 + side * r, at.1 - 0.15 * r);
                    canvas.disc(eye, 0.34 * r, outline);
                    canvas.disc(eye, 0.27 * r, [250.0; 3]);
                    canvas.disc((eye.0 + 0.08 * r, eye.1 + 0.05 * r), 0.13 * r, outline);
                }
            }
        }
    }
}

/// Polka dots in a rotated grid, and confetti.
fn comedy(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.cover(mix(tones[0], tones[1], dice.between(0.0, 1.0)), |_, _| -1.0);
    let pitch = dice.between(22.0, 36.0) * u;
    let r = pitch * dice.between(0.26, 0.36);
    let (c, s) = direction(dice.between(0.0, 0.25));
    let offset = (dice.between(0.0, pitch), dice.between(0.0, pitch));
    // Dots of two tones alternate like the squares of a chessboard.
    for (field, tone) in [(0.0, 3), (1.0, 4)] {
        canvas.cover(tones[tone], |x, y| {
            let (a, b) = ((c * x + s * y + offset.0) / pitch, (c * y - s * x + offset.1) / pitch);
            let parity = a.floor() + b.floor();
            if (parity * 0.5 == (parity * 0.5).floor()) != (field == 0.0) {
                return 1.0;
            }
            length(a - a.floor() - 0.5, b - b.floor() - 0.5) * pitch - r
        });
    }
    let count = (w * h / (u * u) / dice.between(350.0, 700.0)) as usize;
    for _ in 0..count {
        let at = (dice.between(0.0, w), dice.between(0.0, h));
        let half = (dice.between(2.5, 4.5) * u, 1.3 * u);
        canvas.rect(at, half, dice.between(0.0, 1.0), tones[dice.pick(&[0, 2, 3, 4])]);
    }
}

/// Strips of film with their perforations, and pictures in the frames.
fn documentary(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.cover(mix(tones[4], tones[3], 0.4), |_, _| -1.0);
    let turns = dice.between(-0.04, 0.04) + if dice.chance(0.5) { 0.25 } else { 0.0 };
    let (c, s) = direction(turns);
    let pitch = dice.between(52.0, 78.0) * u;
    let half = pitch * 0.44;
    let offset = (dice.between(0.0, pitch), dice.between(0.0, pitch));
    let along_and_across = |x: f32, y: f32| (c * x + s * y + offset.0, c * y - s * x + offset.1);
    canvas.cover(tones[0], |x, y| off_whole(along_and_across(x, y).1 / pitch) * pitch - half);
    let frame = pitch * dice.between(0.7, 1.0);
    let reach = ((w + h) / frame.min(pitch)) as usize + 2;
    for i in 0..=2 * reach {
        for j in 0..=2 * reach {
            let (a, b) =
                ((i as f32 - reach as f32 + 0.5) * frame - offset.0, (j as f32 - reach as f32) * pitch - offset.1);
            let at = (c * a - s * b, s * a + c * b);
            let margin = frame + pitch;
            if at.0 < -margin || at.1 < -margin || at.0 > w + margin || at.1 > h + margin {
                continue;
            }
            let (sky, hill) = (tones[dice.int(1, 4)], tones[dice.int(1, 3)]);
            canvas.rect(at, (0.45 * frame, 0.29 * pitch), turns, sky);
            canvas.rect((at.0 - 0.1 * s * pitch, at.1 + 0.1 * c * pitch), (0.45 * frame, 0.18 * pitch), turns, hill);
            canvas.disc(at, dice.between(0.08, 0.15) * pitch, tones[4]);
        }
    }
    let hole = 7.0 * u;
    canvas.cover(mix(tones[4], [255.0; 3], 0.3), |x, y| {
        let (a, b) = along_and_across(x, y);
        let from_row = (off_whole(b / pitch) * pitch - 0.37 * pitch).abs();
        (off_whole(a / hole) * hole - 0.27 * hole).max(from_row - 0.045 * pitch)
    });
}

/// Two large silhouettes against a quiet sky.
fn drama(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.gradient(tones[dice.int(1, 2)], tones[dice.int(3, 4)]);
    let glow = Ink { colour: tones[4], opacity: 0.6, edge: 60.0 * u };
    canvas.disc((w * dice.between(0.2, 0.8), h * dice.between(0.1, 0.5)), dice.between(30.0, 60.0) * u, glow);
    let first = dice.between(0.18, 0.38);
    for (x, tone) in [(first, 1), (first + dice.between(0.28, 0.45), 0)] {
        let head = dice.between(0.13, 0.19) * w.min(h);
        let (cx, cy) = (x * w, h * dice.between(0.28, 0.5));
        let ink = Ink { colour: tones[tone], opacity: 0.88, edge: 1.5 };
        let lean = dice.between(-0.25, 0.25);
        canvas.fill([0.0, 0.0, w, h], ink, |x, y| {
            let (dx, dy) = (x - cx, y - cy);
            let face = length(dx * 1.18, dy) - head;
            let neck = (dx - lean * dy).abs().max(-dy) - 0.48 * head;
            let neck = neck.max(dy - 2.2 * head);
            let below = dy - 2.6 * head;
            let body = if below < 0.0 { length(dx * 0.5, below) } else { dx.abs() * 0.5 } - 1.05 * head;
            face.min(neck).min(body)
        });
    }
}

/// Streaks that drip from above, and teeth that rise from below.
fn horror(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.gradient(tones[0], mix(tones[0], tones[1], 0.8));
    let mut x = 0.0;
    while x < w {
        let thickness = dice.between(4.0, 9.0) * u;
        let end = h * dice.between(0.1, 0.75);
        let tone = tones[dice.pick(&[2, 3, 3, 4])];
        canvas.stroke((x, -thickness), (x, end), thickness, tone);
        if dice.chance(0.4) {
            canvas.disc((x, end), thickness * 0.8, tone);
        }
        x += thickness + dice.between(0.0, 7.0) * u;
    }
    for (row, tone) in [(1.0, 1), (0.6, 4)] {
        let mut x = -10.0 * u;
        while x < w {
            let half = dice.between(6.0, 12.0) * u;
            let tip = h - row * h * dice.between(0.15, 0.38);
            canvas.polygon(
                &[(x, h + 1.0), (x + half * dice.between(0.6, 1.4), tip), (x + 2.0 * half, h + 1.0)],
                tones[tone],
            );
            x += 1.6 * half;
        }
    }
}

/// Soft lights, hearts, and curves that flow past each other.
fn romance(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.gradient(tones[dice.int(0, 2)], tones[dice.int(1, 3)]);
    let area = w * h / (u * u);
    for _ in 0..(area / 2200.0) as usize + 3 {
        let edge = dice.between(6.0, 18.0) * u;
        let ink = Ink { colour: tones[dice.int(2, 4)], opacity: dice.between(0.25, 0.5), edge };
        canvas.disc((dice.between(0.0, w), dice.between(0.0, h)), dice.between(8.0, 26.0) * u, ink);
    }
    for _ in 0..dice.int(3, 5) {
        let (level, swing) = (h * dice.between(0.1, 0.9), h * dice.between(0.04, 0.12));
        let (waves, phase) = (dice.between(0.6, 1.6) / w, dice.between(0.0, 1.0));
        let thickness = dice.between(1.2, 2.4) * u;
        canvas.cover(Ink { opacity: 0.8, ..tones[4].into() }, |x, y| {
            let (slope, wave) = direction(waves * x + phase);
            let slope = TAU * waves * swing * slope;
            (y - level - swing * wave).abs() / (1.0 + slope * slope).sqrt() - 0.5 * thickness
        });
    }
    for _ in 0..(area / 4500.0) as usize + 2 {
        let at = (dice.between(0.0, w), dice.between(0.0, h));
        canvas.heart(at, dice.between(4.0, 15.0) * u, dice.between(-0.06, 0.06), tones[dice.pick(&[3, 4, 4])]);
    }
}

/// Stars, thin rings around a planet, and a grid that runs to the horizon.
fn science_fiction(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.gradient(tones[0], mix(tones[0], tones[1], 0.7));
    for _ in 0..(w * h / (u * u) / dice.between(110.0, 220.0)) as usize {
        let r = dice.between(0.4, 1.5) * u;
        canvas.disc((dice.between(0.0, w), dice.between(0.0, h)), r, tones[dice.pick(&[3, 4, 4])]);
    }
    let centre = (w * dice.between(0.25, 0.75), h * dice.between(0.2, 0.5));
    let (gap, rings) = (dice.between(6.0, 10.0) * u, dice.int(7, 14));
    let planet = dice.between(14.0, 26.0) * u;
    let reach = planet + gap * rings as f32;
    canvas.cover(tones[3], |x, y| {
        let r = length(x - centre.0, y - centre.1);
        (off_whole((r - planet) / gap) * gap - 0.7 * u).max(r - reach)
    });
    canvas.disc(centre, planet, tones[2]);
    let horizon = h * dice.between(0.62, 0.78);
    canvas.fill([0.0, horizon, w, h], mix(tones[0], tones[1], 0.3), |_, y| horizon - y);
    let vanishing = centre.0;
    for i in -12..=12 {
        let foot = vanishing + i as f32 * 0.2 * w;
        let top = vanishing + i as f32 * 0.03 * w;
        canvas.stroke((top, horizon), (foot, h + 2.0), 1.3 * u, tones[3]);
    }
    let (mut depth, mut step) = (0.0, 2.5 * u);
    while horizon + depth < h {
        canvas.stroke((0.0, horizon + depth), (w, horizon + depth), 1.3 * u, tones[4]);
        depth += step;
        step *= 1.35;
    }
}

/// The shadow of a blind, and a spiral.
fn thriller(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    canvas.gradient(tones[2], tones[3]);
    let (c, s) = direction(dice.between(-0.05, 0.05));
    let pitch = dice.between(9.0, 15.0) * u;
    let (share, offset) = (dice.between(0.22, 0.3), dice.between(0.0, 1.0));
    let slat = Ink { opacity: dice.between(0.75, 1.0), ..tones[0].into() };
    canvas.cover(slat, |x, y| (off_whole((c * y - s * x) / pitch + offset) - share) * pitch);
    let (cx, cy) = (w * dice.between(0.25, 0.75), h * dice.between(0.25, 0.75));
    let radius = w.min(h) * dice.between(0.28, 0.45);
    let arm = dice.between(11.0, 18.0) * u;
    let hand = if dice.chance(0.5) { 1.0 } else { -1.0 };
    canvas.disc((cx, cy), radius, tones[4]);
    canvas.fill([cx - radius, cy - radius, cx + radius, cy + radius], tones[0], |x, y| {
        let (dx, dy) = (x - cx, y - cy);
        let r = length(dx, dy);
        ((off_whole(r / arm + hand * turns_of(dx, dy)) - 0.24) * arm).max(r - radius + 2.0 * u)
    });
}

/// A low sun, mesas on the horizon, and land in bands.
fn western(canvas: &mut Canvas, tones: &Tones, dice: &mut Dice) {
    let (w, h, u) = (canvas.width, canvas.height, canvas.unit);
    let horizon = h * dice.between(0.5, 0.72);
    let band = dice.between(14.0, 26.0) * u;
    let (high, low) = (tones[dice.int(1, 2)], tones[3]);
    canvas.shade(|_, y, _| mix(high, low, ((y / band).floor() * band / horizon).min(1.0)));
    let sun = (w * dice.between(0.25, 0.75), horizon - dice.between(0.0, 50.0) * u);
    let r = dice.between(32.0, 56.0) * u;
    canvas.disc(sun, r, tones[4]);
    for _ in 0..dice.int(2, 4) {
        let (left, wide) = (dice.between(-0.2, 0.9) * w, dice.between(24.0, 70.0) * u);
        let (tall, slope) = (dice.between(18.0, 60.0) * u, dice.between(4.0, 12.0) * u);
        let top = horizon - tall;
        let mesa = [
            (left - slope, horizon + 1.0),
            (left, top + 0.4 * tall),
            (left + 0.3 * slope, top),
            (left + wide, top),
            (left + wide + 0.3 * slope, top + 0.4 * tall),
            (left + wide + 1.3 * slope, horizon + 1.0),
        ];
        canvas.polygon(&mesa, mix(tones[1], tones[0], dice.between(0.0, 0.8)));
    }
    canvas.fill([0.0, horizon, w, h], tones[1], |_, y| horizon - y);
    let mut y = horizon + 3.0 * u;
    while y < h {
        let thickness = dice.between(1.5, 4.0) * u;
        let tone = tones[dice.pick(&[0, 0, 2, 3])];
        let (a, b) = (dice.between(-0.5, 0.4) * w, dice.between(0.6, 1.5) * w);
        canvas.stroke((a, y), (b, y), thickness, tone);
        y += thickness + dice.between(1.5, 5.0) * u;
    }
    for _ in 0..dice.int(1, 3) {
        let (x, foot) = (w * dice.between(0.05, 0.95), horizon + dice.between(4.0, 40.0) * u);
        let tall = dice.between(35.0, 60.0) * u;
        let thick = 0.14 * tall;
        canvas.stroke((x, foot), (x, foot - tall), thick, tones[0]);
        for (side, at) in [(-1.0, 0.45), (1.0, 0.6)] {
            let (elbow, level) = (x + side * 0.28 * tall, foot - at * tall);
            canvas.stroke((x, level), (elbow, level), 0.75 * thick, tones[0]);
            canvas.stroke((elbow, level), (elbow, level - 0.28 * tall), 0.75 * thick, tones[0]);
        }
    }
}
