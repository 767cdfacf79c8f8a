//! What needs images that only Rust writes: half precision, signatures, several pixels of scores. `tests/c` has what C alone can test.

use core::ffi::{CStr, c_void};
use core::ptr;

use graft::*;
use graft_patches::records::{Dtype, Kinds};
use graft_patches::writer::sign;
use graft_runtime::{Backbone, Image, ImageBytes, Patch, Session};
use graft_tests::{image, random_patch_as, signed};

/// Memory as C gives it.
struct Memory(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "bytes of C")] [u8; 64]);

impl Memory {
    fn of(bytes: usize) -> Self {
        Self(vec![Line([0xa5; 64]); bytes.div_ceil(64)])
    }

    fn at(&mut self) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }
}

fn last_error() -> String {
    // SAFETY: it is this thread's text, which is copied before the next call.
    let text = unsafe { CStr::from_ptr(graft_last_error()) };
    text.to_string_lossy().into_owned()
}

/// Opens a backbone in C's memory.
fn opened(memory: &mut Memory, backbone: &ImageBytes) -> *mut GraftBackbone {
    let image = backbone.as_slice();
    let mut handle = ptr::null_mut();
    // SAFETY: memory and image have these lengths.
    let status = unsafe {
        graft_backbone_open(
            memory.at(),
            graft_backbone_size(),
            image.as_ptr(),
            image.len(),
            GRAFT_VERIFY_FULL,
            &mut handle,
        )
    };
    assert_eq!(status, GraftStatus::Ok, "{}", last_error());
    handle
}

/// Opens a patch in this much of C's memory.
fn open_patch(
    memory: &mut Memory,
    length: usize,
    backbone: *const GraftBackbone,
    image: &ImageBytes,
) -> (GraftStatus, *mut GraftPatch) {
    let image = image.as_slice();
    let mut handle = ptr::null_mut();
    // SAFETY: memory and image have at least these lengths; the backbone is open.
    let status = unsafe {
        graft_patch_open(
            memory.at(),
            length,
            backbone,
            image.as_ptr(),
            image.len(),
            GRAFT_VERIFY_FULL,
            &mut handle,
        )
    };
    (status, handle)
}

#[test]
fn values_in_half_precision_are_widened_in_memory_of_the_caller() {
    let backbone = graft_tests::backbone(24, 1);
    let bytes = random_patch_as(Dtype::F16, &backbone, 7, 2);
    let patch = Patch::from_bytes(&bytes, &backbone).expect("it fits");
    let values = image(&patch, 3);
    let mut session = Session::new(&backbone).expect("kernels are there");
    let expected = session.run(&patch, Image::Values(&values));
    let expected = expected.expect("the image fits").to_vec();

    let image = ImageBytes::copied(&bytes);
    let backbone = ImageBytes::copied(backbone.image().bytes());
    let mut memory = Memory::of(graft_backbone_size());
    let backbone = opened(&mut memory, &backbone);
    // SAFETY: it is a slice.
    let needed = unsafe { graft_patch_size(image.as_slice().as_ptr(), image.as_slice().len()) };
    // SAFETY: NULL is allowed.
    assert!(needed > unsafe { graft_patch_size(ptr::null(), 0) });
    let mut patch_memory = Memory::of(needed);
    let (status, patch) = open_patch(&mut patch_memory, needed - 1, backbone, &image);
    assert_eq!(
        (status, patch.is_null()),
        (GraftStatus::MemoryTooSmall, true)
    );
    assert!(last_error().contains("half precision"), "{}", last_error());
    let (status, patch) = open_patch(&mut patch_memory, needed, backbone, &image);
    assert_eq!(status, GraftStatus::Ok, "{}", last_error());

    let mut scores = vec![0.0; expected.len()];
    // SAFETY: handles are open, memory and slices have these lengths; what was opened is closed once.
    unsafe {
        let length = graft_session_size(backbone);
        let mut session_memory = Memory::of(length);
        let mut session = ptr::null_mut();
        let status = graft_session_open(session_memory.at(), length, backbone, &mut session);
        assert_eq!(status, GraftStatus::Ok, "{}", last_error());
        let mut count = 0;
        let status = graft_session_run_values(
            session,
            patch,
            values.as_ptr(),
            values.len(),
            scores.as_mut_ptr(),
            scores.len(),
            &mut count,
        );
        assert_eq!(
            (status, count),
            (GraftStatus::Ok, expected.len()),
            "{}",
            last_error()
        );
        assert_eq!(graft_session_close(session), GraftStatus::Ok);
        assert_eq!(graft_patch_close(patch), GraftStatus::Ok);
        assert_eq!(graft_backbone_close(backbone), GraftStatus::Ok);
    }
    assert_eq!(scores, expected);
}

#[test]
fn what_a_trusted_key_has_signed_is_opened() {
    let backbone: Backbone = graft_tests::backbone(24, 1);
    let key = signed::key();
    let bytes = ImageBytes::copied(&random_patch_as(Dtype::F32, &backbone, 7, 2));
    let image = sign(bytes.as_slice(), &key, 5).expect("it can be signed");
    let image = ImageBytes::copied(&image);
    let backbone = ImageBytes::copied(backbone.image().bytes());
    let public = key.public();
    let trusted = GraftPublicKey {
        id: public.id().0,
        bytes: public.bytes(),
    };
    let other = GraftPublicKey {
        id: public.id().0,
        bytes: [7; 32],
    };
    for (keys, is_trusted) in [
        (&[&other, &trusted][..], true),
        (&[&trusted], true),
        (&[&other], false),
    ] {
        let keys: Vec<GraftPublicKey> = keys.iter().map(|key| GraftPublicKey { ..**key }).collect();
        let mut memory = Memory::of(graft_backbone_size());
        let backbone = opened(&mut memory, &backbone);
        // SAFETY: the backbone is open, the keys are a slice.
        let status = unsafe { graft_backbone_trust(backbone, keys.as_ptr(), keys.len()) };
        assert_eq!(status, GraftStatus::Ok, "{}", last_error());
        // SAFETY: NULL is allowed.
        let needed = unsafe { graft_patch_size(ptr::null(), 0) };
        let mut memory = Memory::of(needed);
        let (status, patch) = open_patch(&mut memory, needed, backbone, &image);
        let expected = if is_trusted {
            GraftStatus::Ok
        } else {
            GraftStatus::Untrusted
        };
        assert_eq!(status, expected, "{}", last_error());
        let mut info = core::mem::MaybeUninit::<GraftPatchInfo>::uninit();
        // SAFETY: there is room for it.
        let status = unsafe { graft_patch_get_info(patch, info.as_mut_ptr()) };
        if is_trusted {
            // SAFETY: it was written.
            let info = unsafe { info.assume_init() };
            assert_eq!(
                (status, info.is_signed, info.counter),
                (GraftStatus::Ok, true, 5)
            );
        }
        // SAFETY: nothing uses them any more; NULL is refused.
        unsafe {
            graft_patch_close(patch);
            graft_backbone_close(backbone);
        }
    }
}

#[test]
fn a_patch_without_a_head_has_the_labels_of_the_backbone() {
    let backbone = Backbone::open(graft_tests::cases::demo("demo.backbone")).expect("it is valid");
    let label = backbone.image().label(3).expect("labels are valid");
    let expected = label.expect("the demo has labels").to_owned();
    let image = ImageBytes::copied(&graft_tests::int8::identity_patch(&backbone, Kinds::DW));
    let backbone = ImageBytes::copied(backbone.image().bytes());
    let mut memory = Memory::of(graft_backbone_size());
    let backbone = opened(&mut memory, &backbone);
    let mut memory = Memory::of(GRAFT_PATCH_MAX_SIZE);
    let (status, patch) = open_patch(&mut memory, GRAFT_PATCH_MAX_SIZE, backbone, &image);
    assert_eq!(status, GraftStatus::Ok, "{}", last_error());
    let (mut label, mut length) = (ptr::null(), 0);
    // SAFETY: the patch is open, the label is there until it is closed; what was opened is closed once.
    unsafe {
        let status = graft_patch_label(patch, 3, &mut label, &mut length);
        assert_eq!(status, GraftStatus::Ok, "{}", last_error());
        let label = core::slice::from_raw_parts(label.cast::<u8>(), length);
        assert_eq!(label, expected.as_bytes());
        assert_eq!(graft_patch_close(patch), GraftStatus::Ok);
        assert_eq!(graft_backbone_close(backbone), GraftStatus::Ok);
    }
}

#[test]
fn the_room_for_scores_of_several_pixels_is_known_before_a_run() {
    let backbone = graft_tests::without_pool();
    let mut memory = Memory::of(graft_backbone_size());
    let image = ImageBytes::copied(backbone.image().bytes());
    let backbone = opened(&mut memory, &image);
    let mut patch_memory = Memory::of(GRAFT_PATCH_MAX_SIZE);
    let (mut patch, mut session) = (ptr::null_mut(), ptr::null_mut());
    let mut info = core::mem::MaybeUninit::<GraftPatchInfo>::uninit();
    let mut scores = [0.0; 8 * 8 * 10];
    // SAFETY: handles are open, memory and slices have these lengths; what was opened is closed once.
    unsafe {
        let room = GRAFT_PATCH_MAX_SIZE;
        let status = graft_patch_own(patch_memory.at(), room, backbone, &mut patch);
        assert_eq!(status, GraftStatus::Ok, "{}", last_error());
        let status = graft_patch_get_info(patch, info.as_mut_ptr());
        assert_eq!(status, GraftStatus::Ok, "{}", last_error());
        let info = info.assume_init();
        assert_eq!((info.classes, info.scores_length), (10, scores.len()));
        let length = graft_session_size(backbone);
        let mut session_memory = Memory::of(length);
        let status = graft_session_open(session_memory.at(), length, backbone, &mut session);
        assert_eq!(status, GraftStatus::Ok, "{}", last_error());
        let pixels = vec![0; info.input_length];
        let mut run = |room| {
            let mut count = 0;
            let (pixels, length) = (pixels.as_ptr(), pixels.len());
            let scores = scores.as_mut_ptr();
            let status =
                graft_session_run(session, patch, pixels, length, scores, room, &mut count);
            (status, count)
        };
        assert_eq!(run(info.scores_length - 1), (GraftStatus::ScoresLength, 0));
        let expected = (GraftStatus::Ok, info.scores_length);
        assert_eq!(run(info.scores_length), expected, "{}", last_error());
        assert_eq!(graft_session_close(session), GraftStatus::Ok);
        assert_eq!(graft_patch_close(patch), GraftStatus::Ok);
        assert_eq!(graft_backbone_close(backbone), GraftStatus::Ok);
    }
}
