//! The engine on CUDA devices: proofs with PyTorch's own bits, and rollouts at the speed of the memory.
//!
//! Nothing of CUDA is needed to build it: driver, cuBLAS and NVRTC are loaded when a device is opened, and the kernels
//! are compiled then. [`driver`] is the layer that calls them; [`weights`] brings a model onto a device; [`proof`] is the
//! exact float32 pass.

pub mod driver;
pub mod error;
pub mod proof;
pub mod weights;

pub use error::CudaError;
pub use proof::{ProofPlan, Prover, TorchProfile};
