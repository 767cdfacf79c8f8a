//! What C's pointers point to.

use core::slice;

use crate::error::Fault;
use crate::status::GraftStatus;

/// Refuses what no array is at.
pub(crate) fn check<T>(values: *const T, length: usize) -> Result<(), Fault> {
    if values.is_null() {
        return Err(GraftStatus::NullPointer.into());
    }
    if !values.is_aligned() {
        return Err(GraftStatus::Misaligned.into());
    }
    match length.checked_mul(size_of::<T>()) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        Some(_) | None => Err(GraftStatus::InvalidArgument.into()),
    }
}

/// An array that C gives to read.
///
/// # Safety
/// Where `values` is not NULL, there are `length` of them for as long as the result is used, and nobody writes to them.
pub(crate) unsafe fn read<'a, T>(values: *const T, length: usize) -> Result<&'a [T], Fault> {
    check(values, length)?;
    // SAFETY: neither NULL nor misaligned nor too long; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(values, length) })
}

/// Memory that C gives away, zeroed: C need not have written to it.
///
/// # Safety
/// Where `memory` is not NULL, there are `length` bytes for as long as the result is used, and nobody else uses them.
pub(crate) unsafe fn zeroed<'a>(memory: *mut u8, length: usize) -> Result<&'a mut [u8], Fault> {
    check(memory, length)?;
    // SAFETY: neither NULL nor too long; the rest is the caller's promise.
    unsafe { memory.write_bytes(0, length) };
    // SAFETY: as above, and the bytes are initialised.
    Ok(unsafe { slice::from_raw_parts_mut(memory, length) })
}

/// Writes an array to where C wants it, which C need not have initialised.
///
/// # Safety
/// Where `to` is not NULL, there is room for as many values, and none of them is in `values`.
pub(crate) unsafe fn copy<T: Copy>(to: *mut T, values: &[T]) -> Result<(), Fault> {
    check(to, values.len())?;
    // SAFETY: neither NULL nor misaligned; the rest is the caller's promise.
    unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    Ok(())
}

/// Writes a result to where C wants it.
///
/// # Safety
/// Where `to` is not NULL, there is room for a value.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Fault> {
    check(to, 1)?;
    // SAFETY: neither NULL nor misaligned; the rest is the caller's promise.
    unsafe { to.write(value) };
    Ok(())
}

/// A path that C gives.
///
/// # Safety
/// Where it is not NULL, it ends in a NUL, and nobody writes to it while the result is used.
#[cfg(feature = "std")]
pub(crate) unsafe fn path<'a>(
    path: *const core::ffi::c_char,
) -> Result<&'a std::path::Path, Fault> {
    check(path, 1)?;
    // SAFETY: not NULL; the rest is the caller's promise.
    let path = unsafe { core::ffi::CStr::from_ptr(path) };
    let path = path.to_str().map_err(|_| GraftStatus::InvalidArgument)?;
    Ok(path.as_ref())
}
