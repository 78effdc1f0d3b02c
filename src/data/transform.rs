//! How a decoded poster becomes what a model sees: a fixed view of it or, in training, a random
//! variation.
//!
//! A poster that is mirrored, cropped a little or slightly bleached has the same genres. A model
//! that never sees the same pixels twice is slower to learn them by heart, if it does at all.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

use crate::data::decode::ImageSpec;
use crate::data::retouch::{self, Operation, Rectangle, byte, colour, mirror};
use crate::rng::{self, Purpose};

/// How an image becomes the input of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// The size of the input.
    pub size: ImageSpec,
    /// What is shown of the image at that size.
    pub look: Look,
}

impl Transform {
    /// Whether images are mixed with each other.
    pub fn mixes(&self) -> bool {
        matches!(self.look, Look::Varied { augment, .. } if augment.mixup.max(augment.cutmix) > 0.0)
    }
}

/// What is shown of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// A view that is always the same.
    View(View),
    /// A random variation that depends on the seed, the epoch and the image's position in it, and
    /// on nothing else.
    Varied {
        /// What may vary, and by how much.
        augment: Augment,
        /// The seed of the run.
        seed: u64,
        /// The epoch, counted from 1.
        epoch: u64,
    },
}

/// A fixed way to look at an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The corner that is shown, [`Self::CORNER`] of each side: whether it is at the right, and whether it is at
    /// the bottom. `None` shows the whole image.
    pub corner: Option<[bool; 2]>,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

impl View {
    /// The image as it is.
    pub const WHOLE: Self = Self { corner: None, mirrored: false };
    /// The share of each side that the view of a corner shows. Training shows crops that enlarge what they
    /// show; views that do, too, see things in the sizes that were learned (Touvron et al. 2019,
    /// <https://arxiv.org/abs/1906.06423>).
    pub const CORNER: f64 = 0.75;

    /// Where on a side of so many pixels the view of a corner begins, and how many it shows; `far` says
    /// which end of the side the corner is at.
    pub fn part(far: bool, side: f64) -> (f64, f64) {
        let len = Self::CORNER * side;
        (if far { side - len } else { 0.0 }, len)
    }
}

/// The views of an image that a model's answers are averaged over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// The image as it is.
    One,
    /// The image and its mirror image.
    Flip,
    /// These two, and the four corners and their mirror images.
    Crops,
}

impl Views {
    /// The list of the views.
    pub fn all(self) -> Vec<View> {
        let corners = [[false, false], [true, false], [false, true], [true, true]].map(Some);
        let places: &[Option<[bool; 2]>] = match self {
            Self::One => return vec![View::WHOLE],
            Self::Flip => &[None],
            Self::Crops => &[None, corners[0], corners[1], corners[2], corners[3]],
        };
        places.iter().flat_map(|&corner| [false, true].map(|mirrored| View { corner, mirrored })).collect()
    }
}

/// What varies from one showing of an image to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Augment {
    /// Whether left and right are exchanged half of the time, at random.
    pub flip: bool,
    /// The least share of the area that a random crop keeps; 1 keeps all. The ratio of the crop's
    /// sides is changed by a factor of up to 4/3.
    ///
    /// Szegedy et al. 2015, <https://arxiv.org/abs/1409.4842>, section 6.
    pub crop: f32,
    /// The most by which brightness, contrast and saturation are changed: with 0.3 each is
    /// multiplied by a factor from 0.7 to 1.3; 0 leaves them as they are.
    ///
    /// Krizhevsky, Sutskever and Hinton 2012, in the simpler form of Howard 2013,
    /// <https://arxiv.org/abs/1312.5402>.
    pub jitter: f32,
    /// How many operations of [`Operation::ALL`] are drawn and applied; 0 applies none.
    ///
    /// RandAugment, Cubuk et al. 2019, <https://arxiv.org/abs/1909.13719>, but with the strength of each
    /// drawn, too, as in TrivialAugment, Müller and Hutter 2021, <https://arxiv.org/abs/2103.10158>.
    pub randaugment: usize,
    /// The greatest strength of these operations, as a share of what they can do.
    pub magnitude: f32,
    /// The side of a grey square at a random place, as a share of the image's side; 0 is no square.
    ///
    /// DeVries and Taylor 2017, <https://arxiv.org/abs/1708.04552>.
    pub cutout: f32,
    /// The parameter of mixup: each image and its labels are mixed with those of the next image in
    /// the batch, by shares from Beta(mixup, mixup); 0 mixes nothing.
    ///
    /// Zhang et al. 2018, <https://arxiv.org/abs/1710.09412>.
    pub mixup: f32,
    /// The parameter of CutMix: a rectangle of each image is taken from the next image in the batch, and
    /// as large a share of its labels, by shares from Beta(cutmix, cutmix); 0 does not. With mixup, each
    /// image draws one of the two.
    ///
    /// Yun et al. 2019, <https://arxiv.org/abs/1905.04899>.
    pub cutmix: f32,
}

impl Augment {
    /// The setting under which nothing varies.
    pub const NONE: Self = Self {
        flip: false,
        crop: 1.0,
        jitter: 0.0,
        randaugment: 0,
        magnitude: 0.0,
        cutout: 0.0,
        mixup: 0.0,
        cutmix: 0.0,
    };
}

/// The part of an image that is shown, in pixels from the image's upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Crop {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// A [`Transform`] with what it takes to apply it; each thread has its own.
pub struct Transformer {
    transform: Transform,
    resizer: Resizer,
    /// A copy of an image whose pixels move.
    spare: Vec<u8>,
}

impl Transformer {
    /// A transformer that applies `transform`.
    pub fn new(transform: Transform) -> Self {
        Self { transform, resizer: Resizer::new(), spare: Vec::new() }
    }

    /// Makes the input from the image that stands at `position` in the epoch.
    ///
    /// # Shapes
    /// `image`: u8 `[from.height, from.width, 3]`;
    /// `out`: u8 `[size.height, size.width, 3]`, overwritten
    /// # Panics
    /// If a slice's length differs from its shape.
    pub fn apply(&mut self, image: &[u8], from: ImageSpec, position: u64, out: &mut [u8]) {
        let Transform { size, look } = self.transform;
        let (height, width) = (from.height as f64, from.width as f64);
        match look {
            Look::View(View { corner, mirrored }) => {
                let crop = corner.map(|[right, bottom]| {
                    let ((left, width), (top, height)) = (View::part(right, width), View::part(bottom, height));
                    Crop { left, top, width, height }
                });
                self.resize(image, from, crop, out);
                if mirrored {
                    mirror(out, size.width);
                }
            }
            Look::Varied { augment, seed, epoch } => {
                let Augment { flip, crop, jitter, randaugment, magnitude, cutout, .. } = augment;
                let random = |part| stream(seed, epoch, position, part);
                let crop = (crop < 1.0).then(|| random_crop(&mut random(Part::Crop), crop, width, height));
                self.resize(image, from, crop, out);
                if flip && random(Part::Flip).random() {
                    mirror(out, size.width);
                }
                if jitter > 0.0 {
                    let mut random = random(Part::Jitter);
                    colour(out, [0; 3].map(|_| 1.0 + jitter * random.random_range(-1.0..1.0f32)));
                }
                if randaugment > 0 {
                    let operations = random_operations(&mut random(Part::RandAugment), randaugment, magnitude);
                    retouch::apply(out, size, &operations, &mut self.spare);
                }
                if cutout > 0.0 {
                    let mut random = random(Part::Cutout);
                    let centre = [0; 2].map(|_| random.random());
                    Rectangle { centre, sides: [cutout; 2] }.cut_out(out, size);
                }
            }
        }
    }

    /// Mixes the first `count` images of a batch and their labels, each with the next, where the transform
    /// asks for it; after the last image comes the first. That stands at `position` in the epoch. A label that is NaN is not known: that of a mixture is
    /// known where that of its larger part is, and is that alone where the other's is not. So about as many
    /// are known as before, however few these are.
    ///
    /// # Shapes
    /// `images`: u8 `[n, size.height, size.width, 3]`; `labels`: `[n, classes]`
    pub fn mix(&self, images: &mut [u8], labels: &mut [f32], count: usize, position: u64) {
        let Look::Varied { augment: Augment { mixup, cutmix, .. }, seed, epoch } = self.transform.look else { return };
        let size = self.transform.size;
        let bytes = size.bytes();
        let n = images.len() / bytes;
        if !self.transform.mixes() || n < 2 {
            return;
        }
        let classes = labels.len() / n;
        let (first_image, first_labels) = (images[..bytes].to_vec(), labels[..classes].to_vec());
        for at in 0..count {
            let random = |part| stream(seed, epoch, position + at as u64, part);
            let (image, rest) = images[at * bytes..].split_at_mut(bytes);
            let next = if rest.is_empty() { &first_image[..] } else { &rest[..bytes] };
            let rectangle = random_rectangle(&mut random(Part::CutMix), cutmix, mixup > 0.0);
            // The share of the image's own labels.
            let share = match rectangle {
                Some(rectangle) => 1.0 - rectangle.paste(image, next, size),
                None => blend(&mut random(Part::Mixup), mixup, image, next),
            };
            let (of_image, rest) = labels[at * classes..].split_at_mut(classes);
            let next = if rest.is_empty() { &first_labels[..] } else { &rest[..classes] };
            for (label, &other) in of_image.iter_mut().zip(next) {
                match label.is_nan() || other.is_nan() {
                    true if share < 0.5 => *label = other,
                    true => {}
                    false => *label += (1.0 - share) * (other - *label),
                }
            }
        }
    }

    /// Brings a part of an image, or all of it, to the size of the input, with antialiasing, since
    /// inputs are smaller.
    fn resize(&mut self, image: &[u8], from: ImageSpec, crop: Option<Crop>, out: &mut [u8]) {
        let size = self.transform.size;
        assert_eq!((image.len(), out.len()), (from.bytes(), size.bytes()), "image and out");
        if from == size && crop.is_none() {
            return out.copy_from_slice(image);
        }
        let mut options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        if let Some(Crop { left, top, width, height }) = crop {
            options = options.crop(left, top, width, height);
        }
        let from = TypedImageRef::<U8x3>::from_buffer(from.width as u32, from.height as u32, image);
        let to = TypedImage::<U8x3>::from_buffer(size.width as u32, size.height as u32, out);
        let (from, mut to) = (from.expect("the length was checked"), to.expect("the length was checked"));
        self.resizer.resize_typed(&from, &mut to, &options).expect("the crop lies inside the image");
    }
}

/// What random numbers are drawn for. Each part has its own, so that under the same seed a change
/// of one option changes one thing.
#[derive(Clone, Copy)]
enum Part {
    Crop,
    Flip,
    Jitter,
    Cutout,
    Mixup,
    RandAugment,
    CutMix,
}

/// The random numbers of a part, for the image at a position in an epoch.
fn stream(seed: u64, epoch: u64, position: u64, part: Part) -> ChaCha8Rng {
    let mut stream = rng::stream(seed, Purpose::Augment, epoch);
    stream.set_stream(position);
    // The parts start farther apart than any of them draws.
    stream.set_word_pos((part as u128) << 32);
    stream
}

fn random_crop(random: &mut ChaCha8Rng, least: f32, width: f64, height: f64) -> Crop {
    let least = f64::from(least);
    let area = random.random_range(least..1.0);
    // Where hardly anything may be left out, sides that are stretched farther than this would leave
    // out more.
    let stretch = random.random_range(-1.0..1.0f64) * (4.0f64 / 3.0).min(1.0 / least).ln() / 2.0;
    // The shares of the two sides. Their product is the area, unless a side is cut to the image's.
    let [w, h] = [stretch, -stretch].map(|stretch| (area.sqrt() * stretch.exp()).min(1.0));
    let [left, top] = [1.0 - w, 1.0 - h].map(|room| room * random.random::<f64>());
    Crop { left: left * width, top: top * height, width: w * width, height: h * height }
}

/// Operations with their strengths, of which none is above `magnitude`.
fn random_operations(random: &mut ChaCha8Rng, n: usize, magnitude: f32) -> Vec<(Operation, f32)> {
    let one = |_| {
        let operation = Operation::ALL[random.random_range(0..Operation::ALL.len() as u32) as usize];
        (operation, magnitude * random.random_range(-1.0..1.0f32))
    };
    (0..n).map(one).collect()
}

/// The part of an image that CutMix takes from another one; `None` where it is not to, which is decided
/// by a coin if there is another way to mix.
fn random_rectangle(random: &mut ChaCha8Rng, cutmix: f32, or_mixup: bool) -> Option<Rectangle> {
    if cutmix <= 0.0 || (or_mixup && random.random()) {
        return None;
    }
    let side = (1.0 - beta(random, f64::from(cutmix))).sqrt() as f32;
    Some(Rectangle { centre: [0; 2].map(|_| random.random()), sides: [side; 2] })
}

/// Mixes an image with another one, by shares from Beta(mixup, mixup), of which the larger one is its
/// own; returns that.
fn blend(random: &mut ChaCha8Rng, mixup: f32, image: &mut [u8], other: &[u8]) -> f32 {
    let share = beta(random, f64::from(mixup));
    let share = share.max(1.0 - share) as f32;
    for (pixel, &other) in image.iter_mut().zip(other) {
        *pixel = byte(share * f32::from(*pixel) + (1.0 - share) * f32::from(other));
    }
    share
}

/// A number from Beta(a, a).
///
/// For `a` up to 1/2 by Jöhnk 1964: two uniform numbers are raised to the power of 1/a, and where
/// the powers sum to at most 1, as they do three times in four or more often, the result is the
/// first one's share of the sum. For larger `a`, where ever fewer pairs would be accepted, by
/// Ulrich 1984, from the polar coordinates of a point. Both are in Devroye 1986, Non-Uniform Random
/// Variate Generation, chapter IX.
fn beta(random: &mut ChaCha8Rng, a: f64) -> f64 {
    loop {
        // Above 0, so that both have logarithms.
        let [u, v] = [0; 2].map(|_| 1.0 - random.random::<f64>());
        if a > 0.5 {
            return 0.5 + 0.5 * (1.0 - u.powf(1.0 / (a - 0.5))).sqrt() * (TAU * v).cos();
        }
        // As logarithms, since the powers themselves are 0 where `a` is small.
        let [x, y] = [u, v].map(|u| u.ln() / a);
        if x.exp() + y.exp() <= 1.0 {
            return 1.0 / (1.0 + (y - x).exp());
        }
    }
}
