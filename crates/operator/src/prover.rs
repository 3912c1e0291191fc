//! A model on a CUDA device that proves given sequences, for commands that work on single sequences.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::bail;
use grail_cuda::driver::{Priority, Stream};
use grail_cuda::weights::{ExactWeights, Model};
use grail_cuda::{CudaEngineError, ProofPlan, Prover, Sequence, TorchNumerics};
use grail_engine::{CpuEngine, HfTokenizer};
use grail_protocol::generation::{ModelLimits, ProofModel, ProofPass, Tokenizer};
use grail_verify::RecomputeError;

use grail_hub::local_name;
use grail_live::device::{self, DeviceChoice};

/// The model with its tokenizer, if it has one.
pub struct DeviceProver {
    prover: RefCell<Prover>,
    limits: ModelLimits,
    tokenizer: Option<HfTokenizer>,
}

impl DeviceProver {
    /// Brings a model (`toy`, a folder, `synthetic:qwen3-4b:SEED`, or a hub id) onto CUDA device `ordinal`.
    ///
    /// # Errors
    /// If the model cannot be had, or the device cannot run it.
    pub fn open(model: &str, ordinal: usize, numerics: TorchNumerics) -> anyhow::Result<Self> {
        let (device, kernels) = device::open(ordinal)?;
        let kernels = Rc::new(kernels);
        let mut model = Model::open(&local_name(model)?)?;
        let stream = Stream::new(&device, kernels.clone(), Priority::Normal)?;
        let weights = Arc::new(ExactWeights::load(&model.config, &stream, &mut *model.tensors)?);
        let own_eos = model.tokenizer.as_ref().and_then(HfTokenizer::eos_token);
        let eos_token = own_eos.or(model.config.eos_token).unwrap_or_default();
        let limits = ModelLimits {
            vocabulary: model.config.vocab_size as u32,
            context_tokens_max: model.config.context_tokens_max,
            eos_token,
        };
        let prover = Prover::new(&device, kernels, weights, numerics, ProofPlan::default(), eos_token)?;
        Ok(Self { prover: RefCell::new(prover), limits, tokenizer: model.tokenizer })
    }

    /// Returns the sketch of every position, and the raw probability of each token behind the prompt.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn pass(&self, tokens: &[u32], prompt_length: usize, randomness: &str) -> Result<ProofPass, CudaEngineError> {
        self.prover.borrow_mut().pass(tokens, prompt_length, randomness)
    }

    /// Returns what a validator checks tokens against.
    pub fn limits(&self) -> ModelLimits {
        self.limits
    }

    /// Returns the model's tokenizer; synthetic models have none.
    pub fn tokenizer(&self) -> Option<&HfTokenizer> {
        self.tokenizer.as_ref()
    }
}

/// Returns the model of a validator, which computes proofs again: on the CPU (`toy` or a folder), or on a GPU.
///
/// # Errors
/// If the model cannot be had, or has no tokenizer.
pub fn proof_model(device: DeviceChoice, model: &str, numerics: TorchNumerics) -> anyhow::Result<Rc<dyn ProofModel>> {
    match device {
        DeviceChoice::Cpu if model == "toy" => Ok(Rc::new(CpuEngine::toy()?)),
        DeviceChoice::Cpu => Ok(Rc::new(CpuEngine::from_folder(Path::new(model))?)),
        DeviceChoice::Cuda(ordinal) => {
            let prover = DeviceProver::open(model, ordinal, numerics)?;
            if prover.tokenizer().is_none() {
                bail!("the model {model} has no tokenizer, and prompts are text; use a folder or a hub id");
            }
            Ok(Rc::new(OnDevice(prover)))
        }
    }
}

/// A model on a GPU that has a tokenizer.
struct OnDevice(DeviceProver);

impl ProofModel for OnDevice {
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let failed = |error: CudaEngineError| RecomputeError { tokens: tokens.len(), why: error.to_string() };
        self.0.pass(tokens, 1, randomness).map_err(failed)
    }

    fn passes(&self, sequences: &[&[u32]], randomness: &str) -> Result<Vec<Option<ProofPass>>, RecomputeError> {
        let Some(first) = sequences.first() else { return Ok(Vec::new()) };
        let sequences: Vec<Sequence<'_>> =
            sequences.iter().map(|tokens| Sequence { tokens, prompt_length: 1 }).collect();
        // Whatever another sequence makes fail must not be this one's fault.
        match self.0.prover.borrow_mut().passes_with_first(&sequences, randomness) {
            Ok(passes) => Ok(passes),
            Err(_) => self.pass(first, randomness).map(|pass| vec![Some(pass)]),
        }
    }

    fn limits(&self) -> ModelLimits {
        self.0.limits()
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        self.0.tokenizer().expect("the caller checked it")
    }
}
