//! Where a network's weights come from: safetensors files, or a formula.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::error::EngineError;

/// Gives out a network's tensors by name, each once, widened to float32 in row-major order.
pub trait WeightSource {
    /// Take the tensor called `name`, which must have `shape`.
    ///
    /// # Errors
    /// If there is no such tensor, it has another shape, or it cannot be widened.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError>;
}

/// Tensors of a safetensors file, or of all parts of a sharded model, in the type they are stored in.
///
/// They are widened one by one as they are taken, so that a model in bfloat16 is never in memory twice over.
#[derive(Debug)]
pub struct Checkpoint {
    origin: String,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Read one safetensors file from memory; `origin` says in errors where it came from.
    ///
    /// # Errors
    /// [`EngineError::Weights`] if the bytes are no such file.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self, EngineError> {
        let origin = origin.to_string();
        match candle_core::safetensors::load_buffer(bytes, &Device::Cpu) {
            Ok(tensors) => Ok(Self { origin, tensors: tensors.into_iter().collect() }),
            Err(source) => Err(EngineError::Weights { origin, source }),
        }
    }

    /// Read `model.safetensors` of a folder, or the parts that its `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn from_folder(folder: &Path) -> Result<Self, EngineError> {
        let index = folder.join("model.safetensors.index.json");
        let whole = folder.join("model.safetensors");
        if whole.exists() || !index.exists() {
            return Self::from_bytes(&read(&whole)?, &whole.display().to_string());
        }
        let mut checkpoint = Self { origin: folder.display().to_string(), tensors: BTreeMap::new() };
        for part in parts(&read(&index)?, &index.display().to_string())? {
            let path = folder.join(part);
            checkpoint.tensors.extend(Self::from_bytes(&read(&path)?, &path.display().to_string())?.tensors);
        }
        Ok(checkpoint)
    }
}

impl WeightSource for Checkpoint {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let (origin, name) = (self.origin.clone(), name.to_string());
        let Some(tensor) = self.tensors.remove(&name) else {
            return Err(EngineError::TensorMissing { origin, name });
        };
        if tensor.dims() != shape {
            let (found, expected) = (tensor.dims().to_vec(), shape.to_vec());
            return Err(EngineError::TensorShape { origin, name, found, expected });
        }
        let widened = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1());
        widened.map_err(|source| EngineError::Weights { origin: format!("{origin}, tensor {name}"), source })
    }
}

/// Read a file of a model folder.
///
/// # Errors
/// [`EngineError::File`] with the path.
pub fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|source| EngineError::File { path: path.to_path_buf(), source })
}

/// The file names in a sharded model's index, each once. They must be plain names: an index that leads out of its
/// folder is damaged or hostile.
///
/// # Errors
/// [`EngineError::WeightIndex`] if the index is malformed or names a file outside its folder.
pub fn parts(json: &[u8], origin: &str) -> Result<BTreeSet<String>, EngineError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let fail = |problem| EngineError::WeightIndex { origin: origin.to_string(), problem };
    let index: Index = serde_json::from_slice(json).map_err(|e| fail(format!("malformed: {e}")))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    match names.iter().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(fail(format!("{name:?} is not the name of a file beside it"))),
        None => Ok(names),
    }
}
