//! Any bytes as a signed patch, with their digests made right: what a device binds was signed, to the byte. What another
//! key signs of it is what that key verifies, and no trusted one.
#![no_main]

use std::sync::LazyLock;

use graft_patches::signature::Trust;
use graft_patches::writer::{self, SigningKey, sign, unsigned};
use graft_patches::{BackboneImage, ImageError, PatchImage, Verify};
use graft_runtime::{Backbone, Error, ImageBytes, Patch};
use graft_tests::signed;

static DEVICE: LazyLock<(Backbone, [Vec<u8>; 3])> = LazyLock::new(|| {
    let backbone = signed::backbone();
    let patches = signed::patches(&backbone);
    (backbone, patches)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (backbone, genuine) = &*DEVICE;
    let mut sealed = bytes.to_vec();
    writer::seal(&mut sealed);
    for bytes in [bytes, &sealed] {
        if Patch::from_bytes(bytes, backbone).is_ok() {
            assert!(
                genuine.iter().any(|patch| patch == bytes),
                "a patch is bound that nobody has signed"
            );
        }
    }
    let sealed = ImageBytes::copied(&sealed);
    let trust = Trust::one(signed::key().public());
    if let Ok(image) = BackboneImage::open(sealed.as_slice(), Verify::Full) {
        let verified = image.check_signature(&trust);
        assert!(verified.is_err(), "no backbone was signed");
    }
    if PatchImage::open(sealed.as_slice(), Verify::Full).is_ok() {
        sign_again(sealed.as_slice(), backbone);
    }
});

fn sign_again(bytes: &[u8], backbone: &Backbone) {
    let key = SigningKey::from_seed([3; 32]);
    // Metadata may still be wrong.
    let Ok(once) = sign(bytes, &key, 9) else {
        return;
    };
    let once = ImageBytes::copied(&once);
    let image =
        PatchImage::open(once.as_slice(), Verify::Full).expect("only what is valid is signed");
    let found = image.check_signature(&Trust::one(key.public()));
    assert_eq!(found.expect("it was just signed").counter, 9);
    let again = sign(once.as_slice(), &key, 9).expect("it is valid");
    assert!(
        again == once.as_slice(),
        "the same patch has another signature"
    );
    let without = unsigned(once.as_slice()).expect("it is valid");
    let without = ImageBytes::copied(&without);
    let signed_anew = sign(without.as_slice(), &key, 9).expect("it is valid");
    assert!(signed_anew == once.as_slice(), "a signature leaves traces");
    let error = Patch::from_bytes(once.as_slice(), backbone).expect_err("the key is not trusted");
    // What does not fit the backbone has another reason.
    if let Error::Image(ImageError::WrongSignature { .. } | ImageError::Unsigned) = error {
        panic!("refused as {error}");
    }
}
