//! Model folders: whole, in parts, and damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use grail_engine::weights::{Checkpoint, WeightSource};
use grail_engine::{CpuEngine, EngineError};
use proptest::prelude::*;

use crate::fixtures::{ENGINE, RANDOMNESS, path};

/// A model folder of the test called `name`, removed at the end.
struct Folder(PathBuf);

impl Folder {
    /// The rehearsal model as Hugging Face would publish it.
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("grail-engine-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["config.json", "tokenizer.json"] {
            std::fs::copy(path("model").join(file), folder.join(file)).unwrap();
        }
        let folder = Self(folder);
        folder.write("model.safetensors", &safetensors());
        folder
    }

    fn write(&self, file: &str, content: &[u8]) {
        std::fs::write(self.0.join(file), content).unwrap();
    }

    fn save(&self, file: &str, tensors: &BTreeMap<String, Tensor>) {
        candle_core::safetensors::save(&tensors.clone().into_iter().collect(), self.0.join(file)).unwrap();
    }

    fn error(&self) -> EngineError {
        CpuEngine::from_folder(&self.0).unwrap_err()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn safetensors() -> Vec<u8> {
    zstd::decode_all(std::fs::read(path("model/model.safetensors.zst")).unwrap().as_slice()).unwrap()
}

fn tensors() -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load_buffer(&safetensors(), &Device::Cpu).unwrap().into_iter().collect()
}

fn assert_same_as_rehearsal(engine: &CpuEngine) {
    let tokens = [1, 2, 3, 500, 4];
    assert_eq!(engine.proof_pass(&tokens, RANDOMNESS).unwrap(), ENGINE.proof_pass(&tokens, RANDOMNESS).unwrap());
    assert_eq!(engine.limits(), ENGINE.limits());
    assert_eq!(engine.hidden_size(), 128);
}

#[test]
fn a_folder_gives_the_engine_that_is_embedded() {
    assert_same_as_rehearsal(&CpuEngine::from_folder(&Folder::new("whole").0).unwrap());
}

#[test]
fn a_model_in_parts_is_put_together() {
    let folder = Folder::new("parts");
    std::fs::remove_file(folder.0.join("model.safetensors")).unwrap();
    let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) =
        tensors().into_iter().partition(|(name, _)| name.len().is_multiple_of(2));
    let part = |name: &String| {
        if name.len().is_multiple_of(2) { "part-1.safetensors" } else { "part-2.safetensors" }
    };
    let weight_map: BTreeMap<_, _> = first.keys().chain(second.keys()).map(|name| (name.clone(), part(name))).collect();
    folder.save("part-1.safetensors", &first);
    folder.save("part-2.safetensors", &second);
    let index = serde_json::json!({"metadata": {}, "weight_map": weight_map});
    folder.write("model.safetensors.index.json", index.to_string().as_bytes());
    assert_same_as_rehearsal(&CpuEngine::from_folder(&folder.0).unwrap());

    std::fs::remove_file(folder.0.join("part-2.safetensors")).unwrap();
    assert!(folder.error().to_string().contains("part-2.safetensors"));
    folder.write("model.safetensors.index.json", br#"{"weight_map": {"a": "../outside.safetensors"}}"#);
    assert!(folder.error().to_string().contains("outside"));
    folder.write("model.safetensors.index.json", b"[");
    assert!(matches!(folder.error(), EngineError::WeightIndex { .. }));
}

#[test]
fn a_folder_that_lacks_a_file_is_refused_with_its_name() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = Folder::new(&format!("without-{file}"));
        std::fs::remove_file(folder.0.join(file)).unwrap();
        assert!(folder.error().to_string().contains(file));
    }
    assert!(CpuEngine::from_folder(Path::new("/no/such/folder")).is_err());
}

#[test]
fn tensors_that_do_not_fit_are_refused_with_their_name() {
    let name = "model.layers.2.mlp.down_proj.weight";
    let folder = Folder::new("misfit");
    let mut missing = tensors();
    let tensor = missing.remove(name).unwrap();
    folder.save("model.safetensors", &missing);
    assert!(matches!(folder.error(), EngineError::TensorMissing { name: found, .. } if found == name));
    missing.insert(name.to_string(), tensor.t().unwrap().contiguous().unwrap());
    folder.save("model.safetensors", &missing);
    let error = folder.error().to_string();
    assert!(error.contains(name) && error.contains("[512, 128]") && error.contains("[128, 512]"), "{error}");
}

#[test]
fn a_tokenizer_of_another_network_is_refused() {
    let folder = Folder::new("tokenizer");
    let config = std::fs::read_to_string(path("model/config.json")).unwrap();
    let smaller = config.replace("\"vocab_size\": 512", "\"vocab_size\": 400").replace("511", "0").replace("509", "0");
    folder.write("config.json", smaller.as_bytes());
    assert!(matches!(folder.error(), EngineError::Tokenizer { .. }));
}

#[test]
fn other_number_formats_are_widened() {
    for (format, tolerance) in [(DType::F32, 0.0), (DType::F16, 1e-3), (DType::BF16, 1e-2), (DType::F64, 0.0)] {
        let values = [0.5f32, -1.7, 3.25, 0.0];
        let tensor = Tensor::from_slice(&values, (2, 2), &Device::Cpu).unwrap().to_dtype(format).unwrap();
        let folder = Folder::new(&format!("format-{}", format.as_str()));
        folder.save("model.safetensors", &BTreeMap::from([("x".to_string(), tensor)]));
        let widened = Checkpoint::from_folder(&folder.0).unwrap().take("x", &[2, 2]).unwrap();
        assert!(widened.iter().zip(values).all(|(a, b)| (a - b).abs() <= tolerance), "{format:?}: {widened:?}");
    }
}

proptest! {
    #[test]
    fn damaged_weights_are_refused_or_read_but_never_panic(
        cut in 0usize..400,
        flips in prop::collection::vec((0usize..400, any::<u8>()), 0..4),
    ) {
        let tensor = Tensor::from_slice(&[1f32, 2.0], 2, &Device::Cpu).unwrap();
        let mut bytes = safetensors_of(&tensor);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut % bytes.len()));
        if let Ok(mut checkpoint) = Checkpoint::from_bytes(&bytes, "damaged") {
            let _ = checkpoint.take("x", &[2]);
        }
    }
}

/// A safetensors file of one tensor, `x`, of two float32.
fn safetensors_of(tensor: &Tensor) -> Vec<u8> {
    let header = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let values: Vec<f32> = tensor.to_vec1().unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
