//! Golden proofs: what the reference stack computed on one model of GPU, as far as this machine can compare it.

use grail_engine::{CpuEngine, EngineError, Qwen3Config};
use grail_protocol::python_json::Value;
use grail_protocol::randomness::hash_u32s;

use super::GoldenError;
use super::case::{Case, VectorFile, object};
use super::randomness::lcg_tokens;
use super::report::FileReport;

/// How every golden proof starts to say what it is.
pub(super) const WHAT: &str = "golden proof";

pub(super) const TOY: &str = "toy-model";
pub(super) const SYNTHETIC: &str = "synthetic-qwen3-4b-";

/// A CPU sums the products in another order than the GPU's kernels, so hidden states agree only to a tolerance.
const CPU_TOLERANCE: f64 = 1e-4;
/// Sketches and the hash over scaled hidden states admit only the recording GPU's own bits.
const BITS_OF_THE_GPU: [&str; 2] = ["scaled_sha256", "s_vals"];
pub(super) const RECORDED_WITH: [&str; 8] =
    ["what", "model", "weight_seed", "gpu", "compute_capability", "torch", "transformers", "cublas"];
/// Figures of the hidden states.
pub(super) const HIDDEN: [&str; 3] = ["hidden_first8", "hidden_last8", "hidden_row_l2"];

pub(super) fn golden_proof(file: &VectorFile) -> Result<FileReport, GoldenError> {
    match file.field("model")?.as_text() {
        Some(TOY) => toy_proof(file),
        Some(model) if model.starts_with(SYNTHETIC) => Ok(FileReport::not_comparable(file.name(), "a CUDA device")),
        _ => Err(file.malformed(format!("`model` is neither {TOY} nor {SYNTHETIC}<seed>"))),
    }
}

fn toy_proof(file: &VectorFile) -> Result<FileReport, GoldenError> {
    let engine = CpuEngine::toy().map_err(|error| file.malformed(error.to_string()))?;
    let config = engine.network().config();
    file.single_case(|case| {
        case.skip(&RECORDED_WITH);
        case.skip(&BITS_OF_THE_GPU);
        case.compare("config", shape(config))?;
        let tokens = lcg_tokens(case.int("token_lcg_seed")?, case.int("length")?, config.vocab_size as u64);
        case.compare("tokens_sha256", hex::encode(hash_u32s(&tokens)))?;
        match forward(&engine, &tokens, case.text("randomness")?) {
            Ok((hidden, logprob)) => compare_forward(case, &hidden, logprob, config.hidden_size),
            Err(error) => {
                case.skip(&HIDDEN);
                case.skip(&["last_token_logprob"]);
                case.compare_values("forward", &Value::Null, &error.to_string().into());
                Ok(())
            }
        }
    })
}

/// Returns the hidden states, row by row, and the log probability of the last token.
fn forward(engine: &CpuEngine, tokens: &[u32], randomness: &str) -> Result<(Vec<f32>, f64), EngineError> {
    let hidden = engine.hidden_states(tokens)?;
    let probabilities = engine.proof_pass(tokens, randomness)?.probabilities;
    Ok((hidden, probabilities.last().map_or(f64::NAN, |p| p.ln())))
}

fn compare_forward(case: &mut Case, hidden: &[f32], logprob: f64, hidden_size: usize) -> Result<(), GoldenError> {
    let hidden: Vec<f64> = hidden.iter().copied().map(f64::from).collect();
    let rows = hidden.len() / hidden_size;
    let norms = hidden.chunks_exact(hidden_size).map(|row| row.iter().map(|h| h * h).sum::<f64>().sqrt());
    let norms: Vec<f64> = norms.step_by((rows / 16).max(1)).collect();
    case.compare_all_close("hidden_first8", &hidden[..8], CPU_TOLERANCE)?;
    case.compare_all_close("hidden_last8", &hidden[hidden.len() - 8..], CPU_TOLERANCE)?;
    case.compare_all_close("hidden_row_l2", &norms, CPU_TOLERANCE)?;
    let expected = case.float("last_token_logprob")?;
    case.compare_close("last_token_logprob", expected, logprob, CPU_TOLERANCE);
    Ok(())
}

pub(super) fn shape(config: &Qwen3Config) -> Value {
    object([
        ("vocab_size", config.vocab_size.into()),
        ("hidden_size", config.hidden_size.into()),
        ("intermediate_size", config.intermediate_size.into()),
        ("num_hidden_layers", config.layers.into()),
        ("num_attention_heads", config.heads.into()),
        ("num_key_value_heads", config.key_value_heads.into()),
        ("head_dim", config.head_dim.into()),
        ("rope_theta", config.rope_theta.into()),
        ("rms_norm_eps", config.rms_norm_eps.into()),
        ("tie_word_embeddings", config.tied_embeddings.into()),
    ])
}
