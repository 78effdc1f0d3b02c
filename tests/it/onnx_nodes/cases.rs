//! The files of a case: a model, what it is given, and what has to come out.

use crate::common::assert_close;
use crate::common::golden::Golden;
use prost::Message;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The messages of ONNX with the fields that are read here. Those of `onesheet::export` have the fields
/// that are written there, and neither texts among the attributes nor values by their types.
mod messages {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ModelProto {
        #[prost(message, optional, tag = "7")]
        pub graph: Option<GraphProto>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct GraphProto {
        #[prost(message, repeated, tag = "1")]
        pub node: Vec<NodeProto>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct NodeProto {
        #[prost(string, repeated, tag = "1")]
        pub input: Vec<String>,
        #[prost(string, repeated, tag = "2")]
        pub output: Vec<String>,
        #[prost(string, tag = "4")]
        pub op_type: String,
        #[prost(message, repeated, tag = "5")]
        pub attribute: Vec<AttributeProto>,
        #[prost(string, tag = "7")]
        pub domain: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AttributeProto {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(float, optional, tag = "2")]
        pub f: Option<f32>,
        #[prost(int64, optional, tag = "3")]
        pub i: Option<i64>,
        #[prost(bytes = "vec", optional, tag = "4")]
        pub s: Option<Vec<u8>>,
        #[prost(int64, repeated, tag = "8")]
        pub ints: Vec<i64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TensorProto {
        #[prost(int64, repeated, tag = "1")]
        pub dims: Vec<i64>,
        #[prost(int32, tag = "2")]
        pub data_type: i32,
        #[prost(float, repeated, tag = "4")]
        pub float_data: Vec<f32>,
        #[prost(int32, repeated, tag = "5")]
        pub int32_data: Vec<i32>,
        #[prost(int64, repeated, tag = "7")]
        pub int64_data: Vec<i64>,
        #[prost(string, tag = "8")]
        pub name: String,
        #[prost(bytes = "vec", tag = "9")]
        pub raw_data: Vec<u8>,
    }
}

use messages::{AttributeProto, ModelProto, NodeProto, TensorProto};

/// Both sides round: the expected values are NumPy's, mostly in f32, where half a ulp is `6e-8`.
const TOLERANCE: f64 = 5e-7;

/// A model of one node, and its tensors by their names.
pub struct Case {
    node: NodeProto,
    tensors: BTreeMap<String, Golden>,
    /// Attributes that nobody has asked for yet: an option that is overlooked is a failure.
    unread: RefCell<BTreeMap<String, AttributeProto>>,
}

/// The domain and the operator of a model of one node; `None` for one of several.
pub fn operator(folder: &Path) -> Option<(String, String)> {
    let [node] = nodes(folder).try_into().ok()?;
    Some((node.domain, node.op_type))
}

fn nodes(folder: &Path) -> Vec<NodeProto> {
    let model = ModelProto::decode(&fs::read(folder.join("model.onnx")).unwrap()[..]).unwrap();
    model.graph.expect("a graph").node
}

impl Case {
    /// Reads a folder whose model is one node.
    pub fn read(folder: &Path) -> Self {
        let [node] = nodes(folder).try_into().expect("one node");
        assert!(!folder.join("test_data_set_1").exists(), "a second set of data");
        let files = fs::read_dir(folder.join("test_data_set_0")).unwrap().map(|file| file.unwrap().path());
        let unread = node.attribute.iter().map(|attribute| (attribute.name.clone(), attribute.clone())).collect();
        Self { node, tensors: files.map(|file| tensor(&file)).collect(), unread: RefCell::new(unread) }
    }

    /// How many operands there are.
    pub fn inputs(&self) -> usize {
        self.node.input.len()
    }

    /// An operand that may be left out.
    pub fn optional(&self, at: usize) -> Option<&Golden> {
        let name = self.node.input.get(at).filter(|name| !name.is_empty())?;
        Some(self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name}")))
    }

    /// An operand.
    pub fn input(&self, at: usize) -> &Golden {
        self.optional(at).unwrap_or_else(|| panic!("no operand {at}"))
    }

    /// What has to come out, where it is asked for.
    pub fn output(&self, at: usize) -> Option<&Golden> {
        Some(&self.tensors[self.node.output.get(at)?])
    }

    /// Compares an output with what has to come out.
    #[track_caller]
    pub fn check(&self, at: usize, actual: &[f32]) {
        assert_close(actual, &self.output(at).expect("the output").values, TOLERANCE);
    }

    /// The same for images, `[n, h, w, c]` on our side.
    #[track_caller]
    pub fn check_images(&self, at: usize, actual: &[f32]) {
        assert_close(actual, &channels_last(self.output(at).expect("the output")).values, TOLERANCE);
    }

    fn attribute(&self, name: &str) -> Option<AttributeProto> {
        self.unread.borrow_mut().remove(name)
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).map(|attribute| attribute.f.expect("a number"))
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i.expect("a whole number"))
    }

    pub fn text(&self, name: &str) -> Option<String> {
        self.attribute(name).map(|attribute| String::from_utf8(attribute.s.expect("a text")).unwrap())
    }

    /// Sizes, one for each axis.
    pub fn sizes<const N: usize>(&self, name: &str) -> Option<[usize; N]> {
        let sizes = self.attribute(name)?.ints;
        Some(std::array::from_fn(|at| usize::try_from(sizes[at]).expect("a size")))
    }

    /// An axis, counted from the end where it is negative, among those of the first operand.
    pub fn axis(&self, otherwise: i64) -> usize {
        let (axis, rank) = (self.int("axis").unwrap_or(otherwise), self.input(0).shape.len());
        if axis < 0 { rank - axis.unsigned_abs() as usize } else { axis as usize }
    }

    /// Asserts that all attributes have been asked for.
    pub fn assert_all_read(&self) {
        let unread = self.unread.borrow();
        assert!(unread.is_empty(), "attributes that our side does not look at: {:?}", unread.keys());
    }
}

/// The values, in raw bytes or by their type; all types that occur fit into f64.
fn tensor(file: &Path) -> (String, Golden) {
    let tensor = TensorProto::decode(&fs::read(file).unwrap()[..]).unwrap();
    let raw = &tensor.raw_data;
    let values: Vec<f64> = match (tensor.data_type, raw.is_empty()) {
        (1, false) => raw.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
        (1, true) => tensor.float_data.iter().map(|&value| f64::from(value)).collect(),
        (7, false) => raw.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f64).collect(),
        (7, true) => tensor.int64_data.iter().map(|&value| value as f64).collect(),
        (9, false) => raw.iter().map(|&value| f64::from(value)).collect(),
        (9, true) => tensor.int32_data.iter().map(|&value| f64::from(value)).collect(),
        (other, _) => panic!("{}: values of type {other}", file.display()),
    };
    let shape: Vec<usize> = tensor.dims.iter().map(|&axis| axis as usize).collect();
    assert_eq!(values.len(), shape.iter().product::<usize>(), "{}", file.display());
    (tensor.name, Golden { shape, values })
}

/// The same tensor with its axes in another order: axis `i` of the result is axis `order[i]` of it.
pub fn transposed(of: &Golden, order: &[usize]) -> Golden {
    let shape: Vec<usize> = order.iter().map(|&axis| of.shape[axis]).collect();
    let strides: Vec<usize> = order.iter().map(|&axis| of.shape[axis + 1..].iter().product()).collect();
    let value = |at: usize| {
        let (mut rest, mut from) = (at, 0);
        for (size, stride) in shape.iter().zip(&strides).rev() {
            from += rest % size * stride;
            rest /= size;
        }
        of.values[from]
    };
    let values = (0..of.values.len()).map(value).collect();
    Golden { shape, values }
}

/// The same tensor with one of its axes at the end.
pub fn last(of: &Golden, axis: usize) -> Golden {
    let others = (0..of.shape.len()).filter(|&other| other != axis);
    transposed(of, &others.chain([axis]).collect::<Vec<_>>())
}

/// Images, or whatever has its channels second, with the channels last.
pub fn channels_last(of: &Golden) -> Golden {
    last(of, 1)
}

#[test]
fn axes_change_places() {
    let of = Golden { shape: vec![1, 2, 3], values: vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0] };
    let turned = transposed(&of, &[2, 0, 1]);
    assert_eq!((turned.shape, turned.values), (vec![3, 1, 2], vec![0.0, 10.0, 1.0, 11.0, 2.0, 12.0]));
    assert_eq!(channels_last(&of).values, [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
}

/// The data that ship have raw bytes throughout; the schema allows for the other, too.
#[test]
fn values_are_read_in_raw_bytes_and_by_their_type() {
    let folder = tempfile::tempdir().unwrap();
    let read = |tensor: TensorProto| {
        let file = folder.path().join("input_0.pb");
        fs::write(&file, tensor.encode_to_vec()).unwrap();
        super::cases::tensor(&file).1.values
    };
    let of = |data_type| TensorProto { dims: vec![2], data_type, ..Default::default() };
    let raw = [0.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(read(TensorProto { raw_data: raw, ..of(1) }), [0.5, -2.0]);
    assert_eq!(read(TensorProto { float_data: vec![0.5, -2.0], ..of(1) }), [0.5, -2.0]);
    let raw = [3i64, -7].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(read(TensorProto { raw_data: raw, ..of(7) }), [3.0, -7.0]);
    assert_eq!(read(TensorProto { int64_data: vec![3, -7], ..of(7) }), [3.0, -7.0]);
    assert_eq!(read(TensorProto { raw_data: vec![1, 0], ..of(9) }), [1.0, 0.0]);
    assert_eq!(read(TensorProto { int32_data: vec![1, 0], ..of(9) }), [1.0, 0.0]);
}
