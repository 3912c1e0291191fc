//! A queue of work for a device: kernels, products and copies run in the order in which they were put in.

use std::ffi::c_void;
use std::rc::Rc;

use cudarc::driver::{result, sys};

use super::blas::Blas;
use super::blas_lt::BlasLt;
use super::compiler::Kernels;
use super::device::Device;
use super::driver_error;
use super::memory::{Address, Buffer, Pinned, Plain};
use crate::error::CudaError;

/// What a kernel is given.
#[derive(Debug, Clone, Copy)]
pub enum Argument {
    /// A 32-bit number.
    Word(u32),
    /// A 64-bit number.
    Long(u64),
    /// A float32.
    Real(f32),
}

impl From<Address> for Argument {
    fn from(address: Address) -> Self {
        Self::Long(address.0)
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::Word(value)
    }
}

impl From<u64> for Argument {
    fn from(value: u64) -> Self {
        Self::Long(value)
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::Real(value)
    }
}

/// How many blocks of how many threads a kernel runs with.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Blocks.
    pub blocks: (u32, u32, u32),
    /// Threads of a block.
    pub threads: (u32, u32),
}

impl Grid {
    /// A row of blocks of a row of threads.
    pub fn row(blocks: u32, threads: u32) -> Self {
        Self { blocks: (blocks, 1, 1), threads: (threads, 1) }
    }
}

/// Which queue's kernels start first when a multiprocessor has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Before those of usual queues.
    High,
    /// As usual.
    Usual,
}

/// A queue with cuBLAS and the kernels. It belongs to one thread.
#[derive(Debug)]
pub struct Queue {
    device: Device,
    pub(super) stream: sys::CUstream,
    pub(super) blas: Blas,
    pub(super) blas_lt: BlasLt,
    kernels: Rc<Kernels>,
}

impl Queue {
    /// A new queue.
    ///
    /// # Errors
    /// Where the driver or cuBLAS has no room for it.
    pub fn new(device: &Device, kernels: Rc<Kernels>, urgency: Urgency) -> Result<Self, CudaError> {
        device.bind()?;
        let failed = |error| driver_error("making a queue", error);
        let (_, greatest) = result::stream::get_priority_range().map_err(failed)?;
        let priority = if urgency == Urgency::High { greatest } else { 0 };
        let stream =
            result::stream::create_with_priority(result::stream::StreamKind::NonBlocking, priority).map_err(failed)?;
        let (blas, blas_lt) = (Blas::new(device, stream)?, BlasLt::new()?);
        Ok(Self { device: device.clone(), stream, blas, blas_lt, kernels })
    }

    /// Another queue of the same device and thread.
    ///
    /// # Errors
    /// As [`Queue::new`].
    pub fn beside(&self) -> Result<Self, CudaError> {
        Self::new(&self.device, self.kernels.clone(), Urgency::Usual)
    }

    /// Its device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Version of cuBLAS, as in 130100 for 13.1.0.
    pub fn blas_version(&self) -> i32 {
        self.blas.version()
    }

    /// Put in a kernel. The arguments must be those it was written for.
    ///
    /// # Errors
    /// Where the driver refuses, or reports what an earlier kernel did.
    pub fn launch(&self, kernel: &'static str, grid: Grid, arguments: &[Argument]) -> Result<(), CudaError> {
        let function = self.kernels.function(kernel)?;
        let mut pointers: Vec<*mut c_void> = arguments.iter().map(pointer_to).collect();
        let threads = (grid.threads.0, grid.threads.1, 1);
        // SAFETY: the driver copies the arguments before it returns; their number and types are the kernel's own.
        unsafe { result::launch_kernel(function, grid.blocks, threads, 0, self.stream, &mut pointers) }
            .map_err(|error| driver_error(kernel, error))
    }

    /// Put in a copy of `values` to the device, and wait until it is done.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn upload<T: Plain>(&self, to: Address, values: &[T]) -> Result<(), CudaError> {
        // SAFETY: `values` outlives the copy, since it is waited for; `to` has room for it.
        unsafe { result::memcpy_htod_async(to.0, values, self.stream) }
            .map_err(|error| driver_error("copying to the device", error))?;
        self.wait()
    }

    /// Put in a copy of the first `count` pinned values to the device. They must stay as they are until it is done.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn send<T: Plain>(&self, to: Address, values: &Pinned<T>, count: usize) -> Result<(), CudaError> {
        // SAFETY: pinned memory outlives the queue's work by the caller's contract.
        unsafe { result::memcpy_htod_async(to.0, &values.values()[..count], self.stream) }
            .map_err(|error| driver_error("copying to the device", error))
    }

    /// Put in a copy from the device into the first `count` pinned values; they are there after [`Queue::wait`].
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn fetch<T: Plain>(&self, from: Address, values: &mut Pinned<T>, count: usize) -> Result<(), CudaError> {
        // SAFETY: as for `send`.
        unsafe { result::memcpy_dtoh_async(&mut values.values_mut()[..count], from.0, self.stream) }
            .map_err(|error| driver_error("copying from the device", error))
    }

    /// Copy `count` values from the device, and wait for them.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn download<T: Plain>(&self, from: Address, count: usize) -> Result<Vec<T>, CudaError> {
        let mut values = vec![T::default(); count];
        // SAFETY: `values` outlives the copy, since it is waited for.
        unsafe { result::memcpy_dtoh_async(&mut values, from.0, self.stream) }
            .map_err(|error| driver_error("copying from the device", error))?;
        self.wait()?;
        Ok(values)
    }

    /// Put in a copy within the device.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn copy<T: Plain>(&self, from: Address, to: Address, count: usize) -> Result<(), CudaError> {
        // SAFETY: both places belong to live buffers that hold `count` values.
        unsafe { result::memcpy_dtod_async(to.0, from.0, count * size_of::<T>(), self.stream) }
            .map_err(|error| driver_error("copying within the device", error))
    }

    /// Put in clearing a buffer.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn clear<T: Plain>(&self, buffer: &Buffer<T>) -> Result<(), CudaError> {
        // SAFETY: exactly the buffer's bytes.
        unsafe { result::memset_d8_async(buffer.address().0, 0, buffer.len() * size_of::<T>(), self.stream) }
            .map_err(|error| driver_error("clearing memory", error))
    }

    /// Wait until everything put in is done.
    ///
    /// # Errors
    /// What any of it met with.
    pub fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the stream is live.
        unsafe { result::stream::synchronize(self.stream) }
            .map_err(|error| driver_error("waiting for the device", error))
    }

    /// Let everything put in from now on wait for what was put into `other` so far.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn after(&self, other: &Self, mark: &Mark) -> Result<(), CudaError> {
        mark.record(other)?;
        // SAFETY: stream and event are live.
        unsafe { result::stream::wait_event(self.stream, mark.event, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
            .map_err(|error| driver_error("ordering queues", error))
    }

    /// Record what `work` puts in instead of doing it, to be repeated later.
    ///
    /// # Errors
    /// What `work` met with, or where the driver cannot record it.
    pub fn record(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        let failed = |error| driver_error("recording a graph", error);
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is live and not recording yet; recording is ended whatever `work` gives.
        unsafe { result::stream::begin_capture(self.stream, mode) }.map_err(failed)?;
        let done = work();
        let graph = unsafe { result::stream::end_capture(self.stream) };
        done?;
        let graph = graph.map_err(failed)?;
        // SAFETY: just recorded.
        let runnable = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) };
        let _ = unsafe { result::graph::destroy(graph) };
        Ok(Graph { runnable: runnable.map_err(failed)?, device: self.device.clone() })
    }

    /// Put in recorded work.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn repeat(&self, graph: &Graph) -> Result<(), CudaError> {
        // SAFETY: graph and stream are live, and of one device.
        unsafe { result::graph::launch(graph.runnable, self.stream) }
            .map_err(|error| driver_error("repeating a graph", error))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            let _ = self.wait();
            self.blas.close();
            self.blas_lt.close();
            // SAFETY: made by us, and nothing uses it any more.
            let _ = unsafe { result::stream::destroy(self.stream) };
        }
    }
}

/// A point in a queue, for the order between queues and for timing.
#[derive(Debug)]
pub struct Mark {
    event: sys::CUevent,
    device: Device,
}

impl Mark {
    /// A mark that is nowhere yet.
    ///
    /// # Errors
    /// Where the driver has no room for it.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        device.bind()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        Ok(Self { event: event.map_err(|error| driver_error("making a mark", error))?, device: device.clone() })
    }

    /// Set it behind everything that was put into `queue`.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    pub fn record(&self, queue: &Queue) -> Result<(), CudaError> {
        // SAFETY: both are live.
        unsafe { result::event::record(self.event, queue.stream) }
            .map_err(|error| driver_error("setting a mark", error))
    }

    /// Milliseconds of the device's clock from `earlier` to here; waits until both are passed.
    ///
    /// # Errors
    /// As [`Queue::wait`].
    pub fn milliseconds_since(&self, earlier: &Self) -> Result<f32, CudaError> {
        // SAFETY: both are live and were recorded.
        unsafe { result::event::synchronize(self.event) }
            .and_then(|()| unsafe { result::event::elapsed(earlier.event, self.event) })
            .map_err(|error| driver_error("reading a mark", error))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: made by us and destroyed once.
            let _ = unsafe { result::event::destroy(self.event) };
        }
    }
}

/// Recorded work.
#[derive(Debug)]
pub struct Graph {
    runnable: sys::CUgraphExec,
    device: Device,
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: made by us and destroyed once.
            let _ = unsafe { result::graph::exec_destroy(self.runnable) };
        }
    }
}

fn pointer_to(argument: &Argument) -> *mut c_void {
    let pointer: *const c_void = match argument {
        Argument::Word(value) => (value as *const u32).cast(),
        Argument::Long(value) => (value as *const u64).cast(),
        Argument::Real(value) => (value as *const f32).cast(),
    };
    pointer.cast_mut()
}
