//! The training step in candle 0.11, on its own CPU kernels.
//!
//! What it lacks, as far as this step is concerned:
//! - no fused optimiser: Adam is a dozen tensors per weight, each allocated anew;
//! - no native max-pool gradient: it is composed of a mask, an average pool and two upsamplings,
//!   which come out at a quarter of the true gradient where a window has one maximum, and at the
//!   wrong pixels where the side is odd (hence the crop in [`Net::forward`]);
//! - the first layer's input gradient is computed though nobody asks for it;
//! - its BLAS (`mkl`) comes as a prebuilt library and is left out.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{
    AdamW, BatchNorm, BatchNormConfig, Conv2d, Dropout, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap,
    batch_norm, conv2d, linear, loss::binary_cross_entropy_with_logit, ops::sigmoid,
};
use onesheet_peers as peers;

struct Net {
    blocks: Vec<(Conv2d, BatchNorm)>,
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
}

impl Net {
    fn new(vb: VarBuilder) -> Result<Self> {
        let norm = BatchNormConfig { eps: peers::BN_EPSILON, momentum: peers::BN_SHARE, ..Default::default() };
        let mut channels = peers::CHANNELS;
        let mut blocks = vec![];
        for (i, filters) in peers::FILTERS.into_iter().enumerate() {
            let conv = conv2d(channels, filters, 3, Default::default(), vb.pp(format!("conv{i}")))?;
            blocks.push((conv, batch_norm(filters, norm, vb.pp(format!("norm{i}")))?));
            channels = filters;
        }
        Ok(Self {
            blocks,
            hidden: linear(channels * peers::pooled_side().pow(2), peers::HIDDEN, vb.pp("hidden"))?,
            dropout: Dropout::new(0.5),
            output: linear(peers::HIDDEN, peers::CLASSES, vb.pp("output"))?,
        })
    }

    /// The logits of u8 images `[n, channels, side, side]`.
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = (images.to_dtype(DType::F32)? * (1.0 / 255.0))?;
        for (conv, norm) in &self.blocks {
            x = conv.forward(&x)?.relu()?.apply_t(norm, train)?;
            let (_, _, h, w) = x.dims4()?;
            x = x.narrow(2, 0, h & !1)?.narrow(3, 0, w & !1)?.contiguous()?.max_pool2d(2)?;
        }
        let x = self.hidden.forward(&x.flatten_from(1)?)?.relu()?;
        self.output.forward(&self.dropout.forward(&x, train)?)
    }
}

struct Candle {
    net: Net,
    adam: AdamW,
    images: Tensor,
    labels: Tensor,
}

impl Candle {
    fn new(batch: usize) -> Result<Self> {
        let device = Device::Cpu;
        let vars = VarMap::new();
        let net = Net::new(VarBuilder::from_varmap(&vars, DType::F32, &device))?;
        let adam =
            ParamsAdamW { lr: peers::LEARNING_RATE, eps: peers::ADAM_EPSILON, weight_decay: 0.0, ..Default::default() };
        let shape = (batch, peers::CHANNELS, peers::SIDE, peers::SIDE);
        let images = peers::random_bytes(shape.0 * shape.1 * shape.2 * shape.3);
        let labels: Vec<f32> = peers::random_bytes(batch * peers::CLASSES).iter().map(|b| f32::from(b % 2)).collect();
        Ok(Self {
            net,
            // The moving statistics are among the variables, but have no gradient: Adam passes them
            // over.
            adam: AdamW::new(vars.all_vars(), adam)?,
            images: Tensor::from_vec(images, shape, &device)?,
            labels: Tensor::from_vec(labels, (batch, peers::CLASSES), &device)?,
        })
    }
}

impl peers::Peer for Candle {
    fn train(&mut self) {
        let logits = self.net.forward(&self.images, true);
        let loss = logits.and_then(|logits| binary_cross_entropy_with_logit(&logits, &self.labels));
        loss.and_then(|loss| self.adam.backward_step(&loss)).expect("the shapes fit");
    }

    fn predict(&mut self) {
        let logits = self.net.forward(&self.images, false);
        std::hint::black_box(logits.and_then(|logits| sigmoid(&logits)).expect("the shapes fit"));
    }
}

fn main() -> Result<()> {
    let options = peers::Options::from_args();
    peers::report(&options, "candle 0.11.1", &mut Candle::new(options.batch)?);
    Ok(())
}
