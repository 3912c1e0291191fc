//! Golden proofs on a CUDA device: every bit of the hidden states and every sketch must be the reference's.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use grail_cuda::driver::{Device, Kernels, Priority, Stream};
use grail_cuda::weights::{ExactWeights, Model};
use grail_cuda::{CudaEngineError, ProofPlan, Prover, Sequence, TorchNumerics};
use grail_protocol::randomness::hash_u32s;
use sha2::{Digest, Sha256};

use super::GoldenError;
use super::case::{Case, VectorFile, list};
use super::proofs::{HIDDEN, RECORDED_WITH, SYNTHETIC, TOY, shape};
use super::randomness::lcg_tokens;
use super::report::FileReport;

/// A tolerance far above rounding and far below another token's probability, since the head is not bit-exact.
const LOGPROB_TOLERANCE: f64 = 1e-3;

/// A device that runs golden proofs; the weights of the last model stay loaded.
pub struct DeviceProofs {
    device: Device,
    kernels: Rc<Kernels>,
    stream: Stream,
    plan: ProofPlan,
    loaded: RefCell<Option<(String, Arc<ExactWeights>)>>,
}

impl DeviceProofs {
    /// Runs on this device, with its work arranged by `plan`.
    ///
    /// # Errors
    /// If the device has no room for a stream.
    pub fn new(device: Device, kernels: Kernels, plan: ProofPlan) -> Result<Self, CudaEngineError> {
        let kernels = Rc::new(kernels);
        let stream = Stream::new(&device, kernels.clone(), Priority::Normal)?;
        Ok(Self { device, kernels, stream, plan, loaded: RefCell::new(None) })
    }

    /// Runs one file, unless it was recorded on another GPU or with another cuBLAS.
    pub(super) fn golden_proof(&self, file: &VectorFile) -> Result<FileReport, GoldenError> {
        let text = |field| file.field(field).map(|value| value.as_text().unwrap_or_default().to_owned());
        let (gpu, torch, model) = (text("gpu")?, text("torch")?, text("model")?);
        let cublas = file.field("cublas")?.as_integral().unwrap_or_default();
        let ours = self.stream.blas_version();
        if gpu != self.device.name() || cublas != i128::from(ours) {
            let here = self.device.name();
            let needs = format!("{gpu} with cuBLAS {cublas}; this is {here} with cuBLAS {ours}");
            return Ok(FileReport::not_comparable(file.name(), needs));
        }
        let Some(numerics) = TorchNumerics::of_release(&torch) else {
            return Err(file.malformed(format!("`torch` is {torch:?}, and its numerics are unknown")));
        };
        let name = match model.strip_prefix(SYNTHETIC) {
            Some(seed) => format!("synthetic:qwen3-4b:{seed}"),
            None if model == TOY => TOY_MODEL.to_owned(),
            None => return Err(file.malformed(format!("`model` is neither {TOY} nor {SYNTHETIC}<seed>"))),
        };
        let weights = self.weights(&name)?;
        let (kernels, plan) = (self.kernels.clone(), self.plan);
        let prover = Prover::new(&self.device, kernels, weights.clone(), numerics, plan, 0);
        let mut prover = prover.map_err(CudaEngineError::from)?;
        file.single_case(|case| {
            case.skip(&RECORDED_WITH);
            // The device's own bits imply them.
            case.skip(&HIDDEN);
            case.compare("config", shape(&weights.config))?;
            let tokens = lcg_tokens(case.int("token_lcg_seed")?, case.int("length")?, weights.config.vocab_size as u64);
            case.compare("tokens_sha256", hex::encode(hash_u32s(&tokens)))?;
            compare(case, &mut prover, &tokens)
        })
    }

    fn weights(&self, name: &str) -> Result<Arc<ExactWeights>, CudaEngineError> {
        let mut loaded = self.loaded.borrow_mut();
        if let Some((_, weights)) = loaded.as_ref().filter(|(loaded, _)| loaded == name) {
            return Ok(weights.clone());
        }
        // The old weights go before the new ones come: both may not fit.
        *loaded = None;
        let mut model = Model::open(name)?;
        let weights = Arc::new(ExactWeights::load(&model.config, &self.stream, &mut *model.tensors)?);
        *loaded = Some((name.to_owned(), weights.clone()));
        Ok(weights)
    }
}

/// The embedded model's name as the engine knows it.
const TOY_MODEL: &str = "toy";

fn compare(case: &mut Case, prover: &mut Prover, tokens: &[u32]) -> Result<(), GoldenError> {
    let digest = |scaled: Vec<i32>| {
        let bytes: Vec<u8> = scaled.iter().flat_map(|value| value.to_le_bytes()).collect();
        hex::encode(Sha256::digest(bytes))
    };
    case.compare("scaled_sha256", digest(prover.scaled_hidden_states(tokens)?))?;
    if prover.order(tokens.len()).map_err(CudaEngineError::from)?.is_some() {
        // Next to another rollout, whose first half it shares, it must be the same.
        let mut company = tokens.to_vec();
        company[tokens.len() / 2..].iter_mut().for_each(|token| *token ^= 1);
        let pair = [&company[..], tokens].map(|tokens| Sequence { tokens, prompt_length: 1 });
        let together = prover.scaled_hidden_states_together(&pair)?.pop().unwrap_or_default();
        case.compare("scaled_sha256", digest(together))?;
    }
    let pass = prover.pass(tokens, tokens.len() - 1, case.text("randomness")?)?;
    case.compare("s_vals", list(pass.s_vals))?;
    let logprob = pass.probabilities.last().map_or(f64::NAN, |p| p.ln());
    let expected = case.float("last_token_logprob")?;
    case.compare_close("last_token_logprob", expected, logprob, LOGPROB_TOLERANCE);
    Ok(())
}

impl fmt::Debug for DeviceProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceProofs").field("device", &self.device).field("plan", &self.plan).finish_non_exhaustive()
    }
}
