//! The kernels against ONNX: the Python package brings, for each operator, small models of one node
//! with what goes in and what comes out. All cases of our operators run, on every instruction set, but
//! those that [`NOT_COVERED`] lists with the reason.
//!
//! Models of several nodes are left out: they are the same cases, with the operator written out in
//! others.

mod cases;
mod layers;
mod training;

use crate::export::python;
use cases::Case;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

/// The version whose cases these are; later ones ship none.
const VERSION: &str = "1.22.0";

/// An operator, how many of its cases run, and what runs one and compares.
struct Operator {
    domain: &'static str,
    name: &'static str,
    covered: usize,
    run: fn(&Case),
}

const fn operator(name: &'static str, covered: usize, run: fn(&Case)) -> Operator {
    Operator { domain: "", name, covered, run }
}

const fn of_training(name: &'static str, covered: usize, run: fn(&Case)) -> Operator {
    Operator { domain: "ai.onnx.preview.training", name, covered, run }
}

const OPERATORS: [Operator; 16] = [
    operator("Add", 1, layers::add),
    operator("BatchNormalization", 4, layers::batch_normalization),
    operator("Conv", 5, layers::conv),
    operator("Dropout", 8, layers::dropout),
    operator("Flatten", 3, layers::flatten),
    operator("Gemm", 10, layers::gemm),
    operator("GlobalAveragePool", 2, layers::global_average_pool),
    operator("MaxPool", 2, layers::max_pool),
    operator("Mul", 3, layers::mul),
    operator("Relu", 1, layers::relu),
    operator("Sigmoid", 2, layers::sigmoid),
    operator("Softmax", 7, layers::softmax),
    operator("SoftmaxCrossEntropyLoss", 34, training::softmax_cross_entropy),
    operator("SpaceToDepth", 2, layers::space_to_depth),
    of_training("Adam", 2, training::adam),
    of_training("Momentum", 3, training::momentum),
];

/// The cases of these operators that our side has no way to compute.
const NOT_COVERED: [(&str, &[&str]); 9] = [
    (
        "whole numbers: ours computes in f32",
        &[
            "test_add_int16",
            "test_add_int8",
            "test_add_uint16",
            "test_add_uint32",
            "test_add_uint64",
            "test_add_uint8",
            "test_maxpool_2d_uint8",
            "test_mul_int16",
            "test_mul_int8",
            "test_mul_uint16",
            "test_mul_uint32",
            "test_mul_uint64",
            "test_mul_uint8",
        ],
    ),
    ("the operands differ in shape: ours adds two of the same", &["test_add_bcast"]),
    (
        "zeros above and below, none at the sides: ours pads both ways or neither",
        &["test_conv_with_strides_and_asymmetric_padding"],
    ),
    (
        "what is dropped comes from NumPy's random numbers",
        &[
            "test_training_dropout",
            "test_training_dropout_default",
            "test_training_dropout_default_mask",
            "test_training_dropout_mask",
        ],
    ),
    (
        "the axis of the images is joined with others: ours keeps it",
        &[
            "test_flatten_axis0",
            "test_flatten_axis2",
            "test_flatten_axis3",
            "test_flatten_negative_axis1",
            "test_flatten_negative_axis2",
            "test_flatten_negative_axis4",
        ],
    ),
    ("a matrix is added to the product: ours adds a row", &["test_gemm_default_matrix_bias"]),
    (
        "not of two dimensions",
        &[
            "test_maxpool_1d_default",
            "test_maxpool_3d_default",
            "test_maxpool_3d_dilations",
            "test_maxpool_3d_dilations_use_ref_impl",
            "test_maxpool_3d_dilations_use_ref_impl_large",
        ],
    ),
    (
        "the step is not the window's size: ours stand side by side",
        &[
            "test_maxpool_2d_ceil",
            "test_maxpool_2d_ceil_output_size_reduce_by_one",
            "test_maxpool_2d_default",
            "test_maxpool_2d_pads",
            "test_maxpool_2d_precomputed_pads",
            "test_maxpool_2d_precomputed_same_upper",
            "test_maxpool_2d_same_lower",
            "test_maxpool_2d_same_upper",
            "test_maxpool_2d_strides",
            "test_maxpool_with_argmax_2d_precomputed_pads",
        ],
    ),
    ("the window has gaps", &["test_maxpool_2d_dilations"]),
];

/// The folder of the cases, if there is a Python with the package. One that `ONESHEET_PYTHON` names has
/// to be of the version.
fn folder() -> Option<PathBuf> {
    let ask = "import onnx, os; print(onnx.__version__); print(os.path.dirname(onnx.__file__))";
    let output = Command::new(python()?).args(["-c", ask]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (version, package) = text.trim_end().split_once('\n').expect("a Python with onnx");
    if version != VERSION {
        let wanted = format!("the cases are those of onnx {VERSION}, this is {version}");
        assert!(std::env::var_os("ONESHEET_PYTHON").is_none(), "{wanted}");
        eprintln!("skipped: {wanted}");
        return None;
    }
    Some(PathBuf::from(package).join("backend/test/data/node"))
}

#[test]
fn kernels_compute_what_onnx_says() {
    let Some(folder) = folder() else { return };
    let reasons: BTreeMap<&str, &str> =
        NOT_COVERED.iter().flat_map(|(reason, names)| names.iter().map(move |&name| (name, *reason))).collect();
    let mut folders: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let (mut covered, mut failed) = (BTreeMap::new(), Vec::new());
    let mut left_out = BTreeSet::new();
    for folder in folders {
        let Some((domain, name)) = cases::operator(&folder) else { continue };
        let Some(operator) = OPERATORS.iter().find(|of| (of.domain, of.name) == (&domain, &name)) else { continue };
        let case = folder.file_name().unwrap().to_str().unwrap();
        if let Some((&case, reason)) = reasons.get_key_value(case) {
            eprintln!("not covered: {case}: {reason}");
            left_out.insert(case);
            continue;
        }
        let run = || {
            let case = Case::read(&folder);
            (operator.run)(&case);
            case.assert_all_read();
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(()) => *covered.entry(operator.name).or_insert(0) += 1,
            Err(_) => {
                eprintln!("failed: {case}");
                failed.push(case.to_owned());
            }
        }
    }
    let sum: usize = covered.values().sum();
    eprintln!("{sum} cases of {} operators agree, {} are not covered", covered.len(), left_out.len());
    assert!(failed.is_empty(), "{failed:#?}");
    let expected: BTreeMap<_, _> = OPERATORS.iter().map(|operator| (operator.name, operator.covered)).collect();
    assert_eq!(covered, expected);
    assert!(left_out.iter().eq(reasons.keys()), "cases that there are not: {:?}", reasons.keys());
}
