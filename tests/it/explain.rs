//! What a classifier looked at: feature maps and their gradients, heat maps, pictures.

use crate::cli::{assert_one_line, posters, run_folder, train, whole_posters};
use crate::common::{Data, assert_close, wide};
use onesheet::classifier::explain::{HeatMap, Method};
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::transform::Views;
use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Padding, Pass, Role, Rule, Sequential, Trainer};
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const CLASSES: usize = 5;

fn best() -> Isa {
    Isa::available()[0]
}

/// The layers before the last images.
fn blocks(spec: ModelSpec, padding: Padding) -> ModelSpec {
    let spec = spec.conv2d(6, 3, padding).relu().batch_norm(0.9).max_pool2d(2);
    spec.conv2d(7, 3, padding).relu().batch_norm(0.9).max_pool2d(2)
}

/// The layers behind them: the mean of the pixels, or all of them through a hidden layer.
fn tail(spec: ModelSpec, average: bool) -> ModelSpec {
    match average {
        true => spec.global_average_pool2d().dropout(0.4).dense(CLASSES),
        false => {
            spec.flatten().dense(9).relu().batch_norm(0.9).dropout(0.4).dense(6).batch_norm(0.8).relu().dense(CLASSES)
        }
    }
}

/// Gives all parameters values as a training might leave them.
fn scatter(model: &mut Sequential, seed: u64) {
    let mut data = Data::new(seed);
    model.each_parameter_mut(|parameter| {
        let len = parameter.value.len();
        match parameter.role {
            Role::Kernel => {}
            Role::MovingVariance => parameter.value.copy_from_slice(&data.between(0.3, 2.0, len)),
            Role::Gamma => parameter.value.copy_from_slice(&data.between(-1.5, 1.5, len)),
            _ => parameter.value.copy_from_slice(&data.between(-0.5, 0.5, len)),
        }
    });
}

proptest! {
    #![proptest_config(crate::common::cases(32))]

    /// The layers behind the last images as a model of their own, whose input is changed along the
    /// gradient, with random signs or without. As in the test of whole models, the best of some steps
    /// forward and back counts, since one may cross a kink.
    #[test]
    fn the_gradient_by_the_last_images_is_that_of_finite_differences(
        (h, w) in (14..22usize, 14..22usize),
        average: bool,
        fuse: bool,
        output in 0..CLASSES,
        seed in 0..1000u64,
    ) {
        let spec = tail(blocks(ModelSpec::input(&[h, w, 3]), Padding::Same), average);
        let build = if fuse { Sequential::build } else { Sequential::build_unfused };
        let mut model = build(spec, best(), seed).unwrap();
        scatter(&mut model, seed);
        let mut data = Data::new(seed);
        let x = data.vec(2 * h * w * 3);
        let whole = model.forward(Input::F32(&x), Pass::Inference).values().to_vec();
        let maps = model.feature_maps(Input::F32(&x), output).unwrap();
        let (shape, values, gradient) = (maps.shape, maps.values.to_vec(), maps.gradient.to_vec());
        prop_assert_eq!(shape, [h / 4, w / 4, 7]);
        prop_assert_eq!(maps.outputs.values(), &whole[..]);
        prop_assert_eq!([values.len(), gradient.len()], [2 * shape.iter().product::<usize>(); 2]);

        let mut behind = Sequential::build(tail(ModelSpec::input(&shape), average), best(), 0).unwrap();
        let parameters = model.parameters();
        let mut last = parameters[parameters.len() - behind.parameters().len()..].iter();
        behind.each_parameter_mut(|parameter| parameter.value.copy_from_slice(&last.next().unwrap().value));
        let again = behind.forward(Input::F32(&values), Pass::Inference).values().to_vec();
        assert_close(&again, &wide(&whole), 1e-5);

        let mut sum_at = |direction: &[f64], step: f64| {
            let moved: Vec<f32> =
                values.iter().zip(direction).map(|(&value, d)| (f64::from(value) + step * d) as f32).collect();
            let outputs = behind.forward(Input::F32(&moved), Pass::Inference).values();
            outputs.iter().skip(output).step_by(CLASSES).map(|&value| f64::from(value)).sum::<f64>()
        };
        let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        // ReLUs may have switched nearly everything off.
        prop_assume!(norm > 1e-4);
        let signs = data.vec(gradient.len());
        for signs in [vec![1.0; signs.len()], signs] {
            let direction: Vec<f64> = gradient.iter().zip(&signs).map(|(&g, sign)| f64::from(g * sign.signum())).collect();
            let expected: f64 = gradient.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
            let start = sum_at(&direction, 0.0);
            let errors = [1e-2, -1e-2, 1e-3, -1e-3, 2e-4, -2e-4].map(|change: f64| {
                let step = change / norm.sqrt();
                ((sum_at(&direction, step) - start) / step - expected).abs() / norm
            });
            prop_assert!(errors.iter().any(|&error| error < 0.02), "{errors:?} with a gradient of norm {}", norm.sqrt());
        }
    }
}

/// All that a training keeps of a model.
fn state(model: &Sequential) -> Vec<u32> {
    let of = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let all = model.parameters().into_iter();
    all.flat_map(|p| [of(&p.value), of(&p.gradient), of(&p.moments[0]), of(&p.moments[1])].concat()).collect()
}

#[test]
fn a_training_does_not_notice_that_the_model_was_explained() {
    for average in [true, false] {
        let spec = tail(blocks(ModelSpec::input(&[16, 16, 3]), Padding::Same), average);
        let batches: Vec<Vec<f32>> = (0..4).map(|seed| Data::new(seed).vec(4 * 16 * 16 * 3)).collect();
        let more = Data::new(9).vec(7 * 16 * 16 * 3);
        let labels = [1.0, 0.0, 0.0, 1.0].repeat(CLASSES);
        let [alone, explained] = [false, true].map(|explains| {
            let mut model = Sequential::build(spec.clone(), best(), 1).unwrap();
            let optimizer = Optimizer::new(Rule::adam(1e-2), &mut model);
            let mut trainer = Trainer::new(Head::Sigmoid, optimizer, 1);
            for batch in &batches {
                trainer.step(&mut model, Input::F32(batch), &labels);
                // Gradients that wait for a step.
                model.forward(Input::F32(batch), Pass::Training { seed: 3, step: 7, first: 0 });
                model.backward(&[0.01; 4 * CLASSES]);
                if explains {
                    let before = state(&model);
                    // More items than the training ever had.
                    assert!(model.feature_maps(Input::F32(&more), 2).is_some());
                    assert!(state(&model) == before, "nothing of the model has changed");
                }
            }
            state(&model)
        });
        assert!(alone == explained, "the training went on as without it");
    }
}

#[test]
fn models_without_images_have_no_feature_maps() {
    for spec in [ModelSpec::input(&[6]).dense(3), ModelSpec::input(&[4, 4, 3]).flatten().dense(3)] {
        let mut model = Sequential::build(spec, best(), 1).unwrap();
        let len = model.spec().input.iter().product();
        assert!(model.feature_shape().is_none() && model.feature_maps(Input::F32(&vec![0.5; len]), 0).is_none());
    }
    // Where the images are the output, the gradient is that of the output by itself.
    let spec = ModelSpec::input(&[4, 4, 1]).max_pool2d(2);
    let mut model = Sequential::build(spec, best(), 1).unwrap();
    let maps = model.feature_maps(Input::F32(&[0.5; 16]), 3).unwrap();
    assert_eq!((maps.shape, maps.gradient), ([2, 2, 1], &[0.0, 0.0, 0.0, 1.0][..]));
}

fn classifier(spec: ModelSpec, head: Head, views: Views) -> Classifier {
    let network = Sequential::build(spec, best(), 3).unwrap();
    let genres = (0..network.outputs()).map(|genre| format!("Genre {genre}")).collect();
    let experiment = "multi-label".to_owned();
    let meta = Meta { experiment, head, genres, max_genres: 3, epoch: None, best: None, thresholds: None, views };
    Classifier { meta, network, others: Vec::new() }
}

fn noise(seed: u64) -> Vec<u8> {
    Data::new(seed).whole(256, ImageSpec::POSTER.bytes()).iter().map(|&value| value as u8).collect()
}

fn mirrored(poster: &[u8]) -> Vec<u8> {
    poster.chunks_exact(3 * 256).flat_map(|row| row.rchunks_exact(3).flatten().copied().collect::<Vec<_>>()).collect()
}

#[test]
fn grad_cam_is_cam_where_both_exist_and_its_mean_and_the_bias_make_the_logit() {
    let spec = tail(blocks(ModelSpec::input(&[40, 36, 3]), Padding::Same), true);
    for views in [Views::One, Views::Flip] {
        let mut classifier = classifier(spec.clone(), Head::Sigmoid, views);
        scatter(&mut classifier.network, 5);
        assert_eq!(classifier.best_method(), Method::Cam);
        let poster = noise(1);
        let probabilities = classifier.answer(&poster);
        let bias = classifier.network.parameters().last().unwrap().value.to_vec();
        for genre in 0..CLASSES {
            let cam = classifier.explain(&poster, genre, Method::Cam).unwrap();
            let grad_cam = classifier.explain(&poster, genre, Method::GradCam).unwrap();
            assert_eq!((cam.genre, cam.method, cam.height, cam.width), (genre, Method::Cam, 10, 9));
            assert_close(&grad_cam.values, &wide(&cam.values), 1e-5);
            let mean = cam.values.iter().sum::<f32>() / cam.values.len() as f32;
            let p = probabilities[genre];
            assert!((mean + bias[genre] - (p / (1.0 - p)).ln()).abs() < 1e-3, "{mean} {p}");
        }
    }
}

#[test]
fn with_mirror_images_among_the_views_a_mirrored_poster_has_the_mirrored_map() {
    let spec = tail(blocks(ModelSpec::input(&[32, 32, 3]), Padding::Same), false);
    let mut classifier = classifier(spec, Head::Softmax, Views::Crops);
    scatter(&mut classifier.network, 5);
    assert_eq!(classifier.best_method(), Method::GradCam);
    let poster = noise(2);
    for method in [Method::GradCam, Method::Occlusion] {
        let map = classifier.explain(&poster, 1, method).unwrap();
        let other = classifier.explain(&mirrored(&poster), 1, method).unwrap();
        let turned = other.values.chunks_exact(map.width).flat_map(|row| row.iter().rev().copied());
        assert_close(&turned.collect::<Vec<_>>(), &wide(&map.values), 2e-2);
    }
}

/// A grey poster with a red patch that is 64 pixels high and wide.
fn patched(top: usize, left: usize) -> Vec<u8> {
    let mut poster = vec![100; ImageSpec::POSTER.bytes()];
    for row in poster.chunks_exact_mut(3 * 256).skip(top).take(64) {
        row[3 * left..3 * (left + 64)].as_chunks_mut().0.fill([250_u8, 10, 10]);
    }
    poster
}

/// A classifier whose genre 1 is red, by how much more of it there is than of green.
fn red(average: bool, head: Head) -> Classifier {
    let spec = ModelSpec::input(&[64, 64, 3]).conv2d(2, 1, Padding::Same).relu().max_pool2d(2);
    let spec = if average { spec.global_average_pool2d() } else { spec.flatten() }.dense(2);
    let mut classifier = classifier(spec, head, Views::One);
    classifier.network.each_parameter_mut(|parameter| match &parameter.shape[..] {
        [1, 1, 3, 2] => parameter.value.copy_from_slice(&[1.0, 0.1, -1.0, 0.1, 0.0, 0.1]),
        // Of the two channels, genre 1 reads the first: the sum of its 32x32 pixels, or their mean.
        [_, 2] => {
            let weight = if average { 10.24 } else { 0.01 };
            (0..parameter.value.len()).for_each(|i| parameter.value[i] = if i % 4 == 1 { weight } else { 0.0 });
        }
        _ => {}
    });
    classifier
}

#[test]
fn every_method_points_at_what_the_model_looks_at() {
    for (average, head) in [(true, Head::Sigmoid), (false, Head::Sigmoid), (true, Head::Softmax)] {
        let mut classifier = red(average, head);
        let methods = [Method::Occlusion, Method::GradCam].into_iter().chain(average.then_some(Method::Cam));
        for method in methods {
            for (top, left) in [(0, 0), (0, 192), (96, 160), (192, 64)] {
                let HeatMap { height, width, values, .. } = classifier.explain(&patched(top, left), 1, method).unwrap();
                let highest = values.iter().copied().fold(0.0, f32::max);
                assert!(highest > 0.1, "{highest}");
                // How far an occluding square reaches beyond its centre, or a pixel of the last images.
                // The square is not quite grey, since the patch is in the poster's mean.
                let (reach, nothing) = if method == Method::Occlusion { (32, 0.1) } else { (8, 1e-6) };
                for (at, &value) in values.iter().enumerate() {
                    let [y, x] = [(at / width, height), (at % width, width)].map(|(at, len)| (2 * at + 1) * 128 / len);
                    let beyond = |at: usize, start: usize| start.saturating_sub(at).max(at.saturating_sub(start + 64));
                    let distance = beyond(y, top).max(beyond(x, left));
                    let what = format!("{method:?}: {value} of {highest} at {y}, {x}; a patch at {top}, {left}");
                    assert!(distance > 0 || value > 0.2 * highest, "{what}");
                    assert!(distance <= reach || value.abs() <= nothing * highest, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_method_that_the_model_does_not_allow_is_refused_with_those_that_it_does() {
    let mut flat = red(false, Head::Sigmoid);
    let error = flat.explain(&patched(0, 0), 0, Method::Cam).unwrap_err();
    assert!(error.exit_code() == 2 && error.to_string().contains("choose grad-cam or occlusion"), "{error}");
    // A hidden layer between the mean and the answer.
    let spec = ModelSpec::input(&[16, 16, 3]).max_pool2d(2).global_average_pool2d();
    let hidden = classifier(spec.clone().dense(4).relu().dense(2), Head::Sigmoid, Views::One);
    assert_eq!(hidden.best_method(), Method::GradCam);
    assert_eq!(classifier(spec.dropout(0.5).dense(2), Head::Sigmoid, Views::One).best_method(), Method::Cam);
    let mut linear = classifier(ModelSpec::input(&[16, 16, 3]).flatten().dense(2), Head::Softmax, Views::One);
    assert_eq!(linear.best_method(), Method::Occlusion);
    for method in [Method::Cam, Method::GradCam] {
        assert_eq!(linear.explain(&patched(0, 0), 0, method).unwrap_err().exit_code(), 2);
    }
    let map = linear.explain(&patched(0, 0), 0, Method::Occlusion).unwrap();
    // Of two genres, what speaks for one speaks against the other.
    let other = linear.explain(&patched(0, 0), 1, Method::Occlusion).unwrap();
    assert_close(&other.values, &wide(&map.values).iter().map(|value| -value).collect::<Vec<_>>(), 1e-5);
    let only = classifier(ModelSpec::input(&[16, 16, 3]).flatten().dense(1), Head::Softmax, Views::One);
    let map = { only }.explain(&patched(0, 0), 0, Method::Occlusion).unwrap();
    assert!(map.values.iter().all(|&value| value == 0.0), "the only genre is certain");
}

/// Spearman's rank correlation.
fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    let ranks = |values: &[f32]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
        let mut ranks = vec![0.0; values.len()];
        order.iter().enumerate().for_each(|(rank, &at)| ranks[at] = rank as f64);
        ranks
    };
    let (a, b, n) = (ranks(a), ranks(b), a.len() as f64);
    1.0 - 6.0 * a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / (n * (n * n - 1.0))
}

/// The model randomisation test of Adebayo et al. 2018, Sanity Checks for Saliency Maps,
/// <https://arxiv.org/abs/1810.03292>: a map that stays the same when the model has forgotten what it
/// learned shows the poster's edges, not what the model looks at.
#[test]
fn maps_of_a_model_that_has_forgotten_what_it_learned_are_others() {
    let learned = || Classifier::open(&run_folder().join("multi-label"), best()).unwrap();
    let poster = |path: &PathBuf| {
        let mut pixels = vec![0; ImageSpec::POSTER.bytes()];
        Decoder::new().decode_poster(path, ImageSpec::POSTER, &mut pixels).unwrap().unwrap();
        pixels
    };
    let posters: Vec<Vec<u8>> = whole_posters().iter().take(4).map(poster).collect();
    let maps = |classifier: &mut Classifier| {
        let map = |poster: &Vec<u8>| classifier.explain(poster, 2, Method::GradCam).unwrap().values;
        posters.iter().map(map).collect::<Vec<_>>()
    };
    let of_learned = maps(&mut learned());
    let mean_correlation = |forgets: &dyn Fn(&str) -> bool| {
        let of_seed = |seed: u64| {
            let mut model = learned();
            let fresh = Sequential::build(model.network.spec().clone(), best(), seed).unwrap();
            let mut fresh = fresh.parameters().into_iter();
            model.network.each_parameter_mut(|parameter| {
                let fresh = fresh.next().unwrap();
                if forgets(&parameter.layer) {
                    parameter.value.copy_from_slice(&fresh.value);
                }
            });
            let all = maps(&mut model);
            all.iter().zip(&of_learned).map(|(a, b)| rank_correlation(a, b)).sum::<f64>() / posters.len() as f64
        };
        (100..108).map(of_seed).sum::<f64>() / 8.0
    };
    assert_eq!(mean_correlation(&|_| false), 1.0);
    let (dense, all) = (mean_correlation(&|layer| layer.starts_with("dense")), mean_correlation(&|_| true));
    assert!(dense < 0.6 && all < 0.6, "without the dense layers {dense}, without all {all}");
}

#[test]
fn a_heat_map_lies_over_a_grey_poster_from_cool_to_hot() {
    let map = |values: Vec<f32>| HeatMap { genre: 0, method: Method::Cam, height: 1, width: 2, values };
    let poster = patched(0, 0);
    let shown = map(vec![2.0, -7.0]).over(&poster);
    let pixel = |image: &[u8], y: usize, x: usize| <[u8; 3]>::try_from(&image[3 * (256 * y + x)..][..3]).unwrap();
    // The right quarter lies beyond the centre of a place against the genre; the left one is hot.
    let (cool, hot) = (pixel(&shown, 200, 250), pixel(&shown, 200, 5));
    assert!(hot[0] > 200 && hot[2] > 80 && hot[0] > hot[2], "pale yellow over grey: {hot:?}");
    assert!(cool.iter().all(|&value| (50..100).contains(&value)), "dark grey: {cool:?}");
    // The red of the poster is gone.
    let of_patch = pixel(&map(vec![0.0, 1.0]).over(&poster), 10, 5);
    assert!(of_patch[0].abs_diff(of_patch[2]) < 10, "{of_patch:?}");
    let nothing = map(vec![-1.0, 0.0]).over(&poster);
    assert_eq!(pixel(&nothing, 200, 5), pixel(&nothing, 200, 250));
    assert_eq!(pixel(&nothing, 200, 5), cool);
    let size = ImageSpec { height: 3, width: 400 };
    assert_eq!(map(vec![1.0, 2.0]).over_image(&vec![9; size.bytes()], size).len(), size.bytes());
    // What is not a number, as weights near the largest numbers could make it, is shown as nothing.
    assert_eq!(map(vec![f32::NAN; 2]).over(&poster).len(), poster.len());
}

fn model() -> String {
    run_folder().join("multi-label").display().to_string()
}

/// The names of the files in a folder, in order.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn predict_writes_a_picture_per_poster_and_answers_as_without() {
    let folder = tempfile::tempdir().unwrap();
    let heat = folder.path().join("deep/heat");
    let heat_name = heat.to_str().unwrap();
    let posters: Vec<String> = whole_posters().iter().take(3).map(|poster| poster.display().to_string()).collect();
    let model = model();
    let args = [&["predict", &model], &posters.iter().map(|poster| &poster[..]).collect::<Vec<_>>()[..]].concat();
    let plain = train(&args);
    let explained = train(&[&args[..], &["--explain", heat_name]].concat());
    assert_eq!(explained.code, 0, "{}", explained.stderr);
    for (with, without) in explained.stdout.lines().zip(plain.stdout.lines()) {
        let rest = with.strip_prefix(without).unwrap();
        let genre = without.split(": ").nth(1).unwrap().split(' ').next().unwrap();
        let file = rest.strip_prefix(&format!("; why {genre}: ")).unwrap();
        let mut decoder = Decoder::new();
        decoder.decode_pixels(&fs::read(file).unwrap()).unwrap();
        let (width, height) = decoder.size();
        assert!(height == 480 && width > 480, "two upright posters of {width}x{height}");
    }
    // The same pictures again, of another genre and by another method, in the other forms.
    let names = names_in(&heat);
    assert_eq!(names.len(), 3);
    let bytes = |name: &String| fs::read(heat.join(name)).unwrap();
    let first: Vec<Vec<u8>> = names.iter().map(bytes).collect();
    let lines = train(&[&args[..], &["--explain", heat_name, "--jsonl"]].concat()).stdout;
    let first_line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first_line["explanation"]["method"], "grad-cam");
    assert!(Path::new(first_line["explanation"]["file"].as_str().unwrap()).is_file());
    assert!(names_in(&heat) == names && names.iter().map(bytes).collect::<Vec<_>>() == first);
    let genre = Classifier::open(Path::new(&model), best()).unwrap().meta.genres[1].clone();
    let more = ["--explain", heat_name, "--csv", "--explain-by", "occlusion", "--explain-genre", &genre.to_uppercase()];
    let csv = train(&[&args[..3], &more].concat());
    let rows: Vec<&str> = csv.stdout.lines().collect();
    assert!(rows[0].ends_with(",probability_3,explanation") && rows[1].ends_with(&format!(".{genre}.jpg")), "{rows:?}");
}

#[test]
fn pictures_replace_nothing_but_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    for (from, to) in whole_posters().iter().zip(["a", "b"]) {
        fs::create_dir(at(to)).unwrap();
        fs::copy(from, at(to).join("7.jpg")).unwrap();
    }
    let mut classifier = Classifier::open(Path::new(&model()), best()).unwrap();
    classifier.meta.genres[0] = "../../Sci/Fi\u{1b}[2J: \u{202e}".to_owned();
    classifier.meta.genres[1] = "..".to_owned();
    let hostile = text(at("model.safetensors"));
    classifier.save(Path::new(&hostile)).unwrap();
    let explain = |poster: &str, genre: usize| {
        let genre = &classifier.meta.genres[genre];
        let args = ["predict", &hostile, poster, "--explain", &text(at("heat")), "--explain-genre", genre, "--json"];
        let outcome = train(&args);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let files = json.as_array().unwrap().iter().map(|of| of["explanation"]["file"].as_str().unwrap());
        files.map(|file| Path::new(file).file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (a, b) = (text(at("a")), text(at("b")));
    assert_eq!(explain(&a, 0), ["7.Sci-Fi--2J.jpg"]);
    assert_eq!(explain(&b, 0), ["b-7.Sci-Fi--2J.jpg"], "that of another poster stays");
    assert_eq!(explain(&a, 0), ["7.Sci-Fi--2J.jpg"], "its own is replaced");
    assert_eq!(explain(&b, 0), ["b-7.Sci-Fi--2J.jpg"]);
    assert_eq!(explain(&a, 1), ["7.x.jpg"]);
    fs::write(at("heat/7.x.jpg"), "somebody's").unwrap();
    fs::create_dir(at("heat/a-7.x.jpg")).unwrap();
    let [third] = &explain(&a, 1)[..] else { panic!("a picture for the poster") };
    assert!(third.starts_with("a-7-") && third.ends_with(".x.jpg") && third.len() == 42, "{third}");
    fs::write(at("heat").join(third), "").unwrap();
    assert_one_line(
        &train(&["predict", &hostile, &a, "--explain", &text(at("heat")), "--explain-genre", ".."]),
        3,
        &["not a picture that onesheet made of this poster", "name another folder"],
    );
    assert_eq!(fs::read(at("heat/7.x.jpg")).unwrap(), b"somebody's");
    assert_eq!(names_in(&at("heat")).len(), 5);
    let long = format!("{}.jpg", "\u{e9}".repeat(120));
    fs::copy(at("a/7.jpg"), at("b").join(&long)).unwrap();
    assert_eq!(explain(&text(at("b").join(&long)), 1), [format!("{}.x.jpg", "\u{e9}".repeat(40))]);
}

#[test]
fn what_cannot_be_explained_is_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let [heat, file] = ["heat", "7.jpg"].map(|name| folder.path().join(name).display().to_string());
    let poster = whole_posters()[0].display().to_string();
    fs::copy(&poster, &file).unwrap();
    let data = posters().join("posters").display().to_string();
    for (args, code, parts) in [
        (
            &[&poster[..], "--explain", &heat, "--explain-genre", "Opera"][..],
            2,
            &["no genre Opera", "name one of "][..],
        ),
        (&[&poster, "--explain", &heat, "--explain-by", "cam"], 2, &["it does not end in the mean", "grad-cam"]),
        (&[&poster, "--explain", &heat, "--explain-by", "magic"], 2, &["occlusion", "cam"]),
        (&[&poster, "--explain-genre", "Drama"], 2, &["--explain"]),
        (&[&poster, "--explain", &file], 2, &["names a file", "name a folder"]),
        (&[&data, "--explain", &data], 2, &["the folder of the posters", "name another"]),
        (&[&poster, "--explain", &format!("{file}/heat")], 4, &["make the folder"]),
        (&[&poster, "--gradcam"], 2, &["--explain DIR"]),
    ] {
        assert_one_line(&train(&[&["predict", &model()], args].concat()), code, parts);
    }
    assert!(!Path::new(&heat).exists(), "no folder is made for nothing");
    // A poster that does not decode has no picture, and the others have theirs.
    let broken = folder.path().join("broken.jpg").display().to_string();
    fs::write(&broken, "no poster").unwrap();
    let outcome = train(&["predict", &model(), &broken, &poster, "--explain", &heat, "--json"]);
    assert!(outcome.code == 3 && outcome.stderr.contains("broken.jpg"), "{}", outcome.stderr);
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((json.as_array().unwrap().len(), names_in(Path::new(&heat)).len()), (1, 1));
}
