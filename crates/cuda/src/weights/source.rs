//! Models by name, and where their tensors come from.

use std::path::Path;

use grail_engine::synthetic::{Spread, SyntheticModel, stream_of};
use grail_engine::weights::read_json;
use grail_engine::{HfTokenizer, Qwen3Config, toy};

use super::TensorFiles;
use super::sweep;
use crate::driver::{DevicePtr, Stream};
use crate::error::{CudaEngineError, CudaError};

/// Puts tensors into device memory, widened to float32 in row-major order.
pub trait TensorSource {
    /// Enqueues the tensor called `name`, which must have `shape`, at `to`.
    ///
    /// # Errors
    /// If there is no such tensor, it has another shape, or it cannot be widened.
    fn place(&mut self, stream: &Stream, name: &str, shape: &[usize], to: DevicePtr) -> Result<(), CudaEngineError>;
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
    /// Returns the model called `name`: `toy`, `synthetic:<shape>:<seed>`, or a folder.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged, or the name is not understood.
    pub fn open(name: &str) -> Result<Self, CudaEngineError> {
        if name == "toy" {
            let tensors = Box::new(TensorFiles::from_bytes(toy::safetensors()?, "model.safetensors.zst")?);
            return Ok(Self { config: toy::config()?, tokenizer: Some(toy::tokenizer()?), tensors });
        }
        if name.starts_with("synthetic:") {
            let model = SyntheticModel::from_name(name)?;
            return Ok(Self { config: model.config.clone(), tokenizer: None, tensors: Box::new(model) });
        }
        Self::from_folder(Path::new(name))
    }

    /// Returns the model of a folder with `config.json`, `tokenizer.json` and `model.safetensors` or its parts.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_folder(folder: &Path) -> Result<Self, CudaEngineError> {
        let config = folder.join("config.json");
        let config = Qwen3Config::from_json(&read_json(&config)?, &config.display().to_string())?;
        let tokenizer = Some(HfTokenizer::from_file(&folder.join("tokenizer.json"))?);
        Ok(Self { config, tokenizer, tensors: Box::new(TensorFiles::from_folder(folder)?) })
    }
}

impl TensorSource for SyntheticModel {
    fn place(&mut self, stream: &Stream, name: &str, shape: &[usize], to: DevicePtr) -> Result<(), CudaEngineError> {
        Ok(fill(stream, to, shape.iter().product(), stream_of(name, self.seed), Spread::of(name))?)
    }
}

impl Stream {
    /// Enqueues filling memory with `count` synthetic weights.
    ///
    /// # Errors
    /// If the device fails.
    pub fn fill_synthetic(&self, to: DevicePtr, count: usize, seed: u64) -> Result<(), CudaError> {
        fill(self, to, count, seed, Spread::Linear)
    }
}

fn fill(stream: &Stream, to: DevicePtr, count: usize, seed: u64, spread: Spread) -> Result<(), CudaError> {
    let is_norm = u32::from(spread == Spread::Norm);
    stream.launch("fill_synthetic", sweep(), &[to.into(), (count as u64).into(), seed.into(), is_norm.into()])
}
