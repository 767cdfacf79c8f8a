//! Any text as a public key of minisign: what is read is written, and read again, as the same key.
#![no_main]

use graft_patches::minisign::{parse_public_key, public_key};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(key) = parse_public_key(text) {
        assert_eq!(parse_public_key(&public_key(&key)), Ok(key));
        // A key that is no point of the curve verifies nothing.
        assert!(!key.verifies(text.as_bytes(), &[0; 64]));
    }
});
