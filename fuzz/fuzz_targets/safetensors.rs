//! A file of weights and a model's configuration: both readers of weights take it or both refuse it.
#![no_main]

use grail_engine::Qwen3Config;
use grail_cuda::weights::TensorFiles;
use grail_engine::weights::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let file = match how % 3 {
        0 => rest.to_vec(),
        // A header with its right length before it.
        1 => [&(rest.len() as u64).to_le_bytes(), rest].concat(),
        _ => {
            let _ = Qwen3Config::from_json(rest, "fuzz");
            return;
        }
    };
    let mapped = TensorFiles::from_bytes(file.clone(), "fuzz").is_ok();
    // The CPU's reader knows fewer types of numbers.
    assert!(mapped || Checkpoint::from_bytes(&file, "fuzz").is_err(), "one reader refuses what the other takes");
});
