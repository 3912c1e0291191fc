//! Tests of the engine through its public interface.

mod candle_oracle;
mod determinism;
mod fixtures;
mod generation;
mod golden_proofs;
mod loading;
mod refusals;
mod tokenizer;
