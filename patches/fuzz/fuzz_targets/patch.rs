//! Any bytes as a patch of a small backbone and of its int8 twin, as in `backbone.rs`.
#![no_main]

use std::sync::LazyLock;

use graft_runtime::{Backbone, Patch};
use graft_tests::{int8, run_if_small};

static BACKBONES: LazyLock<[Backbone; 2]> = LazyLock::new(|| {
    let float = graft_tests::backbone(24, 1);
    let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    [float, int8]
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut sealed = bytes.to_vec();
    graft_patches::writer::seal(&mut sealed);
    for backbone in &*BACKBONES {
        let _ = Patch::from_bytes(bytes, backbone);
        if let Ok(patch) = Patch::from_bytes(&sealed, backbone) {
            let image = patch.image().expect("it is of a file");
            image.metadata().expect("it was opened");
            image.continual_state().expect("it was bound");
            run_if_small(backbone, &patch);
        }
    }
});
