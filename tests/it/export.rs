//! Models for other programs: what is in their files, and that ONNX Runtime answers as we do.

use crate::cli::{assert_one_line, posters, run_folder, train};
use onesheet::classifier::{Classifier, Meta};
use onesheet::data::decode::ImageSpec;
use onesheet::data::transform::{Look, Transform, Transformer, Views};
use onesheet::export::onnx::{self, Input, Options, Output};
use onesheet::export::proto::{DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto};
use onesheet::nn::{Head, Isa, LayerSpec, ModelSpec, Padding, Role, Sequential};
use prost::Message;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const GENRES: [&str; 3] = ["Drama", "Film \"noir\"", "Éducatif"];

/// A classifier with an untrained network, whose batch norms have statistics all the same.
fn classifier(spec: ModelSpec, head: Head, views: Views) -> Classifier {
    let mut network = Sequential::build(spec, Isa::available()[0], 1).unwrap();
    network.each_parameter_mut(|parameter| {
        let place = |at: usize| (at as f32 * 1.7 + parameter.layer.len() as f32).sin();
        for at in 0..parameter.value.len() {
            parameter.value[at] = match parameter.role {
                Role::Kernel => continue,
                Role::Bias | Role::Beta => 0.1 * place(at),
                Role::Gamma => 1.0 + 0.5 * place(at),
                Role::MovingMean => 0.2 + 0.1 * place(at),
                Role::MovingVariance => 0.05 + 0.04 * place(at),
            };
        }
    });
    let meta = Meta {
        experiment: if head == Head::Sigmoid { "multi-label" } else { "single-genre" }.to_owned(),
        head,
        genres: GENRES.map(str::to_owned).to_vec(),
        max_genres: 3,
        epoch: None,
        best: None,
        thresholds: None,
        views,
    };
    Classifier { meta, network, others: Vec::new() }
}

/// The layers of the best recipe, small.
fn padded(input: usize) -> ModelSpec {
    let spec = ModelSpec::input(&[input, input, 3]);
    let spec = spec.conv2d(4, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    let spec = spec.conv2d(6, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    spec.global_average_pool2d().dropout(0.2).dense(GENRES.len())
}

/// The layers of the report's recipe, small.
fn unpadded(input: usize) -> ModelSpec {
    let spec = ModelSpec::input(&[input, input, 3]);
    let spec = spec.conv2d(4, 3, Padding::Valid).relu().batch_norm(0.9).max_pool2d(2);
    let spec = spec.conv2d(6, 3, Padding::Valid).relu().batch_norm(0.9).max_pool2d(2);
    spec.flatten().dense(8).relu().dropout(0.5).dense(GENRES.len())
}

/// Residual branches with squeeze-and-excite at their ends.
fn residual(input: usize) -> ModelSpec {
    let mut spec = ModelSpec::input(&[input, input, 3]);
    for filters in [4, 6] {
        spec = spec.conv2d(filters, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
        let normalised = |spec: ModelSpec| spec.conv2d(filters, 3, Padding::Same).relu().batch_norm(0.9);
        spec = spec.residual(|spec| normalised(normalised(spec)).squeeze_excite(2));
    }
    spec.global_average_pool2d().dense(GENRES.len())
}

/// Squares of pixels as pixels in front of a block.
fn stem(input: usize) -> ModelSpec {
    let spec = ModelSpec::input(&[input, input, 3]).space_to_depth(2);
    let spec = spec.conv2d(4, 3, Padding::Same).relu().batch_norm(0.9).max_pool2d(2);
    spec.global_average_pool2d().dense(GENRES.len())
}

/// What no recipe makes: other windows, strides and orders of the layers.
fn unusual() -> ModelSpec {
    let conv2d = |filters, kernel, stride, padding| LayerSpec::Conv2d { filters, kernel, stride, padding };
    let spec = ModelSpec::input(&[61, 61, 3]).batch_norm(0.9);
    let spec = spec.layer(conv2d(5, [4, 3], 2, Padding::Same)).batch_norm(0.9).relu();
    let spec = spec.layer(conv2d(4, [2, 5], 3, Padding::Valid)).batch_norm(0.9).max_pool2d(3).batch_norm(0.9);
    spec.flatten().batch_norm(0.9).relu().batch_norm(0.9).dense(7).batch_norm(0.9).flatten().dense(GENRES.len())
}

const PLAIN: Options = Options { input: Input::Scaled, output: Output::Logits, views: Some(Views::One), fold: false };

fn exported(of: &Classifier, options: Options) -> ModelProto {
    onnx::model(of, options, "0123").unwrap()
}

fn graph(of: &Classifier, options: Options) -> GraphProto {
    exported(of, options).graph.unwrap()
}

fn operations(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|node| &node.op_type[..]).collect()
}

fn tensor<'a>(graph: &'a GraphProto, name: &str) -> &'a TensorProto {
    graph.initializer.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    let (values, rest) = tensor.raw_data.as_chunks();
    assert!(rest.is_empty());
    values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn shape(dims: &[i64]) -> Vec<usize> {
    dims.iter().map(|&axis| axis as usize).collect()
}

fn node<'a>(graph: &'a GraphProto, name: &str) -> &'a NodeProto {
    graph.node.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_file_holds_the_layers_the_weights_and_what_there_is_to_know() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let of = classifier(unpadded(20), Head::Sigmoid, Views::Flip);
    let written = exported(&of, PLAIN);
    onnx::write(&written, &path, false).unwrap();
    let bytes = fs::read(&path).unwrap();
    let model = ModelProto::decode(&bytes[..]).unwrap();
    assert_eq!(model, written);
    assert_eq!(bytes, exported(&of, PLAIN).encode_to_vec(), "the same bytes each time");
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));

    let graph = model.graph.as_ref().unwrap();
    let block = ["Conv", "Relu", "BatchNormalization", "MaxPool"];
    let end = ["Transpose", "Flatten", "Gemm", "Relu", "Gemm", "Identity"];
    assert_eq!(operations(graph), [&block[..], &block, &end].concat());
    assert_eq!(floats(tensor(graph, "batch_normalization_1/moving_mean")).len(), 6);
    for parameter in of.network.parameters() {
        let tensor = tensor(graph, &parameter.name());
        let (dims, values) = (shape(&tensor.dims), floats(tensor));
        let &[kh, kw, inputs, outputs] = &parameter.shape[..] else {
            assert_eq!((dims, values), (parameter.shape.clone(), parameter.value.to_vec()), "{}", parameter.name());
            continue;
        };
        assert_eq!(dims, [outputs, inputs, kh, kw]);
        for (at, value) in values.into_iter().enumerate() {
            let (o, i, y, x) = (at / (inputs * kh * kw), at / (kh * kw) % inputs, at / kw % kh, at % kw);
            assert_eq!(value, parameter.value[((y * kw + x) * inputs + i) * outputs + o]);
        }
    }
    assert_eq!(graph.initializer.len(), of.network.parameters().len(), "and no other constants");

    let axes = |of: &onesheet::export::proto::ValueInfoProto| {
        let tensor = of.r#type.clone().unwrap().tensor_type.unwrap();
        tensor.shape.unwrap().dim.into_iter().map(|dim| dim.value.unwrap()).collect::<Vec<_>>()
    };
    let of_batch = |axes: &[i64]| {
        let axes = axes.iter().map(|&axis| DimensionValue::DimValue(axis));
        std::iter::once(DimensionValue::DimParam("N".to_owned())).chain(axes).collect::<Vec<_>>()
    };
    assert_eq!((axes(&graph.input[0]), axes(&graph.output[0])), (of_batch(&[3, 20, 20]), of_batch(&[3])));

    let property = |key: &str| model.metadata_props.iter().find(|of| of.key == key).unwrap().value.clone();
    assert_eq!(serde_json::from_str::<Value>(&property("genres")).unwrap(), json!(GENRES));
    let values = ["experiment", "head", "model_sha256", "thresholds", "views"].map(property);
    assert_eq!(values, ["multi-label", "sigmoid", "0123", "null", "one"]);
    let pixels: Value = serde_json::from_str(&property("pixels")).unwrap();
    assert_eq!(pixels, json!(of.pixels()));
    assert_eq!((&pixels["input"]["height"], &pixels["poster"]["width"]), (&json!(20), &json!(256)));
}

#[test]
fn as_much_is_in_the_graph_as_is_asked_for() {
    let of = classifier(padded(64), Head::Softmax, Views::Flip);
    let heads = |input, output, views| {
        let graph = graph(&of, Options { input, output, views, fold: false });
        let all = operations(&graph).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let first = all.iter().position(|of| of == "Conv").unwrap();
        let last = all.iter().rposition(|of| of == "Gemm").unwrap();
        (all[..first].join(" "), all[last + 1..].join(" "), graph.input[0].name.clone(), graph.output[0].name.clone())
    };
    let expect = |front: &str, end: &str, input: &str, output: &str| {
        (front.to_owned(), end.to_owned(), input.to_owned(), output.to_owned())
    };
    assert_eq!(
        heads(Input::Scaled, Output::Probabilities, Some(Views::One)),
        expect("", "Softmax", "scaled", "probabilities")
    );
    assert_eq!(
        heads(Input::Pixels, Output::Logits, None),
        expect("Cast Transpose Gather Concat Mul", "Reshape ReduceMean Identity", "pixels", "logits")
    );
    let resize = "MatMul Add Mul Floor MatMul Add Mul Floor";
    assert_eq!(
        heads(Input::Poster, Output::Logits, Some(Views::One)),
        expect(&format!("Cast Transpose {resize} Mul"), "Identity", "poster", "logits")
    );
    let (front, ..) = heads(Input::Poster, Output::Logits, Some(Views::Crops));
    assert_eq!((front.matches(resize).count(), front.matches("Gather").count()), (5, 5), "{front}");
    let refusal = onnx::model(&of, Options { views: Some(Views::Crops), ..PLAIN }, "").unwrap_err();
    assert!(refusal.exit_code() == 2 && refusal.to_string().contains("--input poster"), "{refusal}");
}

/// What a node reads is there by then: an input, a constant, or what a node before gives; and each is
/// made once.
#[test]
fn members_with_branches_have_graphs_of_their_own() {
    let member = || classifier(residual(20), Head::Sigmoid, Views::Flip);
    let of = Classifier::join(vec![member(), member()]).unwrap();
    for fold in [false, true] {
        let graph = graph(&of, Options { output: Output::Probabilities, views: None, fold, ..PLAIN });
        let given = graph.input.iter().map(|input| &input.name).chain(graph.initializer.iter().map(|of| &of.name));
        let mut known: HashSet<&String> = given.collect();
        for node in &graph.node {
            assert!(node.input.iter().all(|input| known.contains(input)), "{} reads {:?}", node.name, node.input);
            assert!(node.output.iter().all(|output| known.insert(output)), "{} is made again", node.name);
        }
    }
}

#[test]
fn batch_norm_is_folded_as_far_as_that_is_exact() {
    let folded = |spec| {
        let of = classifier(spec, Head::Sigmoid, Views::One);
        graph(&of, Options { fold: true, ..PLAIN })
    };
    let all = folded(unpadded(20));
    let block = ["Conv", "Relu", "MaxPool"];
    assert_eq!(
        operations(&all),
        [&block[..], &block, &["Transpose", "Flatten", "Gemm", "Relu", "Gemm", "Identity"]].concat()
    );
    // The zeros around an image are added after batch norm: its shift stays, after the pooling.
    let some = folded(padded(20));
    assert_eq!(
        operations(&some),
        [
            "Conv",
            "Relu",
            "MaxPool",
            "Add",
            "Conv",
            "Relu",
            "MaxPool",
            "GlobalAveragePool",
            "Flatten",
            "Gemm",
            "Identity"
        ]
    );
    assert_eq!(shape(&tensor(&some, &node(&some, "batch_normalization").input[1]).dims), [4, 1, 1]);

    // What is kept for a sum is behind batch norm, so that this stays in front of it; a batch norm at the
    // end of a branch goes into no layer after the sum.
    let joined = folded(residual(20));
    let block = ["Conv", "Relu", "MaxPool", "Add", "Identity"];
    let excite = ["Identity", "GlobalAveragePool", "Flatten", "Gemm", "Relu", "Gemm", "Sigmoid", "Unsqueeze", "Mul"];
    let branch = ["Conv", "Relu", "Add", "Conv", "Relu", "Add"];
    let stage = [&block[..], &branch, &excite, &["Add"]].concat();
    let end = ["GlobalAveragePool", "Flatten", "Gemm", "Identity"];
    assert_eq!(operations(&joined), [&stage[..], &stage, &end].concat());

    // A factor that is negative does not pass a ReLU or a maximum.
    let mut of = classifier(unpadded(20), Head::Sigmoid, Views::One);
    of.network.each_parameter_mut(|parameter| {
        if parameter.name() == "batch_normalization/gamma" {
            parameter.value[2] = -1.0;
        }
    });
    let kept = graph(&of, Options { fold: true, ..PLAIN });
    assert_eq!(operations(&kept)[..6], ["Conv", "Relu", "Mul", "Add", "MaxPool", "Conv"]);

    of.network.each_parameter_mut(|parameter| {
        if parameter.name() == "batch_normalization/gamma" {
            parameter.value.fill(f32::MAX);
        }
    });
    let refusal = onnx::model(&of, Options { fold: true, ..PLAIN }, "").unwrap_err();
    assert!(refusal.to_string().contains("infinite"), "{refusal}");
}

/// Computes the part of a graph before its first convolution for one poster: `[views, 3, height, width]`.
fn shown(graph: &GraphProto, poster: &[u8]) -> Vec<Vec<f32>> {
    /// Planes of a size.
    #[derive(Clone)]
    struct Image {
        width: usize,
        planes: Vec<Vec<f32>>,
    }
    let mut values: std::collections::HashMap<&str, Vec<Image>> = Default::default();
    let planes = (0..3).map(|c| poster.iter().skip(c).step_by(3).map(|&value| f32::from(value)).collect()).collect();
    values.insert(&graph.input[0].name, vec![Image { width: 256, planes }]);
    let each = |image: &Image, f: &dyn Fn(f32) -> f32| Image {
        width: image.width,
        planes: image.planes.iter().map(|plane| plane.iter().map(|&value| f(value)).collect()).collect(),
    };
    let constant = |name: &str| graph.initializer.iter().find(|tensor| tensor.name == name);
    for node in graph.node.iter().take_while(|node| node.op_type != "Conv") {
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let images = inputs.iter().filter_map(|name| values.get(name).cloned()).flatten().collect::<Vec<_>>();
        let constant = inputs.iter().find_map(|name| constant(name));
        let result = match (&node.op_type[..], constant) {
            ("Cast" | "Transpose" | "Concat", None) => images,
            ("Floor", None) => vec![each(&images[0], &f32::floor)],
            ("Mul", Some(by)) => images.iter().map(|image| each(image, &|value| value * floats(by)[0])).collect(),
            ("Add", Some(by)) => vec![each(&images[0], &|value| value + floats(by)[0])],
            ("Add", None) => {
                let sum = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
                let planes = images[0].planes.iter().zip(&images[1].planes).map(sum).collect();
                vec![Image { width: images[0].width, planes }]
            }
            ("Gather", Some(_)) => {
                let width = images[0].width;
                let turn = |plane: &Vec<f32>| plane.chunks(width).flat_map(|row| row.iter().rev().copied()).collect();
                vec![Image { width, planes: images[0].planes.iter().map(turn).collect() }]
            }
            ("MatMul", Some(matrix)) => {
                let (dims, of_columns) = (shape(&matrix.dims), constant_is_right(node, matrix));
                let (matrix, old) = (floats(matrix), images[0].width);
                let height = images[0].planes[0].len() / old;
                let product = |plane: &Vec<f32>| -> Vec<f32> {
                    let (rows, width) = if of_columns { (height, dims[1]) } else { (dims[0], old) };
                    let sum = |y: usize, x: usize| match of_columns {
                        true => (0..old).map(|k| plane[y * old + k] * matrix[k * dims[1] + x]).sum::<f32>(),
                        false => (0..height).map(|k| matrix[y * height + k] * plane[k * old + x]).sum(),
                    };
                    (0..rows * width).map(|at| sum(at / width, at % width)).collect()
                };
                let width = if of_columns { dims[1] } else { old };
                vec![Image { width, planes: images[0].planes.iter().map(product).collect() }]
            }
            other => panic!("{other:?}"),
        };
        values.insert(&node.output[0], result);
    }
    let last = graph.node.iter().take_while(|node| node.op_type != "Conv").last().unwrap();
    values[&last.output[0][..]].iter().map(|image| image.planes.concat()).collect()
}

fn constant_is_right(node: &NodeProto, constant: &TensorProto) -> bool {
    node.input[1] == constant.name
}

#[test]
fn posters_are_resized_in_the_graph_to_the_bit() {
    let poster: Vec<u8> = (0..256 * 256 * 3u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // 24 takes weights that are split; 192 is the size of a corner, and 256 that of a poster.
    for input in [24, 61, 128, 192, 224, 255, 256] {
        let views = if input == 255 { Views::One } else { Views::Crops };
        let of = classifier(
            ModelSpec::input(&[input, input, 3]).conv2d(1, 3, Padding::Same).relu().global_average_pool2d().dense(3),
            Head::Sigmoid,
            views,
        );
        let options = Options { input: Input::Poster, output: Output::Logits, views: None, fold: false };
        let shown = shown(&graph(&of, options), &poster);
        assert_eq!(shown.len(), views.all().len());
        let size = of.input();
        for (view, shown) in views.all().into_iter().zip(shown) {
            let mut expected = vec![0; size.bytes()];
            Transformer::new(Transform { size, look: Look::View(view) }).apply(
                &poster,
                ImageSpec::POSTER,
                0,
                &mut expected,
            );
            let by_channel = (0..3).flat_map(|c| expected.iter().skip(c).step_by(3));
            let expected: Vec<f32> = by_channel.map(|&value| f32::from(value) * (1.0 / 255.0)).collect();
            assert!(shown == expected, "{input}, {view:?}");
        }
    }
}

#[test]
fn a_model_says_how_its_pixels_are_made_and_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    classifier(padded(32), Head::Sigmoid, Views::One).save(&path).unwrap();
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    let part = r#"\"input\":{\"antialias\":true,\"centres\":\"half_pixel\",\"filter\":\"bilinear\",\"height\":32,\"width\":32}"#;
    assert!(text.contains(part) && text.contains("fast_image_resize"), "{}", &text[..2000]);
    Classifier::open(&path, Isa::available()[0]).map(drop).unwrap();
    let change = |from: &[u8], to: &[u8]| {
        let mut bytes = crate::weights::without_checksum(fs::read(&path).unwrap());
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to);
        let changed = folder.path().join("changed.safetensors");
        fs::write(&changed, bytes).unwrap();
        Classifier::open(&changed, Isa::available()[0]).map(drop)
    };
    change(b"fast_image_resize 6.1.0", b"fast_image_resize 9.9.9").unwrap();
    let refusal = change(br#"\"antialias\":true"#, br#"\"antialias\":null"#).unwrap_err().to_string();
    assert!(refusal.contains("its description is broken"), "{refusal}");
    let refusal = change(br#"\"height\":256"#, br#"\"height\":128"#).unwrap_err().to_string();
    assert!(refusal.contains("its pixels are made in a way"), "{refusal}");
}

#[test]
fn the_command_replaces_files_of_ours_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = run_folder().join("top-6").display().to_string();
    let model = format!("{run}/model.safetensors");
    let export = |more: &[&str]| train(&[&["export", &run], more].concat());

    let file = path("model.onnx");
    let outcome = export(&["--onnx", &file]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for part in ["opset 17", "poster: uint8 [N, 256, 256, 3]", "probabilities: float32 [N, 6]", "views: one", "Softmax"]
    {
        assert!(outcome.stdout.contains(part), "{part} in {}", outcome.stdout);
    }
    let whole = fs::read(&file).unwrap();
    assert_eq!(export(&["--onnx", &file, "--input", "scaled"]).code, 0, "ours is replaced");
    assert_ne!(fs::read(&file).unwrap(), whole);

    let other = path("notes.txt");
    fs::write(&other, "not ours").unwrap();
    assert_one_line(&export(&["--onnx", &other]), 3, &["notes.txt", "no ONNX model of onesheet", "--overwrite"]);
    assert_eq!(fs::read(&other).unwrap(), b"not ours");
    assert_eq!(export(&["--onnx", &other, "--overwrite"]).code, 0);
    assert_eq!(fs::read(&other).unwrap(), whole, "the same model, the same bytes");

    for more in [&["--onnx", &model[..]][..], &["--onnx", &model, "--overwrite"]] {
        assert_one_line(&export(more), 3, &["it is the model that is to be exported"]);
    }
    assert_one_line(&export(&["--onnx", &path("")]), 3, &["it is a folder"]);
    assert_one_line(&export(&["--onnx", &path("nowhere/model.onnx")]), 4, &["nowhere/model.onnx"]);
    assert_one_line(&export(&["--onnx", &file, "--input", "pixels", "--views", "crops"]), 2, &["--input poster"]);
    assert_one_line(&export(&[]), 2, &["--onnx"]);
    assert_one_line(&train(&["export", &path("none"), "--onnx", &file]), 3, &["there is no model.safetensors"]);
}

/// A Python with numpy, onnx and onnxruntime: that of CI, or the system's if it has them.
pub fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("ONESHEET_PYTHON") {
        return Some(python.into());
    }
    let has = Command::new("python3").args(["-c", "import numpy, onnx, onnxruntime"]).output();
    let found = has.is_ok_and(|output| output.status.success()).then(|| "python3".into());
    if found.is_none() {
        eprintln!("skipped: no Python with numpy, onnx and onnxruntime; ONESHEET_PYTHON names one");
    }
    found
}

#[test]
fn onnx_runtime_answers_as_we_do() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let made = [
        ("padded", classifier(padded(48), Head::Sigmoid, Views::Flip)),
        ("unpadded", classifier(unpadded(100), Head::Softmax, Views::One)),
        ("unusual", classifier(unusual(), Head::Sigmoid, Views::Flip)),
        ("residual", classifier(residual(40), Head::Sigmoid, Views::One)),
        ("stem", classifier(stem(40), Head::Sigmoid, Views::Flip)),
    ];
    let mut runs = vec![run_folder().join("multi-label")];
    for (name, of) in made {
        runs.push(folder.path().join(name).with_extension("safetensors"));
        of.save(&runs[runs.len() - 1]).unwrap();
    }
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/onnx_check")).args(&runs);
    command.arg("--data").arg(posters()).arg("--cache").arg(posters().join("cache"));
    let output = command.args(["--posters", "6", "--train", env!("CARGO_BIN_EXE_train")]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (table, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{table}{errors}");
    assert_eq!(table.matches("safetensors | as it comes").count(), 5, "{table}{errors}");
}
