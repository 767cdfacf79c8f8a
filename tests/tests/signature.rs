//! Signatures: with a policy only what a trusted key has signed is bound, and every byte of it.

use graft_patches::container::{HEADER_LEN, Header, SectionKind};
use graft_patches::minisign;
use graft_patches::records::Kinds;
use graft_patches::signature::{KeyId, PublicKey, TaskId, Trust};
use graft_patches::writer::{self, SigningKey, sign};
use graft_patches::{BackboneImage, Digest, ImageError, PatchImage, Verify};
use graft_runtime::{Backbone, Error, Image, ImageBytes, Patch, Session, TaskSlot};
use graft_tests::{backbone, identity_patch, image, kept_copy, patch};

const SIDE: usize = 24;
/// Bytes of the signature section.
const LENGTH: usize = 88;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn aligned(bytes: &[u8]) -> ImageBytes {
    ImageBytes::copied(bytes)
}

fn signed_by(bytes: &[u8], key: &SigningKey, counter: u64) -> Vec<u8> {
    sign(aligned(bytes).as_slice(), key, counter).expect("the image is valid")
}

/// A patch of one, and the backbone under a policy of that key and another.
fn fixture() -> (Backbone, Vec<u8>) {
    let backbone = backbone(SIDE, 1);
    let patch = identity_patch(&backbone, Kinds::BN.with(Kinds::HEAD));
    let trust = Trust::two(key(2).public(), key(1).public());
    (backbone.trusting(trust), patch)
}

fn refusal(bytes: &[u8], backbone: &Backbone) -> ImageError {
    match Patch::from_bytes(bytes, backbone) {
        Err(Error::Image(error)) => error,
        other => panic!("{other:?} instead of a refusal"),
    }
}

/// The signature again, with a key by another name.
fn resigned(mut bytes: Vec<u8>, key: &SigningKey, name: KeyId) -> Vec<u8> {
    let at = bytes.len() - LENGTH;
    bytes[at..at + 8].copy_from_slice(&name.0);
    let message = message(&bytes);
    bytes[at + 24..].copy_from_slice(&key.sign(&message));
    writer::seal(&mut bytes);
    bytes
}

/// The message of `FORMAT.md`, put together by hand.
fn message(bytes: &[u8]) -> Vec<u8> {
    let mut header = bytes[..HEADER_LEN].to_vec();
    header[96..128].fill(0);
    let count = usize::from(header[14]);
    let own = 128 + (count - 1) * 56 + 24;
    header[own..own + 32].fill(0);
    let mut message = b"graft signature\x01".to_vec();
    message.extend(&bytes[bytes.len() - LENGTH..][..24]);
    message.extend(Digest::of(&header).0);
    message
}

#[test]
fn only_what_a_trusted_key_has_signed_is_bound() {
    let (backbone, patch) = fixture();
    assert_eq!(refusal(&patch, &backbone), ImageError::Unsigned);
    let unknown = signed_by(&patch, &key(3), 1);
    let error = refusal(&unknown, &backbone);
    let expected = ImageError::UnknownKey {
        found: key(3).public().id(),
        expected: [key(2), key(1)].map(|key| Some(key.public().id())),
    };
    assert_eq!(error, expected);
    let [found, one, other] = [3, 2, 1].map(|seed| key(seed).public().id());
    let text = format!("it is signed with key {found}, trusted are {one} and {other}");
    assert_eq!(error.to_string(), text);
    for seed in [1, 2] {
        let bytes = signed_by(&patch, &key(seed), 7 + u64::from(seed));
        let bound = Patch::from_bytes(&bytes, &backbone).expect("a trusted key");
        let signed = bound.signed().expect("it is signed");
        assert_eq!(signed.key, key(seed).public().id());
        assert_eq!(signed.counter, 7 + u64::from(seed));
        let metadata = bound.image().expect("a file").metadata().expect("decoded");
        assert_eq!(signed.task, TaskId::of(&metadata.name));
    }
    // Without a policy a signature is no obstacle.
    let anyone = graft_tests::backbone(SIDE, 1);
    Patch::from_bytes(&unknown, &anyone).expect("nobody asks for the key");
}

#[test]
fn a_key_that_borrows_the_name_of_another_is_no_help() {
    let (backbone, patch) = fixture();
    let trusted = key(1).public();
    let mut forged = signed_by(&patch, &key(3), 1);
    let at = forged.len() - LENGTH;
    forged[at..at + 8].copy_from_slice(&trusted.id().0);
    writer::seal(&mut forged);
    let expected = ImageError::WrongSignature { key: trusted.id() };
    assert_eq!(refusal(&forged, &backbone), expected);
    // Where the names of both keys are the same, either may have signed.
    let twin = PublicKey::new(key(3).public().id(), trusted.bytes());
    let backbone = backbone.trusting(Trust::two(twin, key(3).public()));
    let bytes = signed_by(&patch, &key(3), 1);
    Patch::from_bytes(&bytes, &backbone).expect("the second one has");
}

#[test]
fn no_byte_can_be_changed_whatever_digests_say() {
    let (backbone, patch) = fixture();
    let bytes = signed_by(&patch, &key(1), 5);
    let start = bytes.len() - LENGTH;
    // Of the signature every bit, of the rest a bit in every few bytes.
    let of_rest = (0..start * 8).step_by(39);
    for bit in of_rest.chain(start * 8..bytes.len() * 8) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        writer::seal(&mut changed);
        // Digests, which are computed again, undo some changes.
        if changed != bytes {
            refusal(&changed, &backbone);
        }
    }
    for (field, length) in [(0, 8), (8, 8), (16, 8), (24, 64)] {
        let mut changed = bytes.clone();
        changed[start + field + length - 1] ^= 1;
        writer::seal(&mut changed);
        let error = refusal(&changed, &backbone);
        let is_right = match field {
            0 => matches!(error, ImageError::UnknownKey { .. }),
            _ => matches!(error, ImageError::WrongSignature { .. }),
        };
        assert!(is_right, "{error}");
    }
}

#[test]
fn a_signature_is_of_one_patch() {
    let (backbone, first) = fixture();
    let other = identity_patch(&backbone, Kinds::HEAD);
    let [first, mut other] = [first, other].map(|bytes| signed_by(&bytes, &key(1), 5));
    let at = other.len() - LENGTH;
    other[at..].copy_from_slice(&first[first.len() - LENGTH..]);
    writer::seal(&mut other);
    let error = refusal(&other, &backbone);
    assert!(
        matches!(error, ImageError::WrongSignature { .. }),
        "{error}"
    );
}

#[test]
fn values_are_verified_however_little_else_is() {
    let (backbone, patch) = fixture();
    let bytes = signed_by(&patch, &key(1), 5);
    let header = Header::parse(&bytes).expect("a whole header");
    let values = header.section(SectionKind::Values).expect("a patch has");
    let at = values.offset.get() as usize + 5;
    let bound = |bytes: Vec<u8>, backbone: &Backbone| {
        Patch::from_static(kept_copy(&bytes), backbone, Verify::Structure)
    };
    bound(bytes.clone(), &backbone).expect("it is signed");
    let mut changed = bytes;
    changed[at] ^= 0x40;
    bound(changed.clone(), &graft_tests::backbone(SIDE, 1)).expect("nobody looks at values");
    let error = bound(changed, &backbone).expect_err("a policy has all of it checked");
    let section = SectionKind::Values;
    assert!(
        matches!(error, Error::Image(ImageError::SectionDigest { section: found }) if found == section),
        "{error}"
    );
}

#[test]
fn sessions_and_slots_of_a_policy_run_nothing_else() {
    let (trusting, bytes) = fixture();
    let anyone = backbone(SIDE, 1);
    let signed = signed_by(&bytes, &key(1), 5);
    let unchecked = Patch::from_bytes(&signed, &anyone).expect("it is valid");
    let checked = Patch::from_bytes(&signed, &trusting).expect("it is signed");
    let other = anyone.clone().trusting(Trust::one(key(3).public()));
    let of_other = signed_by(&bytes, &key(3), 5);
    let of_other = Patch::from_bytes(&of_other, &other).expect("it is signed");
    let values = image(&checked, 7);
    let mut session = Session::new(&trusting).expect("kernels are there");
    let slot = TaskSlot::new("task", trusting.identity());
    // A key that borrows the name of a trusted one.
    let twin = PublicKey::new(key(1).public().id(), key(3).public().bytes());
    let mut borrowed = signed_by(&bytes, &key(3), 5);
    let at = borrowed.len() - LENGTH;
    borrowed[at..at + 8].copy_from_slice(&twin.id().0);
    let borrowing = anyone.clone().trusting(Trust::one(twin));
    let of_twin = Patch::from_bytes(&resigned(borrowed, &key(3), twin.id()), &borrowing);
    let of_twin = of_twin.expect("it is signed");
    for patch in [&unchecked, &of_other, &of_twin] {
        let ran = session.run(patch, Image::Values(&values));
        assert!(matches!(ran, Err(Error::Untrusted)));
        assert!(matches!(slot.publish(patch.clone()), Err(Error::Untrusted)));
    }
    let scores = session
        .run(&checked, Image::Values(&values))
        .expect("it is trusted")
        .to_vec();
    slot.publish(checked.clone()).expect("it is trusted");
    session
        .run(&trusting.clone().identity(), Image::Values(&values))
        .expect("the backbone's own values are");
    // A policy is the devices' own affair: others run the patch as well, to the same scores.
    let mut session = Session::new(&anyone).expect("kernels are there");
    let free = session
        .run(&checked, Image::Values(&values))
        .expect("the backbone is the same");
    assert_eq!(free, scores);
}

#[test]
fn signing_again_replaces_the_signature() {
    let backbone = backbone(SIDE, 1);
    let patch = identity_patch(&backbone, Kinds::HEAD);
    let once = signed_by(&patch, &key(1), 5);
    let twice = signed_by(&once, &key(2), 6);
    assert_eq!(once.len(), twice.len());
    assert_eq!(twice, signed_by(&patch, &key(2), 6));
    let mut damaged = once;
    damaged[900] ^= 1;
    assert!(sign(aligned(&damaged).as_slice(), &key(1), 5).is_err());
}

#[test]
fn backbones_are_signed_too() {
    let own = backbone(SIDE, 1);
    let bytes = signed_by(own.image().bytes(), &key(1), 3);
    let bytes = aligned(&bytes);
    let trust = Trust::one(key(1).public());
    let opened = BackboneImage::open_signed(bytes.as_slice(), &trust);
    let (opened, signer) = opened.expect("a trusted key");
    assert_eq!(opened.id(), own.id(), "its patches stay what they are");
    assert_eq!(signer, key(1).public());
    assert_eq!(opened.signed().map(|signed| signed.counter), Some(3));
    let error = BackboneImage::open_signed(own.image().bytes(), &trust).err();
    assert_eq!(error, Some(ImageError::Unsigned));
}

#[test]
fn the_message_is_the_one_of_the_format() {
    let (_, patch) = fixture();
    let bytes = signed_by(&patch, &key(1), 0x0102);
    let (_, record) = bytes.split_at(bytes.len() - LENGTH);
    assert_eq!(record[16..24], [2, 1, 0, 0, 0, 0, 0, 0]);
    let signature = record[24..].first_chunk().expect("64 bytes");
    assert!(key(1).public().verifies(&message(&bytes), signature));
}

/// Test 2 of RFC 8032, section 7.1.
#[test]
fn keys_and_signatures_are_those_of_the_standard() {
    let bytes = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let pair = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(pair).collect()
    };
    let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = bytes(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    let key = SigningKey::from_seed(seed.try_into().unwrap());
    assert_eq!(key.public().bytes().to_vec(), public);
    assert_eq!(key.sign(&[0x72]).to_vec(), signature);
    assert!(
        key.public()
            .verifies(&[0x72], &signature.try_into().unwrap())
    );
}

/// A program that knows nothing of Graft reads our keys and checks our signatures.
#[test]
fn minisign_checks_what_we_sign() {
    let (_, patch) = fixture();
    let text = minisign::public_key(&key(1).public());
    assert_eq!(minisign::parse_public_key(&text), Ok(key(1).public()));
    let line = text.lines().nth(1).expect("a key");
    assert_eq!(minisign::parse_public_key(line), Ok(key(1).public()));
    let signature = minisign::signature(&patch, &key(1), "task\tcounter 5\n");
    let judge = minisign_verify::PublicKey::decode(&text).expect("it reads the key");
    let read = minisign_verify::Signature::decode(&signature).expect("it reads the signature");
    assert_eq!(read.trusted_comment(), "task\tcounter 5");
    judge.verify(&patch, &read, true).expect("it is right");
    let mut changed = patch;
    changed[5] ^= 1;
    judge.verify(&changed, &read, true).expect_err("it is not");
    for (wrong, expected) in [
        ("", minisign::NotAKey::Text),
        ("untrusted comment: alone", minisign::NotAKey::Text),
        ("RWQ=", minisign::NotAKey::Length { found: 2 }),
        (&line.replacen("RW", "RX", 1), minisign::NotAKey::Algorithm),
    ] {
        assert_eq!(minisign::parse_public_key(wrong), Err(expected), "{wrong}");
    }
    assert_eq!(
        KeyId([1, 2, 3, 4, 5, 6, 7, 8]).to_string(),
        "0807060504030201"
    );
}

#[test]
fn patches_of_several_sites_are_signed_with_all_of_them() {
    let (trusting, _) = fixture();
    let bound = patch(&backbone(SIDE, 1), 10, 3);
    let image = bound.image().expect("a file");
    let signed = signed_by(image.bytes(), &key(2), 9);
    let opened = aligned(&signed);
    let opened = PatchImage::open(opened.as_slice(), Verify::Full).expect("it is valid");
    assert_eq!(opened.signed().map(|signed| signed.counter), Some(9));
    Patch::from_bytes(&signed, &trusting).expect("it is signed");
}
