//! Backbones.

#[cfg(feature = "std")]
use core::ffi::c_char;
use core::ffi::c_void;

#[cfg(feature = "trust")]
use graft_patches::signature::{KeyId, PublicKey, Trust};
use graft_runtime::{Backbone, Verify};

use crate::error::{Fault, status_of};
#[cfg(feature = "trust")]
use crate::object::take;
use crate::object::{self, Handle, close};
use crate::{GraftStatus, memory};

/// The alignment of memory and images.
pub const GRAFT_ALIGN: usize = 64;

/// How much of an image is checked when it is opened: `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
pub type GraftVerify = u32;

/// Every byte is hashed.
pub const GRAFT_VERIFY_FULL: u32 = 0;
/// Header and records only, for images that were verified since they were written: bytes of the weights are not read.
pub const GRAFT_VERIFY_STRUCTURE: u32 = 1;

/// `graft_backbone_size()` on every target is at most this, for memory that is laid out when a program is compiled.
pub const GRAFT_BACKBONE_MAX_SIZE: usize = 512;

const _: () = assert!(object::bytes::<GraftBackbone>() <= GRAFT_BACKBONE_MAX_SIZE);

pub(crate) fn verify(verify: GraftVerify) -> Result<Verify, Fault> {
    match verify {
        GRAFT_VERIFY_FULL => Ok(Verify::Full),
        GRAFT_VERIFY_STRUCTURE => Ok(Verify::Structure),
        _ => Err(GraftStatus::InvalidArgument.into()),
    }
}

/// A frozen network, which patches, sessions and threads share.
pub struct GraftBackbone(());

impl Handle for GraftBackbone {
    type Value = Backbone;
    const KIND: [u8; 4] = *b"GrBb";
}

/// Bytes of memory that a backbone takes; its image is not among them.
#[unsafe(no_mangle)]
pub extern "C" fn graft_backbone_size() -> usize {
    object::bytes::<GraftBackbone>()
}

/// Opens a backbone whose image is in memory, in flash for instance. The image is read in place: it is aligned to `GRAFT_ALIGN`
/// and stays as it is until the backbone and all its patches and sessions are closed.
///
/// @param memory The backbone's own until it is closed, aligned to `GRAFT_ALIGN`.
/// @param memory_length Bytes of it, at least `graft_backbone_size()`.
/// @param image Bytes of a `.backbone` file.
/// @param image_length Their number.
/// @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
/// @param backbone Where the backbone is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_backbone_open(
    memory: *mut c_void,
    memory_length: usize,
    image: *const u8,
    image_length: usize,
    verify: GraftVerify,
    backbone: *mut *mut GraftBackbone,
) -> GraftStatus {
    status_of(|| {
        let value = |_: &'static mut [u8]| {
            let verify = self::verify(verify)?;
            // SAFETY: by the caller's promise.
            let image = unsafe { memory::read(image, image_length) }?;
            Ok(Backbone::from_static(image, verify)?)
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, 0, backbone, value) }
    })
}

/// Opens a backbone that is a file, which is mapped: all processes that map it share its pages. Nobody may shorten it or write
/// to it while it is mapped; to put a new one in its place by renaming is fine.
///
/// @param memory As for `graft_backbone_open`.
/// @param memory_length As for `graft_backbone_open`.
/// @param path The `.backbone` file, in UTF-8.
/// @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
/// @param backbone Where the backbone is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given; a path ends in a NUL. The file stays as it is.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_backbone_map(
    memory: *mut c_void,
    memory_length: usize,
    path: *const c_char,
    verify: GraftVerify,
    backbone: *mut *mut GraftBackbone,
) -> GraftStatus {
    status_of(|| {
        let value = |_: &'static mut [u8]| {
            let verify = self::verify(verify)?;
            // SAFETY: by the caller's promise.
            let path = unsafe { memory::path(path) }?;
            // SAFETY: by the caller's promise, the file stays as it is.
            Ok(unsafe { Backbone::map(path, verify) }?)
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, 0, backbone, value) }
    })
}

/// A key that signatures are checked with: the second line of a `.pub` file is base64 of "Ed", the id, the bytes.
#[cfg(feature = "trust")]
#[repr(C)]
pub struct GraftPublicKey {
    /// Its name.
    pub id: [u8; 8],
    /// An ed25519 public key.
    pub bytes: [u8; 32],
}

#[cfg(feature = "trust")]
impl GraftPublicKey {
    fn key(&self) -> PublicKey {
        PublicKey::new(KeyId(self.id), self.bytes)
    }
}

/// Has every patch that is opened for a backbone from now on checked for the signature of a key, and sessions that are opened
/// from now on run no others. Call it right after the backbone was opened, before anything else uses it.
///
/// @param backbone The backbone.
/// @param keys Keys that are trusted.
/// @param count Their number, 1 or 2: so that a key can be changed.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[cfg(feature = "trust")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_backbone_trust(
    backbone: *mut GraftBackbone,
    keys: *const GraftPublicKey,
    count: usize,
) -> GraftStatus {
    status_of(|| {
        // SAFETY: by the caller's promise.
        let trust = match unsafe { memory::read(keys, count) }? {
            [key] => Trust::one(key.key()),
            [key, other] => Trust::two(key.key(), other.key()),
            _ => return Err(GraftStatus::InvalidArgument.into()),
        };
        // SAFETY: by the caller's promise, nothing else uses it.
        let mut backbone = unsafe { take(backbone) }?;
        *backbone = backbone.clone().trusting(trust);
        Ok(())
    })
}

/// Closes a backbone. Its memory is the caller's again; patches and sessions of it go on.
///
/// @param backbone The backbone.
///
/// # Safety
/// Nothing else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_backbone_close(backbone: *mut GraftBackbone) -> GraftStatus {
    // SAFETY: by the caller's promise.
    status_of(|| unsafe { close(backbone) })
}
