//! The framework: small convolutional networks that train and predict on CPUs.
//!
//! It knows nothing of posters, and needs few dependencies: with `default-features = false` it is
//! all that the crate has. A [`ModelSpec`] says what a model is, as data; [`Sequential`] is the
//! model, built for an instruction set; a [`Trainer`] changes its weights, batch by batch.
//!
//! ```
//! use onesheet::nn::{Head, Input, Isa, ModelSpec, Optimizer, Padding, Pass, Rule, Sequential, Trainer};
//!
//! // Two classes of images: bright above, or bright below.
//! let image = |below: usize| (0..64).map(move |i| u8::from(i / 32 == below) * 200);
//! let images: Vec<u8> = (0..8).flat_map(|i| image(i % 2)).collect();
//! let labels: Vec<f32> = (0..8).flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
//!
//! let spec = ModelSpec::input(&[8, 8, 1]).conv2d(4, 3, Padding::Same).relu().max_pool2d(2).flatten().dense(2);
//! let mut model = Sequential::build(spec, Isa::choose().unwrap(), 1)?;
//! let optimizer = Optimizer::new(Rule::adam(0.02), &mut model);
//! let mut trainer = Trainer::new(Head::Softmax, optimizer, 1);
//! for _ in 0..30 {
//!     trainer.step(&mut model, Input::U8(&images), &labels);
//! }
//!
//! let logits = model.forward(Input::U8(&images), Pass::Inference);
//! let probabilities = Head::Softmax.probabilities(logits);
//! assert!(probabilities[0] > 0.9 && probabilities[3] > 0.9);
//! # Ok::<(), onesheet::Error>(())
//! ```
//!
//! A file imports only from those above it in this list:
//!
//! | file | its job |
//! |---|---|
//! | `tensor` | a batch of values between two layers |
//! | `parameter` | the weights and statistics of a layer |
//! | `layers/` | one layer per file: what it makes of a shape, its passes forward and back |
//! | `spec` | a model as data, and its plan: names, shapes, parameters, arithmetic |
//! | `operations` | a spec as the operations that compute it: which layers run as one |
//! | `memory` | what a model will claim of memory, from its spec alone |
//! | `buckets` | gradients on their way through the sums over all ranks |
//! | `sequential`, `summary` | a built model, and the table that shows it |
//! | `first_outputs` | a model of the first outputs of another |
//! | `tensors` | files of named tensors with a description |
//! | `weights` | models on disk |
//! | `loss` | the last activation and its cross-entropy |
//! | `heads` | the loss of several heads, some of whose labels are not known |
//! | `optim`, `average` | update rules, learning rates, the moving average of the weights |
//! | `trainer` | the training step |
//! | `checkpoint` | trainings on disk, to be taken up again |
//! | [`metrics`] | average precision, the area under the ROC curve, their curves, thresholds, top-k |

mod average;
mod buckets;
pub(crate) mod checkpoint;
mod first_outputs;
mod heads;
mod layers;
mod loss;
mod memory;
pub mod metrics;
mod operations;
mod optim;
mod parameter;
mod sequential;
mod spec;
mod summary;
mod tensor;
mod tensors;
mod trainer;
pub(crate) mod weights;

pub use average::Average;
pub use heads::{HeadLoss, HeadLosses};
pub use layers::{BYTE_SCALE, Pass};
pub use loss::{AuxiliaryHeads, Head, Objective};
pub use memory::Memory;
pub use onesheet_kernels::conv2d::Padding;
pub use onesheet_kernels::precision::{Precision, Rates};
pub use onesheet_kernels::simd::Isa;
pub use optim::{Adam, Decay, Optimizer, Rule, Schedule, Sgd};
pub use parameter::{Parameter, Role};
pub use sequential::{FeatureMaps, Input, Sequential, Statistics};
pub use spec::{LayerSpec, ModelSpec, PlannedLayer};
pub use tensor::Tensor;
pub use trainer::Trainer;
