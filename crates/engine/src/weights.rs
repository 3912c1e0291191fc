//! Sources of weights: safetensors files, or a formula.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::error::{EngineError, WeightsProblem};

/// Returns a network's tensors by name, each once, widened to float32 in row-major order.
pub trait WeightSource {
    /// Takes the tensor called `name`, which must have `shape`.
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

/// A tensor as its file stores it.
#[derive(Debug)]
struct Tensor {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    widen: Widening,
}

/// Makes float32 of the numbers in a tensor's bytes, each rounded once if it does not fit.
type Widening = fn(&[u8]) -> Vec<f32>;

impl Checkpoint {
    /// Reads one safetensors file from memory; `origin` says in errors where it came from.
    ///
    /// # Errors
    /// [`EngineError::Weights`] if the bytes are no such file.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self, EngineError> {
        let fail = |source| EngineError::Weights { origin: origin.to_string(), source };
        let file = SafeTensors::deserialize(bytes).map_err(|error| fail(error.into()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let widen = widening(view.dtype()).map_err(fail)?;
            tensors
                .insert(name.to_string(), Tensor { shape: view.shape().to_vec(), bytes: view.data().to_vec(), widen });
        }
        Ok(Self { origin: origin.to_string(), tensors })
    }

    /// Reads `model.safetensors` of a folder, or the parts that its `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn from_folder(folder: &Path) -> Result<Self, EngineError> {
        let index = folder.join("model.safetensors.index.json");
        let whole = folder.join("model.safetensors");
        if whole.exists() || !index.exists() {
            return Self::from_file(&whole);
        }
        let mut checkpoint = Self { origin: folder.display().to_string(), tensors: BTreeMap::new() };
        for part in parts(&read_json(&index)?, &index.display().to_string())? {
            checkpoint.tensors.extend(Self::from_file(&folder.join(part))?.tensors);
        }
        Ok(checkpoint)
    }

    fn from_file(path: &Path) -> Result<Self, EngineError> {
        Self::from_bytes(&read_at_most(usize::MAX, path)?, &path.display().to_string())
    }
}

impl WeightSource for Checkpoint {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let (origin, name) = (self.origin.clone(), name.to_string());
        let Some(tensor) = self.tensors.remove(&name) else {
            return Err(EngineError::TensorMissing { origin, name });
        };
        if tensor.shape != shape {
            let (found, expected) = (tensor.shape, shape.to_vec());
            return Err(EngineError::TensorShape { origin, name, found, expected });
        }
        Ok((tensor.widen)(&tensor.bytes))
    }
}

fn widening(format: Dtype) -> Result<Widening, WeightsProblem> {
    Ok(match format {
        Dtype::BF16 => |bytes| each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F16 => |bytes| each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::F32 => |bytes| each(bytes, f32::from_le_bytes),
        Dtype::F64 => |bytes| each(bytes, |b| f64::from_le_bytes(b) as f32),
        Dtype::F8_E4M3 => |bytes| each(bytes, |[b]| float8(b)),
        Dtype::U8 => |bytes| each(bytes, |[b]| f32::from(b)),
        Dtype::U16 => |bytes| each(bytes, |b| f32::from(u16::from_le_bytes(b))),
        Dtype::U32 => |bytes| each(bytes, |b| u32::from_le_bytes(b) as f32),
        Dtype::I16 => |bytes| each(bytes, |b| f32::from(i16::from_le_bytes(b))),
        Dtype::I32 => |bytes| each(bytes, |b| i32::from_le_bytes(b) as f32),
        Dtype::I64 => |bytes| each(bytes, |b| i64::from_le_bytes(b) as f32),
        other => return Err(WeightsProblem::Format(other)),
    })
}

/// Returns one number for each `N` bytes.
fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|chunk| number(*chunk)).collect()
}

/// Returns a number with 4 bits of exponent and 3 of mantissa. No number is infinite; all ones are no number.
fn float8(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 3 & 15), f32::from(bits & 7));
    let magnitude = match (exponent, bits & 7) {
        // Candle gives it this payload, and no sign.
        (15, 7) => return f32::from_bits(0x7fff_e000),
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (8.0 + mantissa) * 2f32.powi(exponent - 10),
    };
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Longest JSON of a model folder: its configuration, tokenizer and index. Qwen3's tokenizer has 11 MB.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// Reads a JSON file of a model folder, of at most [`JSON_BYTES_MAX`] bytes.
///
/// # Errors
/// [`EngineError::File`] with the path.
pub fn read_json(path: &Path) -> Result<Vec<u8>, EngineError> {
    read_at_most(JSON_BYTES_MAX, path)
}

fn read_at_most(limit: usize, path: &Path) -> Result<Vec<u8>, EngineError> {
    let read = || {
        let file = File::open(path)?;
        let mut content = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0).min(limit));
        file.take((limit as u64).saturating_add(1)).read_to_end(&mut content)?;
        if content.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(content) }
    };
    read().map_err(|source| EngineError::File { path: path.to_path_buf(), source })
}

/// Returns the file names in a sharded model's index, each once. They must be plain names: an index that leads out of
/// its folder is damaged or hostile.
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
        Some(name) => Err(fail(format!("{name:?} is not the name of a file next to it"))),
        None => Ok(names),
    }
}
