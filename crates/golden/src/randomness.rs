//! Vectors of the pseudorandom function and of what is drawn with it.

use grail_protocol::randomness;
use sha2::{Digest, Sha256};

use super::GoldenError;
use super::case::{VectorFile, list, outcome};
use super::report::FileReport;

pub(super) fn prf(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let label = case.bytes("label")?;
        let parts = case.byte_strings("parts")?;
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let length = case.int("out_bytes")?;
        case.compare("out", outcome(randomness::prf(&label, &parts, length).map(hex::encode)))
    })
}

pub(super) fn r_vec(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let vector = randomness::r_vec(case.text("randomness")?, case.int("d_model")?);
        let recorded = case.list("first")?.len();
        let first = vector.as_ref().map(|v| list(v.iter().copied().take(recorded)));
        case.compare("first", outcome(first))?;
        let hash = vector.as_ref().map(|v| hex::encode(Sha256::digest(big_endian(v))));
        case.compare("sha256_be_i32", outcome(hash))
    })
}

pub(super) fn indices(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let tokens = lcg_tokens(case.int("tokens_lcg_seed")?, case.int("seq_len")?, QWEN3_VOCABULARY);
        let recorded = case.list("tokens_head")?.len();
        case.compare("tokens_head", list(tokens.iter().copied().take(recorded)))?;
        case.compare("tokens_sha256", hex::encode(randomness::hash_u32s(&tokens)))?;
        let opened = randomness::open(&tokens, case.text("randomness")?, case.int("k")?);
        case.compare("indices", outcome(opened.map(list)))
    })
}

pub(super) fn window_randomness(file: &VectorFile) -> Result<FileReport, GoldenError> {
    file.each_case(|case| {
        let block_hash = case.text("block_hash")?;
        let beacon = case.text("drand_randomness")?;
        case.compare("miner_combined", randomness::window_randomness(block_hash, Some(beacon)))?;
        case.compare("validator_no_drand", randomness::challenge_randomness(block_hash, None))
    })
}

/// Token ids that the vectors of indices were drawn from.
const QWEN3_VOCABULARY: u64 = 151_669;

/// Returns the tokens that vectors name by a seed: x ← x·6364136223846793005 + 1442695040888963407, token = (x ≫ 33)
/// mod n.
pub(super) fn lcg_tokens(seed: u64, count: usize, vocabulary: u64) -> Vec<u32> {
    let next = |x: &u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(seed), next).skip(1).take(count).map(|x| ((x >> 33) % vocabulary) as u32).collect()
}

fn big_endian(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}
