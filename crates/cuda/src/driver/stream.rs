//! A stream of work for a device: kernels, products and copies run in the order in which they were enqueued.

use std::ffi::c_void;
use std::rc::Rc;

use cudarc::driver::{result, sys};

use super::blas::Blas;
use super::blas_lt::BlasLt;
use super::compiler::Kernels;
use super::device::Device;
use super::driver_error;
use super::memory::{Buffer, DevicePtr, Pinned, Plain};
use crate::error::CudaError;

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Argument {
    /// A 32-bit number.
    U32(u32),
    /// A 64-bit number.
    U64(u64),
    /// A float32.
    F32(f32),
}

impl From<DevicePtr> for Argument {
    fn from(address: DevicePtr) -> Self {
        Self::U64(address.0)
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<u64> for Argument {
    fn from(value: u64) -> Self {
        Self::U64(value)
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::F32(value)
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
    /// Creates a row of blocks of a row of threads.
    pub fn row(blocks: u32, threads: u32) -> Self {
        Self { blocks: (blocks, 1, 1), threads: (threads, 1) }
    }
}

/// Which stream's kernels start first when a multiprocessor has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Before those of usual streams.
    High,
    /// As usual.
    Normal,
}

/// A stream with cuBLAS and the kernels. It belongs to one thread.
#[derive(Debug)]
pub struct Stream {
    device: Device,
    pub(super) raw: sys::CUstream,
    pub(super) blas: Blas,
    pub(super) blas_lt: BlasLt,
    kernels: Rc<Kernels>,
}

impl Stream {
    /// Creates a new stream.
    ///
    /// # Errors
    /// If the driver or cuBLAS has no room for it.
    pub fn new(device: &Device, kernels: Rc<Kernels>, priority: Priority) -> Result<Self, CudaError> {
        device.bind()?;
        let failed = |error| driver_error("creating a stream", error);
        let (_, greatest) = result::stream::get_priority_range().map_err(failed)?;
        let priority = if priority == Priority::High { greatest } else { 0 };
        let raw =
            result::stream::create_with_priority(result::stream::StreamKind::NonBlocking, priority).map_err(failed)?;
        let (blas, blas_lt) = (Blas::new(device, raw)?, BlasLt::new()?);
        Ok(Self { device: device.clone(), raw, blas, blas_lt, kernels })
    }

    /// Returns another stream of the same device and thread.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn fork(&self) -> Result<Self, CudaError> {
        Self::new(&self.device, self.kernels.clone(), Priority::Normal)
    }

    /// Returns its device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the version of cuBLAS, as in 130100 for 13.1.0.
    pub fn blas_version(&self) -> i32 {
        self.blas.version()
    }

    /// Enqueues a kernel. The arguments must be those it was written for.
    ///
    /// # Errors
    /// If the driver refuses, or reports what an earlier kernel did.
    pub fn launch(&self, kernel: &'static str, grid: Grid, arguments: &[Argument]) -> Result<(), CudaError> {
        let function = self.kernels.function(kernel)?;
        let mut pointers: Vec<*mut c_void> = arguments.iter().map(pointer_to).collect();
        let threads = (grid.threads.0, grid.threads.1, 1);
        // SAFETY: the driver copies the arguments before it returns; their number and types are the kernel's own.
        unsafe { result::launch_kernel(function, grid.blocks, threads, 0, self.raw, &mut pointers) }
            .map_err(|error| driver_error(kernel, error))
    }

    /// Enqueues a copy of `values` to the device, and waits until it is done.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn upload<T: Plain>(&self, to: DevicePtr, values: &[T]) -> Result<(), CudaError> {
        // SAFETY: the copy ends before `values` goes, because this waits for it; `to` has room for it.
        unsafe { result::memcpy_htod_async(to.0, values, self.raw) }
            .map_err(|error| driver_error("copying to the device", error))?;
        self.synchronize()
    }

    /// Enqueues a copy of the first `count` pinned values to the device. They must stay as they are until it is done.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn send<T: Plain>(&self, to: DevicePtr, values: &Pinned<T>, count: usize) -> Result<(), CudaError> {
        // SAFETY: pinned memory outlives the stream's work by the caller's contract.
        unsafe { result::memcpy_htod_async(to.0, &values.values()[..count], self.raw) }
            .map_err(|error| driver_error("copying to the device", error))
    }

    /// Enqueues a copy from the device into the first `count` pinned values; they are there after [`Stream::synchronize`].
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn fetch<T: Plain>(&self, from: DevicePtr, values: &mut Pinned<T>, count: usize) -> Result<(), CudaError> {
        // SAFETY: as for `send`.
        unsafe { result::memcpy_dtoh_async(&mut values.values_mut()[..count], from.0, self.raw) }
            .map_err(|error| driver_error("copying from the device", error))
    }

    /// Copies `count` values from the device, and waits for them.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn download<T: Plain>(&self, from: DevicePtr, count: usize) -> Result<Vec<T>, CudaError> {
        let mut values = vec![T::default(); count];
        // SAFETY: `values` outlives the copy, since it is waited for.
        unsafe { result::memcpy_dtoh_async(&mut values, from.0, self.raw) }
            .map_err(|error| driver_error("copying from the device", error))?;
        self.synchronize()?;
        Ok(values)
    }

    /// Enqueues a copy within the device.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn copy<T: Plain>(&self, from: DevicePtr, to: DevicePtr, count: usize) -> Result<(), CudaError> {
        // SAFETY: both places belong to live buffers that hold `count` values.
        unsafe { result::memcpy_dtod_async(to.0, from.0, count * size_of::<T>(), self.raw) }
            .map_err(|error| driver_error("copying within the device", error))
    }

    /// Enqueues clearing a buffer.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn clear<T: Plain>(&self, buffer: &Buffer<T>) -> Result<(), CudaError> {
        // SAFETY: exactly the buffer's bytes.
        unsafe { result::memset_d8_async(buffer.address().0, 0, buffer.len() * size_of::<T>(), self.raw) }
            .map_err(|error| driver_error("clearing memory", error))
    }

    /// Waits until everything enqueued is done.
    ///
    /// # Errors
    /// If any of it failed.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        // SAFETY: the stream is live.
        unsafe { result::stream::synchronize(self.raw) }.map_err(|error| driver_error("waiting for the device", error))
    }

    /// Makes everything enqueued from now on wait for what was enqueued on `other` so far.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn wait_for(&self, other: &Self, event: &Event) -> Result<(), CudaError> {
        event.record(other)?;
        // SAFETY: stream and event are live.
        unsafe { result::stream::wait_event(self.raw, event.raw, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) }
            .map_err(|error| driver_error("ordering streams", error))
    }

    /// Captures what `work` enqueues as a graph, without running it.
    ///
    /// # Errors
    /// What `work` met with, or if the driver cannot record it.
    pub fn capture(&self, work: impl FnOnce() -> Result<(), CudaError>) -> Result<Graph, CudaError> {
        let failed = |error| driver_error("capturing a graph", error);
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is live and not recording yet; recording is ended whatever `work` gives.
        unsafe { result::stream::begin_capture(self.raw, mode) }.map_err(failed)?;
        let done = work();
        let graph = unsafe { result::stream::end_capture(self.raw) };
        done?;
        let graph = graph.map_err(failed)?;
        // SAFETY: just recorded.
        let runnable = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) };
        let _ = unsafe { result::graph::destroy(graph) };
        Ok(Graph { runnable: runnable.map_err(failed)?, device: self.device.clone() })
    }

    /// Enqueues recorded work.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn launch_graph(&self, graph: &Graph) -> Result<(), CudaError> {
        // SAFETY: graph and stream are live, and of one device.
        unsafe { result::graph::launch(graph.runnable, self.raw) }
            .map_err(|error| driver_error("launching a graph", error))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            let _ = self.synchronize();
            self.blas.close();
            self.blas_lt.close();
            // SAFETY: made by us, and no longer in use.
            let _ = unsafe { result::stream::destroy(self.raw) };
        }
    }
}

/// A point in a stream, for the order between streams and for timing.
#[derive(Debug)]
pub struct Event {
    raw: sys::CUevent,
    device: Device,
}

impl Event {
    /// Creates an event that is not recorded yet.
    ///
    /// # Errors
    /// If the driver has no room for it.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        device.bind()?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        Ok(Self { raw: event.map_err(|error| driver_error("creating an event", error))?, device: device.clone() })
    }

    /// Records it behind everything that was enqueued on `stream`.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both are live.
        unsafe { result::event::record(self.raw, stream.raw) }
            .map_err(|error| driver_error("recording an event", error))
    }

    /// Returns milliseconds of the device's clock from `earlier` to here; waits until both are passed.
    ///
    /// # Errors
    /// As [`Stream::synchronize`].
    pub fn milliseconds_since(&self, earlier: &Self) -> Result<f32, CudaError> {
        // SAFETY: both are live and were recorded.
        unsafe { result::event::synchronize(self.raw) }
            .and_then(|()| unsafe { result::event::elapsed(earlier.raw, self.raw) })
            .map_err(|error| driver_error("reading an event", error))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: made by us and destroyed once.
            let _ = unsafe { result::event::destroy(self.raw) };
        }
    }
}

/// A captured graph of work.
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
        Argument::U32(value) => (value as *const u32).cast(),
        Argument::U64(value) => (value as *const u64).cast(),
        Argument::F32(value) => (value as *const f32).cast(),
    };
    pointer.cast_mut()
}
