//! Any bytes as a signed patch, with their digests made right: what a device binds was signed, to the byte. What another
//! key signs of it is what that key verifies, and no trusted one.
#![no_main]

use std::sync::LazyLock;

use graft_patches::signature::Trust;
use graft_patches::writer::{self, SigningKey, sign};
use graft_patches::{BackboneImage, ImageError, PatchImage, Verify};
use graft_runtime::{Backbone, Error, ImageBytes, Patch};
use graft_tests::signed;

/// What the key has signed: the seeds, whatever a writer of today would make of the same values. There is no grown corpus: it
/// would keep what earlier seeds were, which the key has signed as well.
static GENUINE: [&[u8]; 3] = [
    include_bytes!("../seeds/signature/signed"),
    include_bytes!("../seeds/signature/other"),
    include_bytes!("../seeds/signature/warm"),
];

static BACKBONE: LazyLock<Backbone> = LazyLock::new(|| {
    let backbone = signed::backbone();
    for patch in GENUINE {
        Patch::from_bytes(patch, &backbone).expect("write the seeds again");
    }
    backbone
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut sealed = bytes.to_vec();
    writer::seal(&mut sealed);
    for bytes in [bytes, &sealed] {
        if Patch::from_bytes(bytes, &BACKBONE).is_ok() {
            assert!(
                GENUINE.contains(&bytes),
                "a patch is bound that nobody has signed"
            );
        }
    }
    let sealed = ImageBytes::copied(&sealed);
    let trust = Trust::one(signed::key().public());
    let backbone_image = BackboneImage::open_signed(sealed.as_slice(), &trust);
    assert!(backbone_image.is_err(), "no backbone was signed");
    if PatchImage::open(sealed.as_slice(), Verify::Full).is_ok() {
        sign_again(sealed.as_slice());
    }
});

fn sign_again(bytes: &[u8]) {
    let key = SigningKey::from_seed([3; 32]);
    // Metadata may still be wrong.
    let Ok(once) = sign(bytes, &key, 9) else {
        return;
    };
    let once = ImageBytes::copied(&once);
    let found = PatchImage::open_signed(once.as_slice(), &Trust::one(key.public()));
    let (image, signer) = found.expect("only what is valid is signed");
    assert_eq!(signer, key.public());
    assert_eq!(image.signed().map(|signed| signed.counter), Some(9));
    let again = sign(once.as_slice(), &key, 9).expect("it is valid");
    assert!(
        again == once.as_slice(),
        "the same patch has another signature"
    );
    let error = Patch::from_bytes(once.as_slice(), &BACKBONE).expect_err("the key is not trusted");
    let is_unknown = matches!(error, Error::Image(ImageError::UnknownKey { .. }));
    assert!(is_unknown, "refused as {error}");
}
