//! Any bytes as a backbone: as they are, and with their digests made right, so that the checks behind the digests are
//! reached. What opens must run.
#![no_main]

use graft_runtime::Backbone;
use graft_tests::run_if_small;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Backbone::from_bytes(bytes);
    let mut sealed = bytes.to_vec();
    graft_patches::writer::seal(&mut sealed);
    if let Ok(backbone) = Backbone::from_bytes(&sealed) {
        let _ = backbone.image().metadata();
        run_if_small(&backbone, &backbone.identity());
    }
});
