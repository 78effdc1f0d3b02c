use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jpeg_encoder::{ColorType, Encoder};
use onesheet::data::decode::{Decoder, ImageSpec, resize};
use onesheet::data::demo;
use onesheet::data::dhash::DHash;
use onesheet::data::split::{Fold, Split};
use onesheet::data::twins::Twins;
use proptest::prelude::*;

const SPEC: ImageSpec = ImageSpec::POSTER;

/// The number of bits in which two hashes differ, counted one by one.
fn distance(a: &DHash, b: &DHash) -> usize {
    (0..DHash::BITS).filter(|bit| (a.0[bit / 64] ^ b.0[bit / 64]) >> (bit % 64) & 1 == 1).count()
}

/// What [`Twins::among`] finds, by comparing all pairs.
fn by_force(films: &[(u64, DHash)]) -> Vec<Vec<u64>> {
    let is_telling = |hash: &DHash| distance(hash, &DHash::default()) >= 128;
    let mut group: Vec<usize> = (0..films.len()).collect();
    for a in 0..films.len() {
        for b in 0..a {
            let (a_hash, b_hash) = (&films[a].1, &films[b].1);
            if distance(a_hash, b_hash) <= 41 && (is_telling(a_hash) || is_telling(b_hash)) {
                let (from, to) = (group[a], group[b]);
                group.iter_mut().filter(|of| **of == from).for_each(|of| *of = to);
            }
        }
    }
    let mut groups = BTreeMap::<usize, Vec<u64>>::new();
    group.iter().zip(films).for_each(|(of, (id, _))| groups.entry(*of).or_default().push(*id));
    let mut groups: Vec<Vec<u64>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}

fn flipped(mut hash: DHash, bits: impl IntoIterator<Item = usize>) -> DHash {
    bits.into_iter().for_each(|bit| hash.0[bit / 64] ^= 1 << (bit % 64));
    hash
}

prop_compose! {
    /// Hashes in clusters, with distances around the bound; some say little, and some are equal.
    fn films()(
        centres in prop::collection::vec((any::<[u64; 8]>(), any::<[u64; 8]>(), 0..3usize), 1..6),
        films in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(0..DHash::BITS, 0..50)), 1..40),
    ) -> Vec<(u64, DHash)> {
        let of = |(at, bits): (prop::sample::Index, Vec<usize>)| {
            let (bits_of, mask, thinned) = at.get(&centres);
            // A quarter of the bits or an eighth: about as many as count, or too few.
            let mut hash = DHash(*bits_of);
            for turn in 0..*thinned {
                hash.0.iter_mut().zip(mask).for_each(|(word, mask)| *word &= mask.rotate_left(7 * turn as u32));
            }
            flipped(hash, bits)
        };
        films.into_iter().map(of).zip(0..).map(|(hash, id)| (id * 7919 % 1009, hash)).collect()
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_comparing_all_pairs_finds(films in films()) {
        let found = Twins::among(films.clone());
        prop_assert_eq!(found.groups(), by_force(&films));
    }
}

/// Tests the pairs on which the search has least to go by: all bands but one differ.
#[test]
fn a_single_untouched_band_suffices() {
    let hash = DHash([0x5555_5555_5555_5555; 8]);
    for band in 0..42 {
        let others = (0..42).filter(|of| *of != band).map(|of| of + 42 * (of % 12));
        let twin = flipped(hash, others);
        assert_eq!(distance(&hash, &twin), 41);
        assert_eq!(Twins::among([(3, hash), (1, twin)]).groups(), [[1, 3]]);
    }
    let stranger = flipped(hash, 0..42);
    assert!(Twins::among([(3, hash), (1, stranger)]).groups().is_empty());
}

/// A studio's placeholder under many names, compressed anew under each.
#[test]
fn a_crowd_of_twins_is_gone_through_once() {
    let pair = |id: usize| [id % 200, 200 + id / 200];
    let films = (0..40_000).map(|id| (id as u64, flipped(DHash([0x5555_5555_5555_5555; 8]), pair(id))));
    let began = Instant::now();
    let twins = Twins::among(films);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(twins.groups().len(), 1);
    assert_eq!(twins.groups()[0].len(), 40_000);
}

#[test]
fn all_are_on_the_side_of_the_smallest_id() {
    // By their ids, 0 and 1 are on the side of training, 2 and 7 on that of validation, 4 on that of
    // the test.
    let hash = DHash([0x5555_5555_5555_5555; 8]);
    let chain = [(4, 0), (2, 30), (1, 60), (7, 90)].map(|(id, bits)| (id, flipped(hash, 0..bits)));
    let twins = Twins::among(chain);
    assert_eq!(twins.groups(), [[1, 2, 4, 7]], "the twins of twins are twins");
    assert_eq!(twins.moved(), BTreeMap::from([(2, Split::Train), (4, Split::Train), (7, Split::Train)]));
    assert_eq!(twins.sides(None), BTreeMap::from([1, 2, 4, 7].map(|id| (id, Some(Split::of(1))))));
    for number in 1..=5 {
        let fold = Fold { number, of: 5 };
        let side = if fold.has(1) { Split::Test } else { Split::of(1) };
        let expected = BTreeMap::from([1, 2, 4, 7].map(|id| (id, Some(side))));
        assert_eq!(twins.sides(Some(fold)), expected, "all are in the fold of the first");
    }
    let of_test = (1..).find(|&id| Split::of(id) == Split::Test).unwrap();
    let twins_of_test = Twins::among([(of_test, hash), (of_test + 1, hash)]);
    let sides = twins_of_test.sides(Some(Fold { number: 1, of: 5 }));
    assert_eq!(sides, BTreeMap::from([(of_test, None), (of_test + 1, None)]), "no fold has a test film's picture");
    let twins = Twins::among(chain[..2].iter().copied());
    assert_eq!(twins.moved(), BTreeMap::from([(4, Split::Val)]));
    assert_eq!(Twins::among([(7, hash), (2, hash)]).moved(), BTreeMap::new(), "they are on one side as it is");
}

/// A picture of soft spots of colour, `[size.height, size.width, 3]`.
fn picture(seed: u64, size: ImageSpec) -> Vec<u8> {
    let mut state = seed;
    let spots: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(9 * 13 * 3)
    .collect();
    let mut rgb = vec![0; size.bytes()];
    resize(&spots, 9, 13, size, &mut rgb);
    rgb
}

fn encoded(rgb: &[u8], size: ImageSpec, quality: u8) -> Vec<u8> {
    let mut file = Vec::new();
    Encoder::new(&mut file, quality).encode(rgb, size.width as u16, size.height as u16, ColorType::Rgb).unwrap();
    file
}

fn hash_of(file: &[u8]) -> DHash {
    let mut image = vec![0; SPEC.bytes()];
    Decoder::new().decode_bytes(file, SPEC, &mut image).unwrap();
    DHash::of(&image, SPEC)
}

#[test]
fn a_poster_in_another_quality_and_size_is_found_and_another_poster_is_not() {
    let (large, small) = (ImageSpec { height: 750, width: 500 }, ImageSpec { height: 180, width: 120 });
    let mut films = Vec::new();
    for seed in 0..40 {
        let rgb = picture(seed, large);
        let mut shrunk = vec![0; small.bytes()];
        resize(&rgb, large.width, large.height, small, &mut shrunk);
        films.push((seed, hash_of(&encoded(&rgb, large, 95))));
        films.push((seed + 100, hash_of(&encoded(&rgb, large, 20))));
        films.push((seed + 200, hash_of(&encoded(&shrunk, small, 60))));
    }
    let expected: Vec<Vec<u64>> = (0..40).map(|seed| vec![seed, seed + 100, seed + 200]).collect();
    assert_eq!(Twins::among(films).groups(), expected);
}

#[test]
fn pictures_without_contours_are_twins_of_none() {
    let flat = |level: u8| encoded(&vec![level; SPEC.bytes()], SPEC, 75);
    // A dark picture with a line of bright text in its middle.
    let mut titled = vec![10; SPEC.bytes()];
    (titled.chunks_exact_mut(3))
        .enumerate()
        .filter(|(at, _)| at / 256 / 8 == 16 && at % 7 < 3)
        .for_each(|(_, pixel)| pixel.fill(240));
    let films = [flat(0), flat(0), flat(255), flat(200), encoded(&titled, SPEC, 75), encoded(&titled, SPEC, 50)];
    let films: Vec<(u64, DHash)> =
        films.iter().map(|file| hash_of(file)).zip(0..).map(|(hash, id)| (id, hash)).collect();
    assert!(films.iter().all(|(_, hash)| !hash.is_telling()), "{films:?}");
    assert!(Twins::among(films).groups().is_empty());
}

/// What compressing anew changes may take a picture below the bound, or above it.
#[test]
fn contours_of_one_of_two_are_enough() {
    let [half, none] = [0x5555_5555_5555_5555, 0];
    let hash = DHash([half, half, half, half, none, none, none, none]);
    let [fewer, fewest] = [vec![0], (0..42).map(|bit| 2 * bit).collect()].map(|bits| flipped(hash, bits));
    assert!(hash.is_telling() && !fewer.is_telling());
    assert_eq!(Twins::among([(1, hash), (2, fewer)]).groups(), [[1, 2]]);
    assert_eq!(Twins::among([(1, hash), (2, fewer), (3, flipped(fewer, [2]))]).groups(), [[1, 2, 3]]);
    assert!(Twins::among([(2, fewer), (3, flipped(fewer, [2])), (4, fewer)]).groups().is_empty());
    assert!(Twins::among([(1, hash), (2, fewest)]).groups().is_empty());
}

/// As computed by a few lines of Python.
const GOLDEN: [u64; 8] = [
    0x55bd_36a9_1bab_776d,
    0x3227_2ab9_654d_59d9,
    0x54dd_572b_6ab2_376d,
    0x9bb7_ed74_5b8d_6cd9,
    0x3424_1ab8_f963_7767,
    0x0a92_0c98_7547_cbdb,
    0x5044_f3a3_285a_b365,
    0xc890_270e_dac3_2618,
];

/// A change of this test needs another version of the cache, and moves films from side to side.
#[test]
fn hashes_are_the_same_for_ever() {
    let size = ImageSpec { height: 37, width: 19 };
    let pixel = |at: usize| {
        let (y, x, c) = (at / 3 / 19, at / 3 % 19, at % 3);
        ((y * y * 7 + x * 29 + c * 101) % 251) as u8
    };
    let rgb: Vec<u8> = (0..size.bytes()).map(pixel).collect();
    let hash = DHash::of(&rgb, size);
    assert_eq!(hash.0, GOLDEN);
    assert_eq!(DHash::from_bytes(&hash.to_bytes()), hash);
    // Images of fewer pixels than there are cells have a hash, too: here the sixth row of cells is the
    // last of the first pixel, and the next is brighter.
    let tiny = ImageSpec { height: 3, width: 1 };
    assert_eq!(DHash::of(&[0, 0, 0, 90, 90, 90, 9, 9, 9], tiny).0, [0, 0, 0, 0, 0, 0xFFFF_0000, 0, 0]);
}

#[test]
fn drawn_posters_are_no_twins() {
    let folder = tempfile::tempdir().unwrap();
    demo::draw(folder.path(), 60, 1).unwrap();
    let posters = super::posters(folder.path());
    let mut films = Vec::new();
    for &id in posters.ids() {
        let mut image = vec![0; SPEC.bytes()];
        if Decoder::new().decode_poster(&posters.file(id), SPEC, &mut image).unwrap().is_ok() {
            films.push((id, DHash::of(&image, SPEC)));
        }
    }
    let distinct: HashSet<_> = films.iter().map(|(_, hash)| *hash).collect();
    assert_eq!(distinct.len(), films.len());
    assert!(Twins::among(films).groups().is_empty());
}
