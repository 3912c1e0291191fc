//! Models by name, and where their tensors come from.

use std::path::Path;

use grail_engine::synthetic::{Spread, SyntheticModel, stream};
use grail_engine::weights::read;
use grail_engine::{HfTokenizer, Qwen3Config, rehearsal};

use super::TensorFiles;
use super::sweep;
use crate::driver::{Address, Queue};
use crate::error::{CudaEngineError, CudaError};

/// Puts tensors into device memory, widened to float32 in row-major order.
pub trait TensorSource {
    /// Put in the tensor called `name`, which must have `shape`, at `to`.
    ///
    /// # Errors
    /// If there is no such tensor, it has another shape, or it cannot be widened.
    fn place(&mut self, queue: &Queue, name: &str, shape: &[usize], to: Address) -> Result<(), CudaEngineError>;
}

/// A model that can be brought onto a device.
pub struct Model {
    /// Its shape.
    pub config: Qwen3Config,
    /// Its tokenizer; synthetic models have none.
    pub tokenizer: Option<HfTokenizer>,
    /// Its tensors.
    pub tensors: Box<dyn TensorSource>,
}

impl Model {
    /// The model called `name`: `rehearsal`, `synthetic:<shape>:<seed>`, or a folder.
    ///
    /// # Errors
    /// Where a file cannot be read or is damaged, or the name is not understood.
    pub fn open(name: &str) -> Result<Self, CudaEngineError> {
        if name == "rehearsal" {
            let tensors = Box::new(TensorFiles::from_bytes(rehearsal::safetensors()?, "model.safetensors.zst")?);
            return Ok(Self { config: rehearsal::config()?, tokenizer: Some(rehearsal::tokenizer()?), tensors });
        }
        if name.starts_with("synthetic:") {
            let model = SyntheticModel::from_name(name)?;
            return Ok(Self { config: model.config.clone(), tokenizer: None, tensors: Box::new(model) });
        }
        Self::from_folder(Path::new(name))
    }

    /// The model of a folder with `config.json`, `tokenizer.json` and `model.safetensors` or its parts.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_folder(folder: &Path) -> Result<Self, CudaEngineError> {
        let config = folder.join("config.json");
        let config = Qwen3Config::from_json(&read(&config)?, &config.display().to_string())?;
        let tokenizer = Some(HfTokenizer::from_file(&folder.join("tokenizer.json"))?);
        Ok(Self { config, tokenizer, tensors: Box::new(TensorFiles::from_folder(folder)?) })
    }
}

impl TensorSource for SyntheticModel {
    fn place(&mut self, queue: &Queue, name: &str, shape: &[usize], to: Address) -> Result<(), CudaEngineError> {
        Ok(fill(queue, to, shape.iter().product(), stream(name, self.seed), Spread::of(name))?)
    }
}

impl Queue {
    /// Put in filling memory with `count` synthetic weights.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn fill_synthetic(&self, to: Address, count: usize, seed: u64) -> Result<(), CudaError> {
        fill(self, to, count, seed, Spread::Linear)
    }
}

fn fill(queue: &Queue, to: Address, count: usize, stream: u64, spread: Spread) -> Result<(), CudaError> {
    let is_norm = u32::from(spread == Spread::Norm);
    queue.launch("fill_synthetic", sweep(), &[to.into(), (count as u64).into(), stream.into(), is_norm.into()])
}
