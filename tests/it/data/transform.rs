use onesheet::data::decode::ImageSpec;
use onesheet::data::transform::{Augment, Look, Transform, Transformer, View, Views};

const FROM: ImageSpec = ImageSpec { height: 32, width: 32 };
const SIZE: ImageSpec = ImageSpec { height: 16, width: 16 };

/// An image in which red grows to the right, green grows downwards, and blue is a checkerboard of 8
/// pixels.
fn image() -> Vec<u8> {
    let pixel = |at: usize| {
        let (y, x) = (at / FROM.width, at % FROM.width);
        [8 * x as u8, 8 * y as u8, if (x / 8 + y / 8) % 2 == 0 { 40 } else { 200 }]
    };
    (0..FROM.height * FROM.width).flat_map(pixel).collect()
}

fn show(size: ImageSpec, look: Look, position: u64) -> Vec<u8> {
    let mut out = vec![0; size.bytes()];
    Transformer::new(Transform { size, look }).apply(&image(), FROM, position, &mut out);
    out
}

fn varied(augment: Augment, position: u64) -> Vec<u8> {
    show(SIZE, Look::Varied { augment, seed: 1, epoch: 2 }, position)
}

fn mirrored(image: &[u8], width: usize) -> Vec<u8> {
    let row = |row: &[u8]| row.as_chunks::<3>().0.iter().rev().flatten().copied().collect::<Vec<_>>();
    image.chunks_exact(width * 3).flat_map(row).collect()
}

fn mean(image: &[u8], channel: usize) -> f64 {
    let values = image.iter().skip(channel).step_by(3);
    values.map(|&value| f64::from(value)).sum::<f64>() / (image.len() / 3) as f64
}

const ALL: Augment = Augment {
    flip: true,
    crop: 0.5,
    jitter: 0.3,
    randaugment: 2,
    magnitude: 0.5,
    cutout: 0.25,
    mixup: 0.0,
    cutmix: 0.0,
};

#[test]
fn the_whole_image_in_its_own_size_is_the_image() {
    assert_eq!(show(FROM, Look::View(View::WHOLE), 7), image());
    assert_eq!(show(FROM, Look::Varied { augment: Augment::NONE, seed: 1, epoch: 1 }, 7), image());
}

#[test]
fn half_the_size_is_the_mean_of_the_pixels_around() {
    // The filter is a triangle over four pixels, with the weights 1, 3, 3, 1 in eighths.
    let out = show(SIZE, Look::View(View::WHOLE), 0);
    let at = |y: usize, x: usize| &out[(y * 16 + x) * 3..][..2];
    assert_eq!(at(5, 3), [8 * 6 + 4, 8 * 10 + 4]);
    assert_eq!(mean(&out, 2), 120.0);
}

#[test]
fn each_side_has_a_size_of_its_own() {
    let size = ImageSpec { height: 16, width: 8 };
    let out = show(size, Look::View(View::WHOLE), 0);
    // Red grows by 8 a pixel of 32 to the right, green downwards.
    let at = |y: usize, x: usize| &out[(y * 8 + x) * 3..][..2];
    assert_eq!(at(5, 3), [8 * 13 + 4, 8 * 10 + 4]);
    for view in Views::Crops.all().into_iter().filter(|view| view.mirrored) {
        let plain = show(size, Look::View(View { mirrored: false, ..view }), 0);
        assert_eq!(show(size, Look::View(view), 0), mirrored(&plain, 8));
    }
    let cut = Augment { cutout: 0.5, ..Augment::NONE };
    let grey = |position| {
        let shown = show(size, Look::Varied { augment: cut, seed: 1, epoch: 1 }, position);
        let is_grey = |at: &usize| shown[3 * at..][..3] == [128; 3];
        let places: Vec<usize> = (0..128).filter(is_grey).collect();
        let sides = |of: fn(usize) -> usize| places.iter().map(|&at| of(at)).collect::<std::collections::BTreeSet<_>>();
        (sides(|at| at / 8).len(), sides(|at| at % 8).len())
    };
    // Half of either side, where nothing is cut off.
    assert!((0..20).any(|position| grey(position) == (8, 4)));
}

#[test]
fn views_are_mirrored_and_cut_from_the_corners() {
    let whole = show(SIZE, Look::View(View::WHOLE), 0);
    let counts = [Views::One, Views::Flip, Views::Crops].map(|views| views.all().len());
    assert_eq!(counts, [1, 2, 10]);
    assert_eq!(Views::One.all(), [View::WHOLE]);
    for view in Views::Crops.all() {
        let plain = show(SIZE, Look::View(View { mirrored: false, ..view }), 0);
        if view.mirrored {
            assert_eq!(show(SIZE, Look::View(view), 0), mirrored(&plain, 16));
        }
        let [right, below] = [0, 1].map(|channel| mean(&plain, channel) - mean(&whole, channel));
        match view.corner {
            None => assert_eq!(plain, whole),
            // A quarter of 32 pixels is left out, half of it on average, and a pixel is 8 levels.
            Some(corner) => {
                let expected = corner.map(|far| if far { 32.0 } else { -32.0 });
                assert!((right - expected[0]).abs() < 1.5 && (below - expected[1]).abs() < 1.5, "{right}, {below}");
            }
        }
    }
}

#[test]
fn a_variation_depends_on_seed_epoch_and_position_alone() {
    let look = |seed, epoch| Look::Varied { augment: ALL, seed, epoch };
    let first = show(SIZE, look(1, 2), 3);
    assert_eq!(show(SIZE, look(1, 2), 3), first);
    assert_ne!(show(SIZE, look(2, 2), 3), first);
    assert_ne!(show(SIZE, look(1, 3), 3), first);
    assert_ne!(show(SIZE, look(1, 2), 4), first);
}

#[test]
fn an_option_changes_nothing_but_its_own_part() {
    let (mut flips, mut cuts) = (0, 0);
    for position in 0..200 {
        let crop = varied(Augment { crop: 0.5, ..Augment::NONE }, position);
        let both = varied(Augment { crop: 0.5, flip: true, ..Augment::NONE }, position);
        let flipped = varied(Augment { flip: true, ..Augment::NONE }, position) != varied(Augment::NONE, position);
        assert_eq!(both, if flipped { mirrored(&crop, 16) } else { crop.clone() });
        flips += usize::from(flipped);
        let cut = varied(Augment { crop: 0.5, cutout: 0.25, ..Augment::NONE }, position);
        let changed: Vec<usize> = (0..cut.len()).filter(|&at| cut[at] != crop[at]).collect();
        assert!(changed.iter().all(|&at| cut[at] == 128) && changed.len() <= 4 * 4 * 3, "{}", changed.len());
        cuts += usize::from(!changed.is_empty());
    }
    assert!((70..130).contains(&flips), "{flips} of 200 are mirrored");
    assert!(cuts > 190, "{cuts} of 200 have a square");
}

#[test]
fn randaugment_changes_nothing_but_its_own_part() {
    for position in 0..50 {
        let rest = Augment { randaugment: 0, ..ALL };
        // Three operations without strength are none, so all else is as it was.
        assert_eq!(varied(Augment { randaugment: 3, magnitude: 0.0, ..ALL }, position), varied(rest, position));
        let alone = |randaugment| varied(Augment { randaugment, magnitude: 1.0, ..Augment::NONE }, position);
        let cut = varied(Augment { randaugment: 2, magnitude: 1.0, cutout: 0.25, ..Augment::NONE }, position);
        let changed = cut.iter().zip(alone(2)).filter(|(cut, plain)| *cut != plain);
        assert!(changed.clone().all(|(cut, _)| *cut == 128) && changed.count() <= 4 * 4 * 3);
    }
}

#[test]
fn randaugment_varies_more_with_more_operations_and_magnitude() {
    let plain = varied(Augment::NONE, 0);
    let distance = |randaugment, magnitude| {
        let one = |position| {
            let shown = varied(Augment { randaugment, magnitude, ..Augment::NONE }, position);
            shown.iter().zip(&plain).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / plain.len() as f64
        };
        (0..200).map(one).sum::<f64>() / 200.0
    };
    let [weak, strong, twice] = [distance(1, 0.2), distance(1, 1.0), distance(2, 1.0)];
    assert!(weak > 1.0 && strong > 2.0 * weak && twice > 1.3 * strong, "{weak} {strong} {twice}");
}

#[test]
fn crops_keep_their_share_and_reach_everywhere() {
    let shown: Vec<Vec<u8>> = (0..200).map(|at| varied(Augment { crop: 0.25, ..Augment::NONE }, at)).collect();
    let range = |channel: usize| {
        let means = shown.iter().map(|image| mean(image, channel));
        means.fold([f64::MAX, f64::MIN], |[low, high], mean| [low.min(mean), high.max(mean)])
    };
    // A quarter of the area is half of each side: at the far left the mean is 62, at the far right
    // 186.
    for channel in [0, 1] {
        let [low, high] = range(channel);
        assert!(low > 50.0 && low < 85.0 && high > 165.0 && high < 198.0, "{low} to {high}");
    }
}

#[test]
fn a_crop_shows_as_much_as_asked_for() {
    // A checkerboard of 16 x 16 fields in 256 x 256 pixels: the whole image has 15 borders in each
    // direction.
    let from = ImageSpec { height: 256, width: 256 };
    let field = |at: usize| ((at / 256 / 16 + at % 256 / 16) % 2) as u8 * 255;
    let image: Vec<u8> = (0..256 * 256).flat_map(|at| [field(at); 3]).collect();
    for at in 0..200 {
        let look = Look::Varied { augment: Augment { crop: 0.97, ..Augment::NONE }, seed: 1, epoch: 1 };
        let mut out = vec![0; from.bytes()];
        Transformer::new(Transform { size: from, look }).apply(&image, from, at, &mut out);
        let value = |row: usize, column: usize| out[(row * 256 + column) * 3] > 127;
        let down = (1..256).filter(|&row| value(row, 0) != value(row - 1, 0)).count();
        let across = (1..256).filter(|&column| value(0, column) != value(0, column - 1)).count();
        // 0.97 of a side is 248 pixels, with 15 borders unless one falls on an edge.
        assert!(down >= 14 && across >= 14, "{down} x {across}");
    }
}

#[test]
fn colours_vary_around_the_images_own() {
    let plain = varied(Augment::NONE, 0);
    let shown: Vec<Vec<u8>> = (0..200).map(|at| varied(Augment { jitter: 0.3, ..Augment::NONE }, at)).collect();
    for channel in 0..3 {
        let all = shown.iter().map(|image| mean(image, channel)).sum::<f64>() / 200.0;
        assert!((all - mean(&plain, channel)).abs() < 6.0, "{all} and {}", mean(&plain, channel));
    }
    assert!(shown.iter().any(|image| mean(image, 0) < 0.8 * mean(&plain, 0)));
    assert!(shown.iter().any(|image| mean(image, 0) > 1.2 * mean(&plain, 0)));
}

#[test]
fn mixing_mixes_labels_as_it_mixes_images() {
    let (images, labels) = mixed(Augment { mixup: 0.4, ..Augment::NONE }, 0);
    for k in 0..3 {
        let labels = &labels[k * 3..][..3];
        let own = labels[k];
        assert!((0.5..=1.0).contains(&own), "{labels:?}");
        assert!((labels[(k + 1) % 3] - (1.0 - own)).abs() < 1e-6 && labels[(k + 2) % 3] == 0.0, "{labels:?}");
        let pixel = own * (100 * k) as f32 + (1.0 - own) * (100 * ((k + 1) % 3)) as f32;
        let image = &images[k * SIZE.bytes()..][..SIZE.bytes()];
        assert!(image.iter().all(|&value| (f32::from(value) - pixel).abs() <= 0.51), "{pixel} {}", image[0]);
    }
    assert!(labels.iter().filter(|&&label| label > 0.0 && label < 1.0).count() >= 4, "{labels:?}");
}

/// Mixes three images of which all values of image k are 100 k, and whose only label is class k.
fn mixed(augment: Augment, position: u64) -> (Vec<u8>, Vec<f32>) {
    let look = Look::Varied { augment, seed: 1, epoch: 1 };
    let mut images: Vec<u8> = (0..3).flat_map(|k| vec![100 * k as u8; SIZE.bytes()]).collect();
    let mut labels: Vec<f32> = (0..9).map(|at| f32::from(u8::from(at % 3 == at / 3))).collect();
    Transformer::new(Transform { size: SIZE, look }).mix(&mut images, &mut labels, 3, position);
    (images, labels)
}

#[test]
fn cutmix_gives_each_label_the_share_of_its_pixels() {
    let mut own_shares = Vec::new();
    for position in 0..100 {
        let (images, labels) = mixed(Augment { cutmix: 1.0, ..Augment::NONE }, 3 * position);
        for k in 0..3 {
            let (image, labels) = (&images[k * SIZE.bytes()..][..SIZE.bytes()], &labels[k * 3..][..3]);
            let share = |of: usize| {
                let is_of = |value: &&u8| usize::from(**value) == 100 * of;
                image.iter().filter(is_of).count() as f32 / image.len() as f32
            };
            (0..3).for_each(|of| assert!((labels[of] - share(of)).abs() < 1e-6, "{labels:?}"));
            // What is taken is a rectangle: all its rows are alike.
            let rows: Vec<&[u8]> =
                image.chunks(16 * 3).filter(|row| row.iter().any(|&of| of != 100 * k as u8)).collect();
            assert!(rows.iter().all(|row| row == &rows[0]));
            own_shares.push(labels[k]);
        }
    }
    // Beta(1, 1) gives 1/2, and what lies outside is cut off.
    let mean = own_shares.iter().sum::<f32>() / own_shares.len() as f32;
    assert!((0.5..0.7).contains(&mean), "{mean}");
    assert!(own_shares.iter().any(|&share| share < 0.2) && own_shares.iter().any(|&share| share > 0.95));
}

#[test]
fn with_both_ways_of_mixing_each_image_draws_one() {
    let (mut blended, mut pasted) = (0, 0);
    for position in 0..100 {
        let all = [[0.4, 0.0], [0.0, 1.0], [0.4, 1.0]]
            .map(|[mixup, cutmix]| mixed(Augment { mixup, cutmix, ..Augment::NONE }, 3 * position));
        let image = |of: usize, k: usize| &all[of].0[k * SIZE.bytes()..][..SIZE.bytes()];
        for k in 0..3 {
            let labels = &all[2].1[k * 3..][..3];
            assert!((labels.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{labels:?}");
            if image(2, k) == image(0, k) {
                blended += 1;
            } else {
                let is_whole = |value: &u8| value.is_multiple_of(100);
                assert!(image(2, k).iter().all(is_whole), "neither was drawn");
                pasted += 1;
            }
        }
    }
    assert!(blended > 110 && pasted > 110, "{blended} and {pasted}");
}

#[test]
fn the_shares_of_mixing_follow_its_parameter() {
    let share = |mixup: f32, position: u64| {
        let look = Look::Varied { augment: Augment { mixup, ..Augment::NONE }, seed: 1, epoch: 1 };
        let mut labels = [1.0, 0.0];
        Transformer::new(Transform { size: SIZE, look }).mix(&mut vec![0; 2 * SIZE.bytes()], &mut labels, 2, position);
        labels[0]
    };
    // This is the larger share of Beta(a, a): all of it for a near 0, 3/4 on average for a = 1,
    // near a half for a large a.
    let mean = |mixup: f32| (0..400).map(|at| share(mixup, 2 * at)).sum::<f32>() / 400.0;
    assert!(share(1e-20, 0) == 1.0 && mean(1e-6) == 1.0, "{} {}", share(1e-20, 0), mean(1e-6));
    assert!((mean(1.0) - 0.75).abs() < 0.02, "{}", mean(1.0));
    // The standard deviation is 1 / (2 * sqrt(2a + 1)), and the mean distance from a half is about
    // 0.8 of that.
    for a in [8.0, 200.0] {
        let distance = 0.8 / (2.0 * (2.0 * a + 1.0f32).sqrt());
        assert!((mean(a) - 0.5 - distance).abs() < 0.15 * distance, "{a}: {}", mean(a));
    }
}

#[test]
fn what_is_not_known_of_an_image_is_known_of_its_mixture_where_its_own_is() {
    let look = Look::Varied { augment: Augment { mixup: 0.4, ..Augment::NONE }, seed: 1, epoch: 1 };
    let mixed = |mut labels: [f32; 6]| {
        Transformer::new(Transform { size: SIZE, look }).mix(&mut vec![0; 3 * SIZE.bytes()], &mut labels, 3, 0);
        labels
    };
    let known = mixed([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert!(known[0] < 1.0 && known[4] > 0.0, "the first is mixed with the second, the last with the first: {known:?}");
    // Of the second image nothing is known, of the third the second label alone.
    let unknown = mixed([1.0, 0.0, f32::NAN, f32::NAN, f32::NAN, 1.0]);
    assert_eq!(unknown[..2], [1.0, 0.0], "what the other lacks changes nothing");
    assert!(unknown[2].is_nan() && unknown[3].is_nan() && unknown[4].is_nan(), "{unknown:?}");
    assert!(unknown[5] > 0.5 && unknown[5] < 1.0, "{unknown:?}");
}

#[test]
fn what_is_known_of_one_image_alone_is_known_of_the_mixture_that_shows_most_of_it() {
    let look = Look::Varied { augment: Augment { cutmix: 1.0, ..Augment::NONE }, seed: 1, epoch: 1 };
    let (mut kept, mut lost) = (0, 0);
    for position in 0..50 {
        let mut images: Vec<u8> = [0, 200].iter().flat_map(|&of| vec![of; SIZE.bytes()]).collect();
        let mut labels = [0.25, f32::NAN];
        Transformer::new(Transform { size: SIZE, look }).mix(&mut images, &mut labels, 2, 2 * position);
        for (image, label) in images.chunks(SIZE.bytes()).zip(labels) {
            let shows_first = 2 * image.iter().filter(|&&of| of == 0).count();
            // Where both show as much, it is the image's own that counts.
            match shows_first == image.len() {
                true => continue,
                false if shows_first > image.len() => assert_eq!(label, 0.25),
                false => assert!(label.is_nan(), "{label}"),
            }
        }
        kept += usize::from(!labels[0].is_nan());
        lost += usize::from(labels[0].is_nan());
    }
    assert!(kept > 10 && lost > 5, "{kept} {lost}");
}
