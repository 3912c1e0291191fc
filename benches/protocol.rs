//! Speed of the protocol's own arithmetic: problems, prompts, openings, projections, files and signatures.

#![allow(clippy::print_stdout, reason = "a bench says what it measured")]

mod honest_window;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use grail_engine::{HfTokenizer, toy};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::Tokenizer;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::randomness::{open, r_vec};
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::unpack;
use honest_window::HonestWindow;

const HOTKEY: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BLOCK_HASH: &str = "0x6bd42698f399072f86cc29260398b173485187699702c1b2a33af461f5e748f9";
const RANDOMNESS: &str = "30e142da1f30cc39053d643ada173ec47cbff74c71776a4422fba989d90685d0";
const QWEN3_TOKENIZER: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tokenizer/qwen3-tokenizer.json.zst"));
/// A prompt and a completion of usual length.
const SEQUENCE_TOKENS: u32 = 700;
const QWEN3_4B_HIDDEN: usize = 2560;

fn problems(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("problem");
    let mut index = 0;
    group.bench_function("canonical", |bencher| {
        bencher.iter(|| {
            index = (index + 1) % 1024;
            Problem::canonical(HOTKEY, BLOCK_HASH, black_box(index))
        });
    });
    let problem = Problem::canonical(HOTKEY, BLOCK_HASH, 1);
    group.bench_function("prompt_text", |bencher| bencher.iter(|| prompt(black_box(&problem))));
    group.finish();
}

/// Elements are prompt tokens.
fn tokenization(criterion: &mut Criterion) {
    let json = zstd::decode_all(QWEN3_TOKENIZER).expect("the fixture is zstd");
    let qwen3 = HfTokenizer::from_bytes(&json, "fixtures/tokenizer").expect("the fixture is a tokenizer");
    let toy = toy::tokenizer().expect("the embedded tokenizer loads");
    let text = prompt(&Problem::canonical(HOTKEY, BLOCK_HASH, 1));
    let mut group = criterion.benchmark_group("tokenise_prompt");
    for (name, tokenizer) in [("toy", &toy), ("qwen3", &qwen3)] {
        group.throughput(Throughput::Elements(tokenizer.encode(&text).len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| tokenizer.encode(black_box(&text))));
    }
    group.finish();
}

fn randomness(criterion: &mut Criterion) {
    let tokens: Vec<u32> = (0..SEQUENCE_TOKENS).map(|i| i * 7919 % 151_936).collect();
    let mut group = criterion.benchmark_group("randomness");
    group.bench_function("open_700_k16", |bencher| {
        bencher.iter(|| open(black_box(&tokens), RANDOMNESS, PROTOCOL.challenge_positions));
    });
    group.bench_function("r_vec_2560", |bencher| bencher.iter(|| r_vec(black_box(RANDOMNESS), QWEN3_4B_HIDDEN)));
    group.finish();
}

/// Bytes are those of the JSON.
fn files(criterion: &mut Criterion) {
    let window = HonestWindow::new();
    let packed = window.pack();
    let document = unpack(&packed).expect("what is packed is a window file");
    let json_bytes = document.canonical_text().len() as u64;
    println!("window of 20 rollouts: {json_bytes} bytes of JSON, {} gzipped", packed.len());
    let mut group = criterion.benchmark_group("window_file_20");
    group.throughput(Throughput::Bytes(json_bytes));
    group.bench_function("pack", |bencher| bencher.iter(|| window.pack()));
    group.bench_function("unpack", |bencher| bencher.iter(|| unpack(black_box(&packed))));
    group.finish();
}

fn signatures(criterion: &mut Criterion) {
    let keypair = Keypair::from_seed(&[7; 32]);
    let (hotkey, message) = (keypair.hotkey(), [42; 32]);
    let signature = keypair.sign(&message);
    let mut group = criterion.benchmark_group("signature");
    group.bench_function("sign", |bencher| bencher.iter(|| keypair.sign(black_box(&message))));
    group.bench_function("verify", |bencher| bencher.iter(|| hotkey.verifies(black_box(&message), &signature)));
    group.finish();
}

criterion_group!(benches, problems, tokenization, randomness, files, signatures);
criterion_main!(benches);
