//! Objects in memory of the caller.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use graft_patches::container::ALIGN;

use crate::error::Fault;
use crate::memory;
use crate::status::GraftStatus;

/// A type that C knows by pointers only.
pub(crate) trait Handle {
    /// The value behind it. Any thread may use it and close it.
    type Value: Send;
    /// Four letters that no other handle has.
    const KIND: [u8; 4];
}

/// The start of an object's memory.
#[repr(C, align(64))]
pub(crate) struct Object<T> {
    /// The handle's while it is open.
    kind: AtomicU32,
    is_taken: AtomicBool,
    value: UnsafeCell<T>,
}

const _: () = assert!(align_of::<Object<u8>>() == ALIGN);

/// Bytes of an object, whole lines; what its value needs besides comes after them.
pub(crate) const fn bytes<H: Handle>() -> usize {
    size_of::<Object<H::Value>>()
}

/// Makes an object of at least `needed` bytes of memory, with what `value` makes of those after its own, and writes the handle,
/// NULL where that fails.
///
/// # Safety
/// Where they are not NULL, there is room for a pointer at `handle` and are `length` bytes at `memory`, which are the
/// object's until it is closed.
pub(crate) unsafe fn open<H: Handle>(
    memory: *mut c_void,
    length: usize,
    needed: usize,
    handle: *mut *mut H,
    value: impl FnOnce(&'static mut [u8]) -> Result<H::Value, Fault>,
) -> Result<(), Fault> {
    // SAFETY: by the caller's promise.
    unsafe { memory::put(handle, core::ptr::null_mut()) }?;
    if !memory.addr().is_multiple_of(ALIGN) {
        return Err(GraftStatus::Misaligned.into());
    }
    let expected = needed.max(self::bytes::<H>());
    if length < expected {
        let found = length;
        return Err(Fault::Memory { found, expected });
    }
    // SAFETY: by the caller's promise; they are the object's for as long as it is open, and nothing of it outlives that.
    let bytes = unsafe { memory::zeroed(memory.cast(), length) }?;
    let (own, rest) = bytes.split_at_mut(self::bytes::<H>());
    let object = Object {
        kind: AtomicU32::new(u32::from_le_bytes(H::KIND)),
        is_taken: AtomicBool::new(false),
        value: UnsafeCell::new(value(rest)?),
    };
    let to = own.as_mut_ptr().cast::<Object<H::Value>>();
    // SAFETY: these bytes are an object's, aligned as it is.
    unsafe { to.write(object) };
    // SAFETY: by the caller's promise.
    unsafe { memory::put(handle, to.cast()) }
}

/// Refuses the kind of what is closed, or no such object.
fn check_open<H: Handle>(kind: &AtomicU32) -> Result<(), Fault> {
    match kind.load(Ordering::Acquire) == u32::from_le_bytes(H::KIND) {
        true => Ok(()),
        false => Err(GraftStatus::NotOpen.into()),
    }
}

/// The object of a handle.
///
/// # Safety
/// A handle that is not NULL was written by [`open`], and its memory is there; it is not closed while the result is used.
unsafe fn object<'a, H: Handle>(handle: *const H) -> Result<&'a Object<H::Value>, Fault> {
    let object = handle.cast::<Object<H::Value>>();
    if object.is_null() {
        return Err(GraftStatus::NullPointer.into());
    }
    if !object.is_aligned() {
        return Err(GraftStatus::Misaligned.into());
    }
    // SAFETY: the memory is there, and an object of every kind starts with its kind.
    let kind = unsafe { &(*object).kind };
    check_open::<H>(kind)?;
    // SAFETY: it is an open object of this kind.
    Ok(unsafe { &*object })
}

/// The value of a handle, to be shared.
///
/// # Safety
/// As [`object`]; it is of a kind that is not [taken](take) while it is shared.
pub(crate) unsafe fn get<'a, H: Handle>(handle: *const H) -> Result<&'a H::Value, Fault>
where
    H::Value: Sync,
{
    // SAFETY: by the caller's promise.
    let object = unsafe { object(handle) }?;
    // SAFETY: nobody takes it meanwhile.
    Ok(unsafe { &*object.value.get() })
}

/// The value of a handle, for one call alone: another that takes it meanwhile is refused.
///
/// # Safety
/// As [`object`]; nobody [gets](get) it meanwhile.
pub(crate) unsafe fn take<'a, H: Handle>(handle: *mut H) -> Result<Taken<'a, H::Value>, Fault> {
    // SAFETY: by the caller's promise.
    let object = unsafe { object(handle) }?;
    if object.is_taken.swap(true, Ordering::Acquire) {
        return Err(GraftStatus::Busy.into());
    }
    let taken = Taken(object);
    // Another call may have closed it before this one took it.
    check_open::<H>(&object.kind)?;
    Ok(taken)
}

/// Ends an object: its memory is the caller's again.
///
/// # Safety
/// As [`take`]; nobody uses it afterwards.
pub(crate) unsafe fn close<H: Handle>(handle: *mut H) -> Result<(), Fault> {
    // SAFETY: by the caller's promise.
    let taken = unsafe { take(handle) }?;
    let Taken(object) = taken;
    object.kind.store(0, Ordering::Release);
    // SAFETY: it was open when this call took it, and no later one finds its kind.
    unsafe { object.value.get().drop_in_place() };
    Ok(())
}

/// A value that one call alone uses, until this is dropped.
pub(crate) struct Taken<'a, T>(&'a Object<T>);

impl<T> Deref for Taken<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: only who has taken it is here.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: only who has taken it is here.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
    }
}
