//! The engine on CUDA devices: proofs with PyTorch's own bits, and rollouts at the speed of the memory.
//!
//! Nothing of CUDA is needed to build it: driver, cuBLAS and NVRTC are loaded when a device is opened, and the kernels
//! are compiled then. [`driver`] is the layer that calls them; [`weights`] brings a model onto a device; [`proof`] is the
//! exact float32 pass, [`decode`] samples
//! rollouts, and [`engine`] runs both for many groups at a time.

pub mod decode;
pub mod driver;
pub mod engine;
pub mod error;
pub mod proof;
pub mod weights;

pub use decode::{DecodeSettings, Decoder};
pub use engine::{CudaEngine, CudaSettings, GroupWork, ProofWatch};
pub use error::CudaError;
pub use proof::{ProfileNameError, ProofPlan, Prover, Sequence, TorchProfile};
