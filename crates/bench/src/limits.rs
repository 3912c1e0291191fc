//! What the card itself can do: bytes copied and products summed in a second.

use grail_cuda::CudaError;
use grail_cuda::driver::{Buffer, Factors, HalfOutput, Mark, MatrixShape, Queue};

/// Side of the square matrices that rates are measured with.
const SIDE: usize = 8192;
/// float32 values of the buffers that are copied.
const COPIED: usize = 1 << 30;
/// Repetitions of which the median counts.
const REPETITIONS: usize = 7;

/// A card's rates.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes read and written by a copy within the device.
    pub bytes_per_s: f64,
    /// float32 operations of a large product.
    pub single_flops: f64,
    /// Operations of a large product of bfloat16.
    pub half_flops: f64,
}

impl Limits {
    /// Measure them.
    ///
    /// # Errors
    /// Where the device has no room or fails.
    pub fn measure(queue: &Queue) -> Result<Self, CudaError> {
        let room = |len| Buffer::<f32>::zeroed(queue.device(), len, "measuring the card");
        let (from, to) = (room(COPIED)?, room(COPIED)?);
        // Random bits: products of zeros run faster than any real ones.
        fill(queue, &from)?;
        let copy_ms = median_ms(queue, || queue.copy::<f32>(from.address(), to.address(), COPIED))?;
        fill(queue, &to)?;
        let (first, second, result) = (from.address(), from.at(SIDE * SIDE), to.address());
        let shape = MatrixShape { rows: SIDE, inner: SIDE, outputs: SIDE };
        let factors = Factors { first, second, result };
        let single_ms = median_ms(queue, || queue.linear(shape, factors))?;
        let half_ms = median_ms(queue, || queue.half_linear(shape, factors, HalfOutput::Half))?;
        let operations = 2.0 * (SIDE * SIDE * SIDE) as f64;
        Ok(Self {
            bytes_per_s: 8.0 * COPIED as f64 / copy_ms * 1e3,
            single_flops: operations / single_ms * 1e3,
            half_flops: operations / half_ms * 1e3,
        })
    }
}

/// Milliseconds of the device's clock that `work` takes: the median over repetitions, after two to warm up.
pub(super) fn median_ms<E: From<CudaError>>(queue: &Queue, mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (begin, end) = (Mark::new(queue.device())?, Mark::new(queue.device())?);
    let mut times = Vec::new();
    for repetition in 0..REPETITIONS + 2 {
        begin.record(queue)?;
        work()?;
        end.record(queue)?;
        let time = f64::from(end.milliseconds_since(&begin)?);
        if repetition >= 2 {
            times.push(time);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[REPETITIONS / 2])
}

fn fill(queue: &Queue, buffer: &Buffer<f32>) -> Result<(), CudaError> {
    queue.fill_synthetic(buffer.address(), buffer.len(), 1)
}
