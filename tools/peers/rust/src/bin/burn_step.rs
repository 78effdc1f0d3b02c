//! The training step in burn 0.22, on flex, its pure Rust CPU backend (`ndarray` is deprecated in
//! favour of it).
//!
//! What it lacks, as far as this step is concerned:
//! - no fused optimiser: Adam is a chain of whole-tensor operations per weight;
//! - convolution is an explicit im2col and a matrix product, batch norm a chain of whole-tensor
//!   operations;
//! - its other CPU backend, `cpu`, compiles and fuses kernels with an LLVM that its build
//!   downloads, and is left out.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{BinaryCrossEntropyLoss, BinaryCrossEntropyLossConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use onesheet_peers as peers;

#[derive(Module, Debug)]
struct Net {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    pool: MaxPool2d,
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        let mut channels = peers::CHANNELS;
        let (mut convs, mut norms) = (vec![], vec![]);
        for filters in peers::FILTERS {
            convs.push(Conv2dConfig::new([channels, filters], [3, 3]).init(device));
            let norm = BatchNormConfig::new(filters).with_epsilon(peers::BN_EPSILON).with_momentum(peers::BN_SHARE);
            norms.push(norm.init(device));
            channels = filters;
        }
        Self {
            convs,
            norms,
            pool: MaxPool2dConfig::new([2, 2]).init(),
            hidden: LinearConfig::new(channels * peers::pooled_side().pow(2), peers::HIDDEN).init(device),
            dropout: DropoutConfig::new(0.5).init(),
            output: LinearConfig::new(peers::HIDDEN, peers::CLASSES).init(device),
        }
    }

    /// The logits of u8 images `[n, channels, side, side]`.
    fn forward(&self, images: Tensor<4, Int>) -> Tensor<2> {
        let mut x = images.float() / 255.0;
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x = self.pool.forward(norm.forward(relu(conv.forward(x))));
        }
        let x = relu(self.hidden.forward(x.flatten(1, 3)));
        self.output.forward(self.dropout.forward(x))
    }
}

/// One batch on one device.
struct Batch {
    images: Tensor<4, Int>,
    labels: Tensor<2, Int>,
}

impl Batch {
    fn new(len: usize, device: &Device) -> Self {
        let shape = [len, peers::CHANNELS, peers::SIDE, peers::SIDE];
        let images = TensorData::new(peers::random_bytes(shape.iter().product()), shape);
        let labels: Vec<i32> = peers::random_bytes(len * peers::CLASSES).iter().map(|b| i32::from(b % 2)).collect();
        let labels = TensorData::new(labels, [len, peers::CLASSES]);
        Self {
            images: Tensor::from_data(images, (device, DType::U8)),
            labels: Tensor::from_data(labels, (device, DType::I32)),
        }
    }
}

struct Burn {
    /// `None` only while the optimiser holds it.
    net: Option<Net>,
    adam: ModuleOptimizer,
    loss: BinaryCrossEntropyLoss,
    training: Batch,
    /// The same net and images without a graph, since burn tells training from inference by the
    /// device.
    inference: Option<(Net, Batch)>,
    device: Device,
}

impl Burn {
    fn new(batch: usize) -> Self {
        let device = Device::flex().autodiff();
        Self {
            net: Some(Net::new(&device)),
            adam: AdamConfig::new().with_epsilon(peers::ADAM_EPSILON as f32).init(),
            loss: BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device),
            training: Batch::new(batch, &device),
            inference: None,
            device,
        }
    }
}

impl peers::Peer for Burn {
    fn train(&mut self) {
        let net = self.net.take().expect("train returns it");
        let logits = net.forward(self.training.images.clone());
        let gradients = self.loss.forward(logits, self.training.labels.clone()).backward();
        let gradients = GradientsParams::from_grads(gradients, &net);
        self.net = Some(self.adam.step(peers::LEARNING_RATE, net, gradients));
        self.device.sync().expect("flex computes at once");
    }

    fn predict(&mut self) {
        let (net, batch) = self.inference.get_or_insert_with(|| {
            let len = self.training.images.dims()[0];
            (self.net.as_ref().expect("train returns it").valid(), Batch::new(len, &Device::flex()))
        });
        std::hint::black_box(sigmoid(net.forward(batch.images.clone())).into_data());
    }
}

fn main() {
    let options = peers::Options::from_args();
    peers::report(&options, "burn 0.22.1", &mut Burn::new(options.batch));
}
