//! Tests of the CUDA engine through its public interface. Those that need a device end at once where there is none.

mod engine;
mod fixtures;
mod lost_device;
mod weight_files;
