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
    /// Returns the toy model as Hugging Face would publish it.
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

fn assert_same_as_toy(engine: &CpuEngine) {
    let tokens = [1, 2, 3, 500, 4];
    assert_eq!(engine.proof_pass(&tokens, RANDOMNESS).unwrap(), ENGINE.proof_pass(&tokens, RANDOMNESS).unwrap());
    assert_eq!(engine.limits(), ENGINE.limits());
    assert_eq!(engine.hidden_size(), 128);
}

#[test]
fn a_folder_gives_the_engine_that_is_embedded() {
    assert_same_as_toy(&CpuEngine::from_folder(&Folder::new("whole").0).unwrap());
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
    assert_same_as_toy(&CpuEngine::from_folder(&folder.0).unwrap());

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
fn json_of_a_model_has_a_limit() {
    for file in ["config.json", "tokenizer.json"] {
        let folder = Folder::new(&format!("long-{file}"));
        let long = std::fs::OpenOptions::new().write(true).open(folder.0.join(file)).unwrap();
        long.set_len(1 << 40).unwrap();
        let error = folder.error().to_string();
        assert!(error.contains(file) && error.contains("file too large"), "{error}");
    }
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

/// Bit patterns of every kind of number: all of 16 bits or fewer, and a sweep of the longer ones.
fn patterns(bytes: usize) -> Vec<u8> {
    match bytes {
        1 => (0..=u8::MAX).collect(),
        2 => (0..=u16::MAX).flat_map(u16::to_le_bytes).collect(),
        4 => (0..=u16::MAX).flat_map(|n| (u32::from(n) * 65_537).to_le_bytes()).collect(),
        _ => (0..=u16::MAX).flat_map(|n| u64::from(n).wrapping_mul(0x0001_0003_0007_000f).to_le_bytes()).collect(),
    }
}

#[test]
fn other_number_formats_are_widened_to_the_bits_that_candle_gives() {
    let formats = [("BF16", 2), ("F16", 2), ("F32", 4), ("F64", 8), ("F8_E4M3", 1), ("U8", 1), ("U16", 2), ("U32", 4)];
    for (format, size) in formats.into_iter().chain([("I16", 2), ("I32", 4), ("I64", 8)]) {
        let content = patterns(size);
        let shape = content.len() / size;
        let file = safetensors_of(format, &[shape], &content);
        let ours = Checkpoint::from_bytes(&file, format).unwrap().take("x", &[shape]).unwrap();
        let theirs = candle_core::safetensors::load_buffer(&file, &Device::Cpu).unwrap().remove("x").unwrap();
        let theirs: Vec<f32> = theirs.to_dtype(DType::F32).unwrap().to_vec1().unwrap();
        let differs = ours.iter().zip(&theirs).position(|(ours, theirs)| ours.to_bits() != theirs.to_bits());
        assert_eq!(differs.map(|at| (ours[at].to_bits(), theirs[at].to_bits())), None, "{format}");
        assert_eq!(ours.len(), theirs.len(), "{format}");
    }
}

#[test]
fn unusable_files_are_refused_with_candles_error() {
    let logical = safetensors_of("BOOL", &[2], &[0, 1]);
    let long = safetensors_of("F32", &[3], &[0; 8]);
    for file in [&logical[..], &long[..], &logical[..20], b"", b"nonsense", b"nonsense and more", &[1; 100]] {
        let ours = Checkpoint::from_bytes(file, "w").unwrap_err().to_string();
        let theirs = candle_core::safetensors::load_buffer(file, &Device::Cpu).unwrap_err();
        assert_eq!(ours, format!("w: {theirs}; the file is damaged or incomplete: download the model again"));
    }
}

proptest! {
    #[test]
    fn damaged_weights_are_refused_or_read_but_never_panic(
        cut in 0usize..400,
        flips in prop::collection::vec((0usize..400, any::<u8>()), 0..4),
    ) {
        let mut bytes = safetensors_of("F32", &[2], &[0, 0, 128, 63, 0, 0, 0, 64]);
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

/// Returns a safetensors file of one tensor, `x`.
fn safetensors_of(format: &str, shape: &[usize], content: &[u8]) -> Vec<u8> {
    let header = format!(r#"{{"x":{{"dtype":"{format}","shape":{shape:?},"data_offsets":[0,{}]}}}}"#, content.len());
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(content);
    bytes
}
