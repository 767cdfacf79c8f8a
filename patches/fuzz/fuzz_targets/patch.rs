//! Any bytes as a patch of a small backbone, as in `backbone.rs`.
#![no_main]

use std::sync::LazyLock;

use graft_runtime::{Backbone, Patch};
use graft_tests::run_if_small;

static BACKBONE: LazyLock<Backbone> = LazyLock::new(|| graft_tests::backbone(24, 1));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Patch::from_bytes(bytes, &BACKBONE);
    let mut sealed = bytes.to_vec();
    graft_patches::container::seal(&mut sealed);
    if let Ok(patch) = Patch::from_bytes(&sealed, &BACKBONE) {
        let _ = patch.image().map(|image| image.metadata());
        run_if_small(&BACKBONE, &patch);
    }
});
