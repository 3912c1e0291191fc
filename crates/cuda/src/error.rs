//! Errors of work on a CUDA device, split by who must act.

use std::path::PathBuf;

use grail_engine::EngineError;

/// Why the CUDA engine cannot continue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// A library is not on this machine.
    #[error(
        "the library {library} cannot be loaded; install NVIDIA's driver and the CUDA 12 or 13 libraries (or put their \
         folder into LD_LIBRARY_PATH), or choose --device cpu"
    )]
    LibraryMissing {
        /// Its name without prefix and ending.
        library: &'static str,
    },
    /// There is no such device.
    #[error("there is no CUDA device {ordinal}, only {count}; choose another with --device")]
    NoDevice {
        /// The number asked for.
        ordinal: usize,
        /// How many devices there are.
        count: usize,
    },
    /// The device is too old for the kernels.
    #[error("{name} has compute capability {major}.{minor}; the kernels need 8.0 or newer: use another device")]
    TooOld {
        /// Name of the device.
        name: String,
        /// Major part of the capability.
        major: i32,
        /// Minor part.
        minor: i32,
    },
    /// The kernels were not compiled. A bug, or an NVRTC too old for them.
    #[error("NVRTC did not compile the kernels: {log}; update the CUDA libraries, or report this")]
    Compile {
        /// The compiler's output.
        log: String,
    },
    /// The device's memory is not enough.
    #[error("{bytes} bytes for {what} do not fit the device's memory; free it, or work on fewer rollouts at a time")]
    OutOfMemory {
        /// Purpose of the memory.
        what: &'static str,
        /// Requested size.
        bytes: u64,
    },
    /// The device fell off the bus, or a kernel broke its context: nothing works on it until it is opened again.
    #[error("the device failed during {call} ({name}); the engine reopens it and repeats the work")]
    DeviceLost {
        /// The call.
        call: &'static str,
        /// The driver's name for it.
        name: String,
    },
    /// Another error of the driver.
    #[error("{call} failed ({name}); check the driver with nvidia-smi, and report this if it persists")]
    Driver {
        /// The call.
        call: &'static str,
        /// The driver's name for it.
        name: String,
    },
    /// An error of cuBLAS.
    #[error("{call} failed ({status}); install CUDA libraries that match the driver")]
    Blas {
        /// The call.
        call: &'static str,
        /// cuBLAS's name for it.
        status: String,
    },
    /// The network has a shape that the kernels are not written for.
    #[error("the kernels do not run a network with {what}; use the CPU for it")]
    Shape {
        /// What is missing in them.
        what: String,
    },
    /// A weight has a type that is neither float32, bfloat16 nor float16.
    #[error("tensor {name} is of type {found}; convert the weights to bfloat16 or float32")]
    WeightType {
        /// Name of the tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// A file of weights cannot be used.
    #[error("{}: {problem}; download the model again", path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// Logits are not numbers, or none of them is above −∞.
    #[error("the logits in slot {slot} are not finite; the miner retries the group in a smaller batch")]
    LogitsNotFinite {
        /// Slot of the rollout.
        slot: usize,
    },
    /// More tokens tie for the last places of top-k than the device sorts.
    #[error("over {limit} tokens tie in slot {slot}, more than the device sorts; the weights are damaged: reload them")]
    TooManyTies {
        /// Slot of the rollout.
        slot: usize,
        /// How many may tie.
        limit: usize,
    },
    /// The worker thread has ended.
    #[error("the engine's thread has ended; restart the miner")]
    Ended,
}

/// Why work on a CUDA device failed: the device, the model, or the request.
#[derive(Debug, thiserror::Error)]
pub enum CudaEngineError {
    /// The model or the request is wrong on every device, the CPU included.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The device cannot do it.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// Sequences that cuBLAS sums in different orders were to be proved together.
    #[error("sequences of {first} and {other} tokens have different summation orders; prove them one by one")]
    OrdersDiffer {
        /// Tokens of the first.
        first: usize,
        /// Tokens of the one that does not fit it.
        other: usize,
    },
}
