//! Any bytes as a trained file: what is read is written, and read again, as the same values, and what fits a small backbone
//! makes a patch, which runs where it binds: its resolution may be too large.
#![no_main]

use std::sync::LazyLock;

use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch};
use graft_tests::run_if_small;
use patchtool::trained::Trained;

static BACKBONE: LazyLock<Backbone> = LazyLock::new(|| graft_tests::backbone(24, 1));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(trained) = Trained::from_bytes(bytes) else {
        return;
    };
    let image = BACKBONE.image();
    let Ok(written) = trained.to_bytes(&image) else {
        return;
    };
    let again = Trained::from_bytes(&written).expect("it was just written");
    // Every number is finite, so it equals itself.
    assert!(again == trained, "another file is read than was written");
    for dtype in [Dtype::F32, Dtype::F16] {
        if let Ok(bytes) = trained.compile(&image, dtype)
            && let Ok(patch) = Patch::from_bytes(&bytes, &BACKBONE)
        {
            run_if_small(&BACKBONE, &patch);
        }
    }
});
