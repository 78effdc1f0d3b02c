//! The operations of RandAugment, one by one.

use crate::common::Data;
use onesheet::data::decode::ImageSpec;
use onesheet::data::retouch::{Operation, apply, byte};

const SIZE: ImageSpec = ImageSpec { height: 24, width: 20 };

/// Noise of all values.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    Data::new(seed).whole(256, len).iter().map(|&value| value as u8).collect()
}

fn image(seed: u64) -> Vec<u8> {
    noise(seed, SIZE.bytes())
}

fn applied(image: &[u8], operations: &[(Operation, f32)]) -> Vec<u8> {
    let mut out = image.to_vec();
    apply(&mut out, SIZE, operations, &mut Vec::new());
    out
}

fn at(image: &[u8], y: usize, x: usize) -> [u8; 3] {
    image[(y * SIZE.width + x) * 3..][..3].try_into().unwrap()
}

#[test]
fn each_operation_is_the_identity_at_strength_0_and_does_something_at_1() {
    let image = image(1);
    // Noise has all values already: equalising and stretching want an image that has not.
    let pale: Vec<u8> = image.iter().map(|value| 100 + value / 4).collect();
    for operation in Operation::ALL {
        assert_eq!(applied(&image, &[(operation, 0.0)]), image, "{operation:?}");
        let is_changed = applied(&pale, &[(operation, 1.0)]) != pale;
        assert_eq!(is_changed, operation != Operation::Identity, "{operation:?}");
    }
}

#[test]
fn what_is_moved_is_found_where_it_was_moved_to_and_grey_follows() {
    let image = image(2);
    // 0.45 * 20 * 1/3 are 3 pixels.
    let moved = applied(&image, &[(Operation::TranslateX, 1.0 / 3.0)]);
    for (y, x) in (0..24).flat_map(|y| (0..20).map(move |x| (y, x))) {
        let expected = if x + 3 < 20 { at(&image, y, x + 3) } else { [128; 3] };
        let (is, near) = (at(&moved, y, x), expected);
        assert!(is.iter().zip(near).all(|(is, near)| is.abs_diff(near) <= 1), "{y} {x}: {is:?} {near:?}");
    }
    // There and back within one resampling is nowhere; each by itself would have lost an edge.
    let back = [(Operation::TranslateY, 0.7), (Operation::TranslateY, -0.7)];
    assert_eq!(applied(&image, &back), image);
    let turned_back = [(Operation::Rotate, 0.9), (Operation::Rotate, -0.9)];
    let largest = applied(&image, &turned_back).iter().zip(&image).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(largest.unwrap() <= 1, "{largest:?}");
}

#[test]
fn operations_that_move_pixels_go_in_their_order() {
    // A turn moves nothing of the centre, unless something was moved there before.
    let turn = |first, second| applied(&image(3), &[first, second]);
    let (rotate, translate) = ((Operation::Rotate, 1.0), (Operation::TranslateX, 1.0));
    assert_ne!(turn(rotate, translate), turn(translate, rotate));
    let mut dot = vec![0; SIZE.bytes()];
    for (y, x) in [(11, 9), (11, 10), (12, 9), (12, 10)] {
        dot[(y * 20 + x) * 3..][..3].fill(255);
    }
    // The dot in the middle is turned in place, and then moved 9 pixels to the left.
    let out = applied(&dot, &[rotate, translate]);
    assert!(at(&out, 11, 0)[0].max(at(&out, 12, 1)[0]) > 200, "{:?}", &out[11 * 60..][..12]);
    // The other way round, it is moved and then turned about the centre: up or down.
    let out = applied(&dot, &[translate, rotate]);
    assert!(at(&out, 11, 0)[0].max(at(&out, 12, 1)[0]) < 60, "{:?}", &out[11 * 60..][..12]);
}

#[test]
fn turning_keeps_the_centre_and_moves_the_rest() {
    let mut image = vec![0; SIZE.bytes()];
    // A vertical bar in the middle two columns.
    for y in 0..24 {
        image[(y * 20 + 9) * 3..][..6].fill(255);
    }
    let turned = applied(&image, &[(Operation::Rotate, 1.0)]);
    assert!(at(&turned, 11, 9)[0] > 180 && at(&turned, 12, 10)[0] > 180);
    // 30 degrees: 8 pixels above the centre, the bar is 8 * tan(30 degrees) = 4.6 pixels aside.
    let row = |y: usize| (0..20).filter(|&x| at(&turned, y, x)[0] > 200 && at(&turned, y, x) != [128; 3]).collect();
    let (above, below): (Vec<usize>, Vec<usize>) = (row(3), row(20));
    let middle = |columns: &[usize]| columns.iter().sum::<usize>() as f64 / columns.len() as f64 - 9.5;
    assert!((middle(&above).abs() - 4.9).abs() < 0.8, "{above:?}");
    assert!((middle(&above) + middle(&below)).abs() < 0.8, "{above:?} {below:?}");
}

#[test]
fn values_are_changed_as_said() {
    let image = image(4);
    let each = |operation, strength, value: fn(u8) -> u8| {
        let expected: Vec<u8> = image.iter().map(|&of| value(of)).collect();
        assert_eq!(applied(&image, &[(operation, strength)]), expected, "{operation:?}");
    };
    each(Operation::Posterize, 1.0, |value| value & 0xf0);
    each(Operation::Posterize, -0.5, |value| value & 0xfc);
    each(Operation::Solarize, 1.0, |value| 255 - value);
    each(Operation::Solarize, -0.5, |value| if value < 128 { value } else { 255 - value });
    let dark = applied(&image, &[(Operation::Brightness, -1.0)]);
    assert!(dark.iter().zip(&image).all(|(is, of)| (f32::from(*is) - 0.1 * f32::from(*of)).abs() < 0.51));
    // A grey image has no colour to lose, one of a single value no contrast.
    let grey: Vec<u8> = image.chunks(3).flat_map(|pixel| [pixel[0]; 3]).collect();
    assert_eq!(applied(&grey, &[(Operation::Saturation, -1.0)]), grey);
    let flat = vec![77; SIZE.bytes()];
    for operation in [Operation::Contrast, Operation::Sharpness, Operation::Equalize, Operation::AutoContrast] {
        assert_eq!(applied(&flat, &[(operation, 1.0)]), flat, "{operation:?}");
    }
}

#[test]
fn sharpness_moves_a_pixel_from_its_neighbours_and_leaves_slopes() {
    let slope: Vec<u8> = (0..24 * 20).flat_map(|at| [(3 * (at % 20) + 4 * (at / 20)) as u8; 3]).collect();
    assert_eq!(applied(&slope, &[(Operation::Sharpness, 1.0)]), slope);
    let mut dot = vec![100; SIZE.bytes()];
    dot[(10 * 20 + 10) * 3..][..3].fill(126);
    // The mean around is 100 + 26 * 5 / 13 = 110, next to it 102.
    let sharp = applied(&dot, &[(Operation::Sharpness, 1.0)]);
    assert_eq!([at(&sharp, 10, 10)[0], at(&sharp, 9, 11)[0], at(&sharp, 8, 10)[0]], [140, 98, 100]);
    let blurred = applied(&dot, &[(Operation::Sharpness, -1.0)]);
    assert_eq!([at(&blurred, 10, 10)[0], at(&blurred, 11, 10)[0], at(&blurred, 10, 13)[0]], [112, 102, 100]);
}

#[test]
fn histograms_are_spread_channel_by_channel() {
    let image = image(5);
    let pale: Vec<u8> = image.iter().enumerate().map(|(at, value)| 20 * (at % 3) as u8 + value / 4).collect();
    let range = |image: &[u8], channel: usize| {
        let values = || image.iter().skip(channel).step_by(3).copied();
        (values().min().unwrap(), values().max().unwrap())
    };
    for operation in [Operation::AutoContrast, Operation::Equalize] {
        let out = applied(&pale, &[(operation, 1.0)]);
        assert_eq!([0, 1, 2].map(|channel| range(&out, channel)), [(0, 255); 3], "{operation:?}");
        // The order of values is kept.
        for (i, j) in (0..120).flat_map(|i| (0..120).map(move |j| (3 * i, 3 * j))) {
            assert!(pale[i] > pale[j] || out[i] <= out[j], "{operation:?}");
        }
    }
    // A third dark, two thirds bright: the ranks above the first.
    let mut two = vec![10; SIZE.bytes()];
    two[SIZE.bytes() / 3..].fill(30);
    let out = applied(&two, &[(Operation::Equalize, 1.0)]);
    assert_eq!((out[0], out[SIZE.bytes() - 1]), (0, 255));
    let half = applied(&two, &[(Operation::Equalize, 0.5)]);
    assert_eq!((half[0], half[SIZE.bytes() - 1]), (5, 143));
}

#[test]
fn bytes_are_rounded_as_by_the_standard_library() {
    let around = |bits: u32| (bits - 3..bits + 3).map(f32::from_bits);
    let halves = (0..=1_024).flat_map(|quarters| around((0.25 * quarters as f32 + 0.25).to_bits()));
    let others = (0..0x4380_0000).step_by(997).map(f32::from_bits);
    for value in halves.chain(others).flat_map(|value| [value, -value]).chain([f32::NAN, f32::INFINITY, 1e30]) {
        assert_eq!(byte(value), value.round().clamp(0.0, 255.0) as u8, "{value}");
    }
}

#[test]
fn images_of_any_size_take_all_operations() {
    let all: Vec<(Operation, f32)> = Operation::ALL.iter().map(|&operation| (operation, 0.8)).collect();
    for (height, width) in [(1, 1), (1, 7), (2, 2), (5, 1), (3, 256)] {
        let size = ImageSpec { height, width };
        let mut image = noise(6, size.bytes());
        apply(&mut image, size, &all, &mut Vec::new());
    }
}
