//! Tensors of safetensors files, mapped into memory and copied to the device piece by piece.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use grail_engine::EngineError;
use grail_engine::weights::{parts, read_json};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::source::TensorSource;
use super::sweep;
use crate::driver::{Buffer, DevicePtr, Stream};
use crate::error::{CudaEngineError, CudaError};

/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 64 << 20;

/// The tensors of a file, or of all parts of a sharded model.
pub struct TensorFiles {
    origin: String,
    files: Vec<Content>,
    tensors: BTreeMap<String, Place>,
    staging: Option<Buffer<u8>>,
}

/// A file's bytes.
enum Content {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

/// Location and type of a tensor.
struct Place {
    file: usize,
    bytes: std::ops::Range<usize>,
    shape: Vec<usize>,
    kind: Dtype,
}

impl TensorFiles {
    /// Returns the tensors of a file in memory; `origin` says in errors where it came from.
    ///
    /// # Errors
    /// If it is not a safetensors file.
    pub fn from_bytes(bytes: Vec<u8>, origin: &str) -> Result<Self, CudaEngineError> {
        let mut files = Self::empty(origin.to_owned());
        files.add(Content::Owned(bytes), Path::new(origin))?;
        Ok(files)
    }

    /// `model.safetensors` of a folder, or the parts that its index names.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub fn from_folder(folder: &Path) -> Result<Self, CudaEngineError> {
        let (index, whole) = (folder.join("model.safetensors.index.json"), folder.join("model.safetensors"));
        let mut files = Self::empty(folder.display().to_string());
        let paths: Vec<PathBuf> = if whole.exists() || !index.exists() {
            vec![whole]
        } else {
            parts(&read_json(&index)?, &index.display().to_string())?
                .into_iter()
                .map(|part| folder.join(part))
                .collect()
        };
        for path in paths {
            files.add(Content::Mapped(map(&path)?), &path)?;
        }
        Ok(files)
    }

    fn empty(origin: String) -> Self {
        Self { origin, files: Vec::new(), tensors: BTreeMap::new(), staging: None }
    }

    fn add(&mut self, content: Content, path: &Path) -> Result<(), CudaError> {
        let bytes = content.bytes();
        let damaged = |problem: String| CudaError::WeightFile { path: path.to_owned(), problem };
        let found = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let file = self.files.len();
        for (name, tensor) in found.iter() {
            // A tensor's data is a part of the file's bytes, so its distance from their start is its place.
            let start = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
            let bytes = start..start + tensor.data().len();
            let place = Place { file, bytes, shape: tensor.shape().to_vec(), kind: tensor.dtype() };
            self.tensors.insert(name.to_owned(), place);
        }
        self.files.push(content);
        Ok(())
    }

    fn staging(&mut self, stream: &Stream) -> Result<DevicePtr, CudaError> {
        if self.staging.is_none() {
            self.staging = Some(Buffer::zeroed(stream.device(), PIECE_BYTES, "loading weights")?);
        }
        Ok(self.staging.as_ref().map_or(DevicePtr::NONE, Buffer::address))
    }
}

impl TensorSource for TensorFiles {
    fn place(&mut self, stream: &Stream, name: &str, shape: &[usize], to: DevicePtr) -> Result<(), CudaEngineError> {
        let staging = self.staging(stream)?;
        let Some(place) = self.tensors.get(name) else {
            return Err(EngineError::TensorMissing { origin: self.origin.clone(), name: name.to_owned() }.into());
        };
        if place.shape != shape {
            let (found, expected) = (place.shape.clone(), shape.to_vec());
            let (origin, name) = (self.origin.clone(), name.to_owned());
            return Err(EngineError::TensorShape { origin, name, found, expected }.into());
        }
        let kernel = match place.kind {
            Dtype::F32 => None,
            Dtype::BF16 => Some("widen_bfloat16"),
            Dtype::F16 => Some("widen_float16"),
            other => {
                let (name, found) = (name.to_owned(), format!("{other:?}"));
                return Err(CudaError::WeightType { name, found }.into());
            }
        };
        let bytes = &self.files[place.file].bytes()[place.bytes.clone()];
        let mut done = 0;
        for piece in bytes.chunks(PIECE_BYTES) {
            let Some(kernel) = kernel else {
                stream.upload(to.plus::<u8>(done), piece)?;
                done += piece.len();
                continue;
            };
            stream.upload(staging, piece)?;
            let count = (piece.len() / 2) as u64;
            stream.launch(kernel, sweep(), &[staging.into(), to.plus::<f32>(done).into(), count.into()])?;
            done += piece.len() / 2;
        }
        Ok(())
    }
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[allow(unsafe_code, reason = "a mapping is the only way to read eight gigabytes without holding them twice")]
fn map(path: &Path) -> Result<Mmap, EngineError> {
    let unreadable = |source| EngineError::File { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(unreadable)?;
    // SAFETY: model files are not written while they are loaded; anyone who cuts one short under us ends the process.
    unsafe { Mmap::map(&file) }.map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_tensors_are_found_at_their_place() {
        let files = TensorFiles::from_bytes(grail_engine::toy::safetensors().unwrap(), "test").unwrap();
        let place = &files.tensors["model.embed_tokens.weight"];
        assert_eq!((place.shape.as_slice(), place.kind), ([512, 128].as_slice(), Dtype::BF16));
        assert_eq!(place.bytes.len(), 512 * 128 * 2);
        let mut widened = grail_engine::toy::weights().unwrap();
        let expected =
            grail_engine::weights::WeightSource::take(&mut widened, "model.embed_tokens.weight", &[512, 128]);
        let bytes = &files.files[0].bytes()[place.bytes.clone()];
        let ours = bytes.chunks(2).map(|pair| f32::from_bits(u32::from(u16::from_le_bytes([pair[0], pair[1]])) << 16));
        assert!(ours.eq(expected.unwrap()));
    }

    #[test]
    fn a_file_that_is_no_safetensors_file_is_refused_by_name() {
        let error = TensorFiles::from_bytes(vec![1; 100], "broken.safetensors").err().unwrap();
        assert!(error.to_string().contains("broken.safetensors"), "{error}");
    }
}
