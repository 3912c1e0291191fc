//! Every engine that mines against the contract of engines.

use std::sync::Arc;

use grail_contract as contract;
use grail_cuda::driver::device_count;
use grail_cuda::{CudaSettings, ProofWatch};
use grail_engine::CpuEngine;
use grail_live::cuda_engine::CudaWorkers;
use grail_live::engine::CpuWorker;
use grail_loopback::s3::block_on;
use grail_miner::ports::{Engine, GenerateRequest};
use grail_protocol::generation::StreamKey;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;

fn request(engine: &dyn Engine) -> GenerateRequest {
    let problem = Problem::canonical("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "0xab", 0);
    let stream = |rollout| StreamKey { seed: 1, window_start: 0, group: 0, rollout, attempt: 0 };
    GenerateRequest {
        prompt: engine.tokenizer().encode(&prompt(&problem)),
        streams: (0..4).map(stream).collect(),
        randomness: "ab".to_owned(),
        new_tokens_max: 400,
    }
}

/// Returns the toy model on every GPU of this machine; none, with a notice, if there is no GPU.
fn gpus(deterministic: bool) -> Option<CudaWorkers> {
    let count = device_count();
    if count == 0 {
        eprintln!("skipped: the contract of engines on a GPU, since this machine has none");
        return None;
    }
    let settings = |ordinal| {
        let mut settings = CudaSettings::new("toy", ordinal);
        settings.kernel_cache = Some(std::env::temp_dir().join("grail-test-kernels"));
        settings.decode.deterministic = deterministic;
        settings.decode.rollouts_max = 64;
        settings
    };
    let watch = |_| -> ProofWatch { Arc::new(|_, _| {}) };
    Some(CudaWorkers::start((0..count).map(settings).collect(), &watch).unwrap())
}

#[test]
fn the_contract_holds_on_a_cpu() {
    let worker = CpuWorker::start_watched(CpuEngine::toy().unwrap(), Arc::new(|_, _| {})).unwrap();
    block_on(contract::deterministic_engine(&worker, &request(&worker)));
}

#[test]
fn the_contract_holds_on_a_gpu_and_with_deterministic_its_rollouts_repeat() {
    if let Some(workers) = gpus(true) {
        block_on(contract::deterministic_engine(&workers, &request(&workers)));
    }
    if let Some(workers) = gpus(false) {
        block_on(contract::engine(&workers, &request(&workers)));
    }
}
