//! Vectors of what the protocol takes from CPython: its random generator and its JSON text.

use grail_protocol::python_json::Value;
use grail_protocol::python_random::PythonRandom;
use sha2::{Digest, Sha256};

use super::GoldenError;
use super::case::{VectorFile, list};
use super::report::FileReport;

pub(super) fn cpython_random(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let mut random = PythonRandom::from_bytes(&case.bytes("seed_bytes")?);
        case.compare("random3", list((0..3).map(|_| random.random())))?;
        case.compare("randint_4_15_x5", list((0..5).map(|_| random.int(4, 15) as i32)))?;
        case.compare("sample_1_16_k3", list(random.sample(15, 3).into_iter().map(|i| i + 1)))?;
        case.compare("sample_1000_k16", list(random.sample(1000, 16)))?;
        let mut shuffled: Vec<u32> = (0..20).collect();
        random.shuffle(&mut shuffled);
        case.compare("shuffle20", list(shuffled))?;
        case.compare("getrandbits32", random.bits(32))?;
        let seed = case.text("seed_int")?;
        let seed = seed.parse().map_err(|_| case.unreadable("seed_int", "is no 64-bit integer"))?;
        let sample = PythonRandom::from_int(seed).sample(40, 4);
        case.compare("sample_g0_g39_k4", list(sample.into_iter().map(|i| format!("g{i}"))))
    })
}

pub(super) fn canonical_json(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let text: String = Value::canonical_text(case.value("value")?);
        case.compare("sha256", hex::encode(Sha256::digest(&text)))?;
        case.compare("canonical", text)
    })
}
