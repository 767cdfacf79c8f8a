//! Sessions.

use core::ffi::c_void;

use graft_runtime::{Image, Session};

use crate::error::{Fault, size_or_zero, status_of};
use crate::object::{self, Handle, close, get, take};
use crate::{GraftBackbone, GraftPatch, GraftStatus, memory};

/// The memory to run a backbone, with any of its patches at each call. One call at a time uses it: each thread has its own.
pub struct GraftSession(());

impl Handle for GraftSession {
    type Value = Session<'static>;
    const KIND: [u8; 4] = *b"GrSn";
}

/// `graft_session_size` on every target is at most this and the backbone's arena: `patchtool inspect` prints that of a Cortex-M.
pub const GRAFT_SESSION_MAX_SIZE: usize = 1024;

const _: () = assert!(object::bytes::<GraftSession>() <= GRAFT_SESSION_MAX_SIZE);

/// Bytes of memory that a session of a backbone takes; 0 where the backbone is not open.
///
/// @param backbone The backbone; NULL for the bytes of `graft_session_open_threads`.
///
/// # Safety
/// A backbone that is not NULL was opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_session_size(backbone: *const GraftBackbone) -> usize {
    size_or_zero(|| match backbone.is_null() {
        true => Ok(object::bytes::<GraftSession>()),
        // SAFETY: by the caller's promise.
        false => unsafe { size(backbone) },
    })
}

/// # Safety
/// As [`graft_session_size`].
unsafe fn size(backbone: *const GraftBackbone) -> Result<usize, Fault> {
    // SAFETY: by the caller's promise.
    let backbone = unsafe { get(backbone) }?;
    Ok(object::bytes::<GraftSession>() + Session::arena_len(backbone))
}

/// Opens a session: nothing that runs in it takes any other memory.
///
/// @param memory The session's own until it is closed, aligned to `GRAFT_ALIGN`.
/// @param memory_length Bytes of it, at least `graft_session_size(backbone)`.
/// @param backbone The backbone.
/// @param session Where the session is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_session_open(
    memory: *mut c_void,
    memory_length: usize,
    backbone: *const GraftBackbone,
    session: *mut *mut GraftSession,
) -> GraftStatus {
    status_of(|| {
        // SAFETY: by the caller's promise.
        unsafe { memory::put(session, core::ptr::null_mut()) }?;
        // SAFETY: by the caller's promise.
        let needed = unsafe { size(backbone) }?;
        let value = |arena: &'static mut [u8]| {
            // SAFETY: by the caller's promise.
            let backbone = unsafe { get(backbone) }?;
            Ok(Session::in_arena(backbone, arena)?)
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, needed, session, value) }
    })
}

/// Opens a session that shares each layer of an image among threads. Its arena is memory of the library.
///
/// @param memory The session's own until it is closed, aligned to `GRAFT_ALIGN`.
/// @param memory_length Bytes of it, at least `graft_session_size(NULL)`.
/// @param backbone The backbone.
/// @param threads Their number, the caller's among them: 1 to 256.
/// @param session Where the session is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_session_open_threads(
    memory: *mut c_void,
    memory_length: usize,
    backbone: *const GraftBackbone,
    threads: usize,
    session: *mut *mut GraftSession,
) -> GraftStatus {
    status_of(|| {
        let value = |_: &'static mut [u8]| {
            // SAFETY: by the caller's promise.
            let backbone = unsafe { get(backbone) }?;
            if !(1..=256).contains(&threads) {
                return Err(GraftStatus::InvalidArgument.into());
            }
            Ok(Session::with_threads(backbone, threads)?)
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, 0, session, value) }
    })
}

/// Runs an image of 8-bit pixels, which the patch normalises, and writes the scores.
///
/// @param session The session.
/// @param patch Any patch of the session's backbone: to take another than before costs nothing.
/// @param pixels Rows of pixels of channels, as the patch's input has them.
/// @param pixels_length Their number, the patch's `input_length`.
/// @param scores Where the scores are written: as many as the patch has classes, for each pixel that the backbone ends with,
///     usually one. It may be memory of the image, which they then overwrite, not of an object.
/// @param scores_length Room for scores, at least the patch's `scores_length`.
/// @param scores_count Where the number of scores is written; NULL where it is known.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_session_run(
    session: *mut GraftSession,
    patch: *const GraftPatch,
    pixels: *const u8,
    pixels_length: usize,
    scores: *mut f32,
    scores_length: usize,
    scores_count: *mut usize,
) -> GraftStatus {
    status_of(|| {
        let image = || {
            // SAFETY: by the caller's promise.
            let pixels = unsafe { memory::read(pixels, pixels_length) }?;
            Ok(Image::Pixels(pixels))
        };
        // SAFETY: by the caller's promise.
        unsafe { run(session, patch, image, scores, scores_length, scores_count) }
    })
}

/// Runs an image of values that are normalised already: as `graft_session_run`, but for the image.
///
/// @param session The session.
/// @param patch Any patch of the session's backbone.
/// @param values Rows of pixels of channels, `(pixel - mean) / std`.
/// @param values_length Their number, the patch's `input_length`.
/// @param scores As for `graft_session_run`.
/// @param scores_length As for `graft_session_run`.
/// @param scores_count As for `graft_session_run`.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_session_run_values(
    session: *mut GraftSession,
    patch: *const GraftPatch,
    values: *const f32,
    values_length: usize,
    scores: *mut f32,
    scores_length: usize,
    scores_count: *mut usize,
) -> GraftStatus {
    status_of(|| {
        let image = || {
            // SAFETY: by the caller's promise.
            let values = unsafe { memory::read(values, values_length) }?;
            Ok(Image::Values(values))
        };
        // SAFETY: by the caller's promise.
        unsafe { run(session, patch, image, scores, scores_length, scores_count) }
    })
}

/// The image is read within the session's run only: then scores may be written over it.
///
/// # Safety
/// As [`graft_session_run`].
unsafe fn run<'a>(
    session: *mut GraftSession,
    patch: *const GraftPatch,
    image: impl FnOnce() -> Result<Image<'a>, Fault>,
    scores: *mut f32,
    scores_length: usize,
    scores_count: *mut usize,
) -> Result<(), Fault> {
    // SAFETY: by the caller's promise.
    let mut session = unsafe { take(session) }?;
    // SAFETY: by the caller's promise.
    let bound = unsafe { get(patch) }?;
    let image = image()?;
    memory::check(scores, scores_length)?;
    if scores_length < bound.scores_length() {
        return Err(GraftStatus::ScoresLength.into());
    }
    let found = session.run(&bound.patch, image)?;
    // SAFETY: there is room for them, and they are in memory of the session, which nothing else is in.
    unsafe { memory::copy(scores, found) }?;
    if scores_count.is_null() {
        return Ok(());
    }
    // SAFETY: by the caller's promise.
    unsafe { memory::put(scores_count, found.len()) }
}

/// Closes a session. Its memory is the caller's again.
///
/// @param session The session.
///
/// # Safety
/// Nothing else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_session_close(session: *mut GraftSession) -> GraftStatus {
    // SAFETY: by the caller's promise.
    status_of(|| unsafe { close(session) })
}
