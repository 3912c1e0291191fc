//! The GPU's own limits: bytes copied and products summed per second.

use grail_cuda::CudaError;
use grail_cuda::driver::{Buffer, Event, HalfOutput, MatrixShape, Operands, Stream};

/// Side of the square matrices that rates are measured with.
const SIDE: usize = 8192;
/// float32 values of the buffers that are copied.
const COPIED: usize = 1 << 30;
/// Repetitions; the median counts.
const REPETITIONS: usize = 7;

/// A GPU's rates.
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
    /// Measures them.
    ///
    /// # Errors
    /// If the device has no room or fails.
    pub fn measure(stream: &Stream) -> Result<Self, CudaError> {
        let room = |len| Buffer::<f32>::zeroed(stream.device(), len, "measuring the GPU");
        let (from, to) = (room(COPIED)?, room(COPIED)?);
        // Random bits: products of zeros run faster than any real ones.
        fill(stream, &from)?;
        let copy_ms = median_ms(stream, || stream.copy::<f32>(from.address(), to.address(), COPIED))?;
        fill(stream, &to)?;
        let (first, second, result) = (from.address(), from.at(SIDE * SIDE), to.address());
        let shape = MatrixShape { rows: SIDE, inner: SIDE, outputs: SIDE };
        let operands = Operands { first, second, result };
        let single_ms = median_ms(stream, || stream.linear(shape, operands))?;
        let half_ms = median_ms(stream, || stream.half_linear(shape, operands, HalfOutput::Half))?;
        let operations = 2.0 * (SIDE * SIDE * SIDE) as f64;
        Ok(Self {
            bytes_per_s: 8.0 * COPIED as f64 / copy_ms * 1e3,
            single_flops: operations / single_ms * 1e3,
            half_flops: operations / half_ms * 1e3,
        })
    }
}

/// Milliseconds of the device's clock that `work` takes: the median over repetitions, after two to warm up.
pub(super) fn median_ms<E: From<CudaError>>(
    stream: &Stream,
    mut work: impl FnMut() -> Result<(), E>,
) -> Result<f64, E> {
    let (begin, end) = (Event::new(stream.device())?, Event::new(stream.device())?);
    let mut times = Vec::new();
    for repetition in 0..REPETITIONS + 2 {
        begin.record(stream)?;
        work()?;
        end.record(stream)?;
        let time = f64::from(end.milliseconds_since(&begin)?);
        if repetition >= 2 {
            times.push(time);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[REPETITIONS / 2])
}

fn fill(stream: &Stream, buffer: &Buffer<f32>) -> Result<(), CudaError> {
    stream.fill_synthetic(buffer.address(), buffer.len(), 1)
}
