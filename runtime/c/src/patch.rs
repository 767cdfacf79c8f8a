//! Patches.

use core::ffi::{c_char, c_void};

use graft_patches::records::What;
use graft_patches::{PatchImage, Verify};
use graft_runtime::{Backbone, Patch};

use crate::backbone::verify;
use crate::error::{size_or_zero, status_of};
use crate::object::{self, Handle, close, get};
use crate::{GraftBackbone, GraftStatus, GraftVerify, memory};

/// A task's replacements, checked and bound to a backbone. Threads may share it.
pub struct GraftPatch(());

impl Handle for GraftPatch {
    type Value = Bound;
    const KIND: [u8; 4] = *b"GrPt";
}

/// `graft_patch_size` on every target is at most this, but for what is widened from half precision.
pub const GRAFT_PATCH_MAX_SIZE: usize = 1024;

const _: () = assert!(object::bytes::<GraftPatch>() <= GRAFT_PATCH_MAX_SIZE);

/// A patch with its backbone, whose labels serve where it has none.
pub(crate) struct Bound {
    pub(crate) patch: Patch,
    backbone: Backbone,
}

/// What is known of a patch.
#[repr(C)]
pub struct GraftPatchInfo {
    /// Rows of its input.
    pub height: u32,
    /// Columns of its input.
    pub width: u32,
    /// Channels of its input, 1 to 4.
    pub channels: u32,
    /// Subtracted from a pixel (0 to 255), per channel.
    pub mean: [f32; 4],
    /// Divides the difference, per channel.
    pub std: [f32; 4],
    /// Values of an image: height x width x channels.
    pub input_length: usize,
    /// Classes that a run scores, for each pixel that the backbone ends with, usually one.
    pub classes: usize,
    /// Room that a run needs for its scores: `classes` for each pixel that the backbone ends with. It has fewer where the input is
    /// smaller than the backbone's.
    pub scores_length: usize,
    /// What scores are divided by before their softmax, for probabilities that come true: 1 where nobody has measured it.
    pub temperature: f32,
    /// Whether it is signed: it was checked only where the backbone trusts keys.
    pub is_signed: bool,
    /// Grows with each signed patch of a task; 0 where it is not signed.
    pub counter: u64,
}

/// Bytes of memory that a patch takes: with its values in half precision widened, its image not among them. 0 where the image
/// is no patch.
///
/// @param image Bytes of a `.patch` file; NULL for those of `graft_patch_own` and `graft_patch_map`.
/// @param image_length Their number.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_size(image: *const u8, image_length: usize) -> usize {
    size_or_zero(|| {
        let own = object::bytes::<GraftPatch>();
        if image.is_null() {
            return Ok(own);
        }
        // SAFETY: by the caller's promise.
        let image = unsafe { memory::read(image, image_length) }?;
        Ok(own + Patch::widened_len(&PatchImage::open(image, Verify::Structure)?))
    })
}

/// Opens a patch whose image is in memory, in flash for instance, for a backbone. The image is read in place: it is aligned to
/// `GRAFT_ALIGN` and stays as it is until the patch is closed.
///
/// @param memory The patch's own until it is closed, aligned to `GRAFT_ALIGN`.
/// @param memory_length Bytes of it, at least `graft_patch_size(image, image_length)`.
/// @param backbone The backbone.
/// @param image Bytes of a `.patch` file.
/// @param image_length Their number.
/// @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`; every byte is verified where the backbone trusts keys.
/// @param patch Where the patch is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_open(
    memory: *mut c_void,
    memory_length: usize,
    backbone: *const GraftBackbone,
    image: *const u8,
    image_length: usize,
    verify: GraftVerify,
    patch: *mut *mut GraftPatch,
) -> GraftStatus {
    status_of(|| {
        let value = |memory: &'static mut [u8]| {
            let verify = self::verify(verify)?;
            // SAFETY: by the caller's promise.
            let backbone = unsafe { get(backbone) }?;
            // SAFETY: by the caller's promise.
            let image = unsafe { memory::read(image, image_length) }?;
            let patch = Patch::from_static_in(image, backbone, verify, memory)?;
            Ok(Bound::new(patch, backbone))
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, 0, patch, value) }
    })
}

/// Opens a patch that is a file, which is mapped as by `graft_backbone_map`; for a backbone that trusts keys it is read to
/// memory of the library, so that what was verified is what runs.
///
/// @param memory As for `graft_patch_open`.
/// @param memory_length Bytes of it, at least `graft_patch_size(NULL, 0)`: the library has memory of its own for widening.
/// @param backbone The backbone.
/// @param path The `.patch` file, in UTF-8.
/// @param verify `GRAFT_VERIFY_FULL` or `GRAFT_VERIFY_STRUCTURE`.
/// @param patch Where the patch is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given; a path ends in a NUL. The file stays as it is.
#[cfg(feature = "std")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_map(
    memory: *mut c_void,
    memory_length: usize,
    backbone: *const GraftBackbone,
    path: *const c_char,
    verify: GraftVerify,
    patch: *mut *mut GraftPatch,
) -> GraftStatus {
    status_of(|| {
        let value = |_: &'static mut [u8]| {
            let verify = self::verify(verify)?;
            // SAFETY: by the caller's promise.
            let backbone = unsafe { get(backbone) }?;
            // SAFETY: by the caller's promise.
            let path = unsafe { memory::path(path) }?;
            // SAFETY: by the caller's promise, the file stays as it is.
            let patch = unsafe { Patch::map(path, backbone, verify) }?;
            Ok(Bound::new(patch, backbone))
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, 0, patch, value) }
    })
}

/// Opens the backbone's own epilogues and head, a patch like any other.
///
/// @param memory As for `graft_patch_open`.
/// @param memory_length Bytes of it, at least `graft_patch_size(NULL, 0)`.
/// @param backbone The backbone.
/// @param patch Where the patch is written; NULL after a failure.
///
/// # Safety
/// What is not NULL has the lengths that are given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_own(
    memory: *mut c_void,
    memory_length: usize,
    backbone: *const GraftBackbone,
    patch: *mut *mut GraftPatch,
) -> GraftStatus {
    status_of(|| {
        let value = |_: &'static mut [u8]| {
            // SAFETY: by the caller's promise.
            let backbone = unsafe { get(backbone) }?;
            Ok(Bound::new(backbone.identity(), backbone))
        };
        // SAFETY: by the caller's promise.
        unsafe { object::open(memory, memory_length, 0, patch, value) }
    })
}

impl Bound {
    fn new(patch: Patch, backbone: &Backbone) -> Self {
        let backbone = backbone.clone();
        Self { patch, backbone }
    }

    fn info(&self) -> GraftPatchInfo {
        let input = self.patch.input();
        let signed = self.patch.signed();
        // Sides of an input are at most 65,536.
        let [height, width, channels] =
            [input.shape.height, input.shape.width, input.shape.channels].map(|side| side as u32);
        GraftPatchInfo {
            height,
            width,
            channels,
            mean: input.mean,
            std: input.std,
            input_length: input.shape.len(),
            classes: self.patch.classes(),
            scores_length: self.scores_length(),
            temperature: self.patch.temperature(),
            is_signed: signed.is_some(),
            counter: signed.map_or(0, |signed| signed.counter),
        }
    }

    /// The plan's output is that of the largest input.
    pub(crate) fn scores_length(&self) -> usize {
        let base = self.backbone.image();
        base.tensor(base.layer_count()).shape.pixels() * self.patch.classes()
    }

    fn label(&self, class: usize) -> Result<Option<&str>, graft_patches::ImageError> {
        let base = self.backbone.image();
        // Labels belong to the head: a patch without one keeps the backbone's.
        let replaces = |patch: &PatchImage<'_>| {
            base.head()
                .is_some_and(|head| patch.find(head, What::Weights).is_some())
        };
        match self.patch.image().filter(replaces) {
            Some(own) => own.label(class),
            None => base.label(class),
        }
    }
}

/// What is known of a patch.
///
/// @param patch The patch.
/// @param info Where it is written.
///
/// # Safety
/// What is not NULL has room for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_get_info(
    patch: *const GraftPatch,
    info: *mut GraftPatchInfo,
) -> GraftStatus {
    status_of(|| {
        // SAFETY: by the caller's promise.
        let found = unsafe { get(patch) }?.info();
        // SAFETY: by the caller's promise.
        unsafe { memory::put(info, found) }
    })
}

/// The name of a class: the patch's where it has a head of its own, else the backbone's. It is part of the image: UTF-8, no NUL at its end, there until
/// the patch is closed.
///
/// @param patch The patch.
/// @param class_index The class, from 0.
/// @param label Where the name's first byte is written; NULL after a failure.
/// @param length Where its number of bytes is written; 0 after a failure.
///
/// # Safety
/// What is not NULL has room for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_label(
    patch: *const GraftPatch,
    class_index: usize,
    label: *mut *const c_char,
    length: *mut usize,
) -> GraftStatus {
    status_of(|| {
        let write = |name: *const u8, bytes| {
            // SAFETY: by the caller's promise.
            unsafe { memory::put(label, name.cast()) }?;
            // SAFETY: by the caller's promise.
            unsafe { memory::put(length, bytes) }
        };
        write(core::ptr::null(), 0)?;
        // SAFETY: by the caller's promise.
        let name = unsafe { get(patch) }?.label(class_index)?;
        let name = name.ok_or(GraftStatus::NoLabel)?;
        write(name.as_ptr(), name.len())
    })
}

/// Closes a patch. Its memory is the caller's again.
///
/// @param patch The patch.
///
/// # Safety
/// Nothing else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn graft_patch_close(patch: *mut GraftPatch) -> GraftStatus {
    // SAFETY: by the caller's promise.
    status_of(|| unsafe { close(patch) })
}
