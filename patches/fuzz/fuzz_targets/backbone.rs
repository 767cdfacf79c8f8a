//! Any bytes as a backbone: as they are, and with their digests made right, so that the checks behind the digests are
//! reached. What opens must run, also with patches of its own.
#![no_main]

use graft_runtime::Backbone;
use graft_tests::run_with_own_patches_if_small;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Backbone::from_bytes(bytes);
    let mut sealed = bytes.to_vec();
    graft_patches::writer::seal(&mut sealed);
    if let Ok(backbone) = Backbone::from_bytes(&sealed) {
        backbone.image().metadata().expect("it was opened");
        run_with_own_patches_if_small(&backbone);
    }
});
