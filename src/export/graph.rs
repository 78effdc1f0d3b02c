//! Nodes and tensors of an ONNX graph, as they are added one by one. Each node gives one value, which
//! has the node's name.

use super::chain::{Conv, Gemm, KEPT, Operation, Step};
use super::proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto, attribute, data_type,
};

/// The name of the axis along which items lie in a batch.
const BATCH: &str = "N";

/// A graph that grows.
#[derive(Default)]
pub struct Graph(GraphProto);

impl Graph {
    /// The graph, when all is in it.
    pub fn finish(self, name: &str) -> GraphProto {
        GraphProto { name: name.to_owned(), ..self.0 }
    }

    /// Adds an input of any number of items of a shape.
    pub fn input(&mut self, name: &str, of: i32, item: &[usize], doc: &str) {
        self.0.input.push(value_info(name, of, item, doc));
    }

    /// Adds an output of as many items of a shape.
    pub fn output(&mut self, name: &str, item: &[usize], doc: &str) {
        self.0.output.push(value_info(name, data_type::FLOAT, item, doc));
    }

    /// Adds a node and returns its name.
    pub fn node(&mut self, name: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.0.node.push(NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes,
        });
        name.to_owned()
    }

    /// Adds a constant of floats and returns its name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let raw_data = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.constant(name, data_type::FLOAT, shape, raw_data)
    }

    /// Adds a constant list of whole numbers and returns its name.
    pub fn whole_numbers(&mut self, name: &str, values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, data_type::INT64, &[values.len()], raw_data)
    }

    fn constant(&mut self, name: &str, of: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        let dims = shape.iter().map(|&axis| axis as i64).collect();
        self.0.initializer.push(TensorProto { dims, data_type: of, name: name.to_owned(), raw_data });
        name.to_owned()
    }

    /// Adds an operation of a network on a value and returns the name of its result.
    pub fn step(&mut self, Step { name, operation }: &Step, x: &str) -> String {
        let part = |of: &str| format!("{name}/{of}");
        let mut per_channel = |of: &str, values: &[f32]| {
            let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            self.constant(&part(of), data_type::FLOAT, &[values.len()], raw_data)
        };
        match operation {
            Operation::Conv(Conv { shape, kernel, bias, stride, pads }) => {
                let bias = per_channel("bias", bias);
                let kernel = self.floats(&part("kernel"), shape, kernel.iter().copied());
                let attributes = vec![ints("pads", pads), ints("strides", &[*stride; 2])];
                self.node(name, "Conv", &[x, &kernel, &bias], attributes)
            }
            &Operation::SpaceToDepth(block) => {
                self.node(name, "SpaceToDepth", &[x], vec![int("blocksize", block as i64)])
            }
            Operation::Relu => self.node(name, "Relu", &[x], Vec::new()),
            Operation::Sigmoid => self.node(name, "Sigmoid", &[x], Vec::new()),
            Operation::Keep => self.node(name, "Identity", &[x], Vec::new()),
            Operation::Add => self.node(name, "Add", &[x, &part(KEPT)], Vec::new()),
            Operation::Multiply => {
                let axes = self.whole_numbers(&part("axes"), &[2, 3]);
                let factors = self.node(&part("factors"), "Unsqueeze", &[x, &axes], Vec::new());
                self.node(name, "Mul", &[&part(KEPT), &factors], Vec::new())
            }
            Operation::BatchNormalization { gamma, beta, mean, variance, epsilon } => {
                let parameters =
                    [("gamma", gamma), ("beta", beta), ("moving_mean", mean), ("moving_variance", variance)];
                let [gamma, beta, mean, variance] = parameters.map(|(of, values)| per_channel(of, values));
                let inputs = [x, &gamma, &beta, &mean, &variance];
                self.node(name, "BatchNormalization", &inputs, vec![float("epsilon", *epsilon)])
            }
            Operation::Affine { scale, shift, of_images } => {
                // Along the channels, which stand before height and width.
                let shape = if *of_images { vec![shift.len(), 1, 1] } else { vec![shift.len()] };
                let mut y = x.to_owned();
                if scale.iter().any(|&factor| factor != 1.0) {
                    let scale = self.floats(&part("scale"), &shape, scale.iter().map(|&factor| factor as f32));
                    y = self.node(&part("scaled"), "Mul", &[&y, &scale], Vec::new());
                }
                let shift = self.floats(&part("shift"), &shape, shift.iter().map(|&summand| summand as f32));
                self.node(name, "Add", &[&y, &shift], Vec::new())
            }
            Operation::MaxPool(size) => {
                let attributes = vec![ints("kernel_shape", &[*size; 2]), ints("strides", &[*size; 2])];
                self.node(name, "MaxPool", &[x], attributes)
            }
            Operation::GlobalAveragePool => {
                let pooled = self.node(&part("pooled"), "GlobalAveragePool", &[x], Vec::new());
                self.node(name, "Flatten", &[&pooled], vec![int("axis", 1)])
            }
            Operation::Flatten { .. } => {
                let channels_last = vec![ints("perm", &[0, 2, 3, 1])];
                let channels_last = self.node(&part("channels_last"), "Transpose", &[x], channels_last);
                self.node(name, "Flatten", &[&channels_last], vec![int("axis", 1)])
            }
            Operation::Gemm(Gemm { shape, kernel, bias }) => {
                let bias = per_channel("bias", bias);
                let kernel = self.floats(&part("kernel"), shape, kernel.iter().copied());
                self.node(name, "Gemm", &[x, &kernel, &bias], Vec::new())
            }
        }
    }
}

/// An option of a node: a number.
fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: Some(value), r#type: attribute::FLOAT, ..Default::default() }
}

/// An option of a node: a whole number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), r#type: attribute::INT, ..Default::default() }
}

/// An option of a node: whole numbers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.to_owned(), ints, r#type: attribute::INTS, ..Default::default() }
}

fn value_info(name: &str, of: i32, item: &[usize], doc: &str) -> ValueInfoProto {
    let batch = DimensionValue::DimParam(BATCH.to_owned());
    let axes = item.iter().map(|&axis| DimensionValue::DimValue(axis as i64));
    let dim = std::iter::once(batch).chain(axes).map(|value| Dimension { value: Some(value) }).collect();
    let tensor_type = Some(TensorTypeProto { elem_type: of, shape: Some(TensorShapeProto { dim }) });
    let r#type = Some(TypeProto { tensor_type });
    ValueInfoProto { name: name.to_owned(), r#type, doc_string: doc.to_owned() }
}
