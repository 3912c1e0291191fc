//! Memory on the device, and memory of the host that the device copies to and from without waiting.

use std::marker::PhantomData;

use cudarc::driver::result;

use super::device::Device;
use super::driver_error;
use crate::error::CudaError;

/// Types that are plain bits: any bytes are a value.
pub trait Plain: Copy + Default + 'static {}

impl Plain for u8 {}
impl Plain for u16 {}
impl Plain for u32 {}
impl Plain for u64 {}
impl Plain for i32 {}
impl Plain for f32 {}
impl Plain for f64 {}

/// A place in the device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevicePtr(pub(super) u64);

impl DevicePtr {
    /// No place: the value of an optional kernel argument that is left out.
    pub const NONE: Self = Self(0);

    /// Returns the place `count` values of `T` further on.
    pub fn plus<T: Plain>(self, count: usize) -> Self {
        Self(self.0 + (count * size_of::<T>()) as u64)
    }
}

/// Memory of the device for `len` values of `T`; freed when dropped.
#[derive(Debug)]
pub struct Buffer<T: Plain> {
    device: Device,
    address: u64,
    len: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T: Plain> Buffer<T> {
    /// Returns the memory that holds zeros.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`] with `what`.
    pub fn zeroed(device: &Device, len: usize, what: &'static str) -> Result<Self, CudaError> {
        device.bind()?;
        let bytes = (len * size_of::<T>()).max(16);
        let out_of_memory = |error| match driver_error("allocating", error) {
            CudaError::OutOfMemory { .. } => CudaError::OutOfMemory { what, bytes: bytes as u64 },
            other => other,
        };
        // SAFETY: the context is current; the memory is freed once, on drop, and set before anyone reads it.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(out_of_memory)?;
        let buffer = Self { device: device.clone(), address, len, kind: PhantomData };
        // SAFETY: exactly the bytes allocated above.
        unsafe { result::memset_d8_sync(address, 0, bytes) }.map_err(|error| driver_error("clearing memory", error))?;
        settle()?;
        Ok(buffer)
    }

    /// Returns the memory that holds `values`.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn of(device: &Device, values: &[T], what: &'static str) -> Result<Self, CudaError> {
        let buffer = Self::zeroed(device, values.len(), what)?;
        // SAFETY: the buffer has room for `values`, and the copy has ended on return.
        unsafe { result::memcpy_htod_sync(buffer.address, values) }
            .map_err(|error| driver_error("copying to the device", error))?;
        settle()?;
        Ok(buffer)
    }

    /// Returns where it starts.
    pub fn address(&self) -> DevicePtr {
        DevicePtr(self.address)
    }

    /// Returns where value `index` is.
    ///
    /// # Panics
    /// If it is past the end.
    pub fn at(&self, index: usize) -> DevicePtr {
        assert!(index <= self.len, "value {index} of {}", self.len);
        self.address().plus::<T>(index)
    }

    /// Returns how many values it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: allocated by us and freed once. An error means that the device is lost, and its memory with it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Page-locked memory of the host.
#[derive(Debug)]
pub struct Pinned<T: Plain> {
    device: Device,
    pointer: *mut T,
    len: usize,
}

// SAFETY: the memory belongs to this value alone, like a Vec's.
unsafe impl<T: Plain> Send for Pinned<T> {}

impl<T: Plain> Pinned<T> {
    /// Returns the memory that holds zeros.
    ///
    /// # Errors
    /// If the system has none left to lock.
    pub fn zeroed(device: &Device, len: usize) -> Result<Self, CudaError> {
        device.bind()?;
        let bytes = (len * size_of::<T>()).max(16);
        // SAFETY: freed once, on drop; zero bytes are a value of every plain type.
        let pointer =
            unsafe { result::malloc_host(bytes, 0) }.map_err(|error| driver_error("locking memory", error))?;
        // SAFETY: exactly the bytes allocated above.
        unsafe { std::ptr::write_bytes(pointer.cast::<u8>(), 0, bytes) };
        Ok(Self { device: device.clone(), pointer: pointer.cast(), len })
    }

    /// Returns the values. Copies to or from them must have ended.
    pub fn values(&self) -> &[T] {
        // SAFETY: `len` initialized values that live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.pointer, self.len) }
    }

    /// Returns the values, to be written. Copies to or from them must have ended.
    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.len) }
    }
}

impl<T: Plain> Drop for Pinned<T> {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: allocated by us and freed once.
            let _ = unsafe { result::free_host(self.pointer.cast()) };
        }
    }
}

/// Waits for the context's default stream. Clearing and copying go through it and returns before they are done, and
/// streams do not wait for it: without this, a buffer could be cleared after a kernel wrote to it.
fn settle() -> Result<(), CudaError> {
    // SAFETY: the default stream always exists.
    unsafe { result::stream::synchronize(std::ptr::null_mut()) }.map_err(|error| driver_error("clearing memory", error))
}
