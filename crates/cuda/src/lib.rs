//! Runs the Qwen3 network of `grail-engine` on CUDA devices: rollouts in bfloat16 at the speed of the memory, and float32
//! proofs with PyTorch's own bits. It holds all unsafe code of the workspace, in [`driver`] and where [`weights`] maps
//! files; it may not touch the network, the chain, the environment or the miner's state. It builds without CUDA: the
//! driver, cuBLAS and NVRTC are loaded when a device is opened, and the kernels are compiled then.
//!
//! [`CudaEngine`] samples and proves many groups at a time; [`Prover`] alone gives the exact pass of given tokens, and
//! [`driver::Device`] is a device with its context. [`CudaEngineError`] says whether the device ([`CudaError`]), the model
//! or the request is to blame.

pub mod decode;
pub mod driver;
pub mod engine;
pub mod error;
pub mod proof;
pub mod weights;

pub use decode::{DecodeSettings, Decoder};
pub use engine::{CudaEngine, CudaSettings, GroupWork, ProofWatch};
pub use error::{CudaEngineError, CudaError};
pub use proof::{ProofPlan, Prover, Sequence, TorchNumerics, TorchNumericsNameError};
