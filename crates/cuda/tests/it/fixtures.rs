//! The device that the tests share, and prompts to work on.

use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use grail_cuda::driver::device_count;
use grail_cuda::engine::Ticket;
use grail_cuda::{CudaEngine, CudaEngineError, GroupWork};
use grail_engine::CpuEngine;
use grail_protocol::generation::{GeneratedRollout, StreamKey, Tokenizer};
use serde_json::Value;

/// Most new tokens that the tests ask for; the toy model needs fewer.
pub(crate) const NEW_TOKENS_MAX: usize = 400;
/// Long enough for any answer of the engine; only a hang takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Projection randomness of the golden window.
pub(crate) const RANDOMNESS: &str = "30e142da1f30cc39053d643ada173ec47cbff74c71776a4422fba989d90685d0";
/// The CPU engine of the toy model, loaded once.
pub(crate) static CPU: LazyLock<CpuEngine> = LazyLock::new(|| CpuEngine::toy().unwrap());

/// Returns the right to use the first device, if there is one: some tests take all of its memory, or break it.
pub(crate) fn device() -> Option<MutexGuard<'static, ()>> {
    static DEVICE: Mutex<()> = Mutex::new(());
    (device_count() > 0).then(|| DEVICE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn json(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns the two prompts of the golden window, and one of another problem.
pub(crate) fn prompts() -> Vec<Vec<u32>> {
    let prompt = |rollout: &Value| -> Vec<u32> {
        let tokens: Vec<u32> = serde_json::from_value(rollout["commit"]["tokens"].clone()).unwrap();
        tokens[..rollout["commit"]["rollout"]["prompt_length"].as_u64().unwrap() as usize].to_vec()
    };
    let window = json("golden/verdicts.json");
    let mut prompts: Vec<_> = window["base"]["inferences"].as_array().unwrap().iter().map(prompt).collect();
    prompts.dedup();
    let text = json("golden/prompt_tokens.json")["cases"][0]["text"].as_str().unwrap().to_string();
    prompts.push(CPU.tokenizer().encode(&text));
    prompts
}

/// Returns the streams of a group's four rollouts.
pub(crate) fn streams(group: u32) -> Vec<StreamKey> {
    (0..4).map(|rollout| StreamKey { seed: 7, window_start: 300, group, rollout, attempt: 0 }).collect()
}

/// Channel for the answer to a group's request.
pub(crate) type Answer = mpsc::Receiver<Result<Vec<GeneratedRollout>, CudaEngineError>>;

/// Asks a CUDA engine for a group.
pub(crate) fn ask(engine: &CudaEngine, prompt: &[u32], streams: Vec<StreamKey>) -> (Ticket, Answer) {
    let (sender, receiver) = mpsc::channel();
    let work = GroupWork {
        prompt: prompt.to_vec(),
        streams,
        randomness: RANDOMNESS.to_owned(),
        new_tokens_max: NEW_TOKENS_MAX,
    };
    let reply = Box::new(move |outcome| sender.send(outcome).unwrap_or_default());
    (engine.submit(work, reply).unwrap(), receiver)
}
