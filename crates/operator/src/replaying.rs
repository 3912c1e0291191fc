//! Finds the model that a tape's rollouts came from.

pub mod shown;

use std::rc::Rc;

use grail_cuda::{TorchNumerics, TorchNumericsNameError};
use grail_engine::CpuEngine;
use grail_miner::ports::{EngineError, GenerateRequest};
use grail_protocol::generation::{GeneratedRollout, ProofPass};
use grail_sim::engine::Generator;
use grail_sim::synthetic::SyntheticModel;
use grail_verify::RecomputeError;

use crate::prover::DeviceProver;
use grail_tape::{Header, Numerics};

/// Something that the replay needs is missing here; no fault of the tape or of this build.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The tape does not name its model, or names one that is not here.
    #[error("the model {0} is not on this machine; name its folder with --model, or replay with --engine recorded")]
    Model(String),
    /// The GPU's engine cannot run that model.
    #[error("cuda cannot run the model {0}; replay with --engine cpu")]
    Engine(String),
    /// Numerics that this build does not have.
    #[error("the tape's proofs: {0}; replay with --engine recorded")]
    Numerics(TorchNumericsNameError),
    /// No GPU, or one that cannot be used.
    #[error("no usable CUDA device ({0}); replay with --engine recorded")]
    Device(String),
}

/// Returns the name of the tape's model.
fn model_of(header: &Header, named: Option<&str>) -> String {
    let implied = match header.engine.as_str() {
        "synthetic" => Some("synthetic formula"),
        "toy" => Some("toy"),
        _ => None,
    };
    let recorded = named.or(implied).or(header.model.as_deref());
    recorded.unwrap_or("(the tape does not name it)").to_owned()
}

/// Returns the tape's model on this processor.
pub fn generator(header: &Header, named: Option<&str>) -> Result<Rc<dyn Generator>, Missing> {
    let model = model_of(header, named);
    match model.as_str() {
        "synthetic formula" => Ok(Rc::new(SyntheticModel::default())),
        "toy" => CpuEngine::toy().map(|engine| Rc::new(engine) as _).map_err(|_| Missing::Model(model)),
        name => {
            let cache = grail_config::hub_cache(&grail_config::process_environment());
            let folder =
                grail_config::model_folder(name, cache.as_deref()).ok_or_else(|| Missing::Model(name.to_owned()))?;
            let engine = CpuEngine::from_folder(&folder).map_err(|_| Missing::Model(name.to_owned()))?;
            Ok(Rc::new(engine))
        }
    }
}

/// A generator that computes again.
pub struct OnProcessor(pub Rc<dyn Generator>);

impl Numerics for OnProcessor {
    fn pass(&mut self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        self.0.pass(tokens, randomness)
    }

    fn generate(&mut self, request: &GenerateRequest) -> Option<Result<Vec<GeneratedRollout>, EngineError>> {
        Some(self.0.generate(request))
    }
}

/// The exact pass on a GPU. Its draws depend on what else is in flight, so it draws nothing again.
pub struct OnGpu(DeviceProver);

impl OnGpu {
    /// Returns the tape's model on the first GPU, with the bits of the tape's numerics.
    pub fn open(header: &Header, named: Option<&str>) -> Result<Self, Missing> {
        let model = model_of(header, named);
        if model == "synthetic formula" {
            return Err(Missing::Engine(model));
        }
        let numerics = header.numerics.as_deref().map_or(Ok(TorchNumerics::default()), str::parse);
        let numerics = numerics.map_err(Missing::Numerics)?;
        let cache = grail_config::hub_cache(&grail_config::process_environment());
        let folder = grail_config::model_folder(&model, cache.as_deref()).map(|folder| folder.display().to_string());
        let is_made_here = model == "toy" || model.starts_with("synthetic:");
        let local = folder.or_else(|| is_made_here.then(|| model.clone())).ok_or(Missing::Model(model))?;
        let prover = DeviceProver::open(&local, 0, numerics);
        Ok(Self(prover.map_err(|error| Missing::Device(format!("{error:#}")))?))
    }
}

impl Numerics for OnGpu {
    fn pass(&mut self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let failed = |error: &dyn std::fmt::Display| RecomputeError { tokens: tokens.len(), why: error.to_string() };
        self.0.pass(tokens, tokens.len(), randomness).map_err(|error| failed(&error))
    }

    fn generate(&mut self, _: &GenerateRequest) -> Option<Result<Vec<GeneratedRollout>, EngineError>> {
        None
    }
}
