//! A table of hostile patches, each refused by a device that trusts one key, with words for what is wrong with it. Digests are
//! made right again, as whoever forges a patch would; where only what is behind the signature is wrong, it is signed with the right
//! key. `cargo test --release -p graft-tests --test hostile_patches -- --nocapture` prints the table.

use std::collections::BTreeSet;

use graft_patches::Digest;
use graft_patches::container::{HEADER_LEN, Header, Kind, SectionKind};
use graft_patches::metadata::{Fit, PatchMetadata, Resize};
use graft_patches::records::{Dtype, Kinds};

use graft_patches::signature::{TaskId, Trust};
use graft_patches::writer::{self, PatchWriter, SigningKey, sign};
use graft_runtime::{Backbone, ImageBytes, Patch, Verify};
use graft_tests::{backbone, int8, kept, random_patch, section};

const SIDE: usize = 24;
/// Bytes of a patch record, and of the signature.
const RECORD: usize = 16;
const SIGNATURE: usize = 88;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn signed(bytes: &[u8], seed: u8) -> Vec<u8> {
    sign(ImageBytes::copied(bytes).as_slice(), &key(seed), 7).expect("it is valid")
}

/// The device: an f32 backbone and an int8 one that trust the first key, and a patch for each.
struct Target {
    float: Backbone,
    int8: Backbone,
    patch: Vec<u8>,
    int8_patch: Vec<u8>,
}

impl Target {
    fn new() -> Self {
        let trust = Trust::one(key(1).public());
        let float = backbone(SIDE, 1);
        let int8 = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
        Self {
            patch: random_patch(&float, 10, 1),
            int8_patch: int8::identity_patch(&int8, Kinds::BN.with(Kinds::HEAD)),
            float: float.trusting(trust),
            int8: int8.trusting(trust),
        }
    }

    fn backbone(&self, dtype: Dtype) -> &Backbone {
        match dtype {
            Dtype::F32 | Dtype::F16 => &self.float,
            Dtype::I8 | Dtype::I8Half => &self.int8,
        }
    }
}

/// A way to spoil bytes.
type Spoil = fn(&mut Vec<u8>);

/// What is done to a patch before the device gets it.
#[derive(Clone, Copy)]
enum Attack {
    /// Bytes are changed, digests made right, and nothing is signed.
    Resealed(Dtype, Spoil),
    /// Bytes are changed, digests made right, and the trusted key signs the result.
    Signed(Dtype, Spoil),
    /// Bytes of a signed patch are changed, digests made right.
    Forged(Spoil),
    /// Bytes of a signed patch are changed, digests left as they are.
    Damaged(Spoil),
    /// Other bytes altogether.
    Made(fn(&Target) -> Vec<u8>),
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Place of an entry of the section table.
fn entry(bytes: &[u8], kind: SectionKind) -> usize {
    let header = Header::parse(bytes).expect("a whole header");
    let used = header.sections.iter();
    128 + 56 * used.take_while(|record| record.kind != kind as u32).count()
}

/// Changes a value of a section's entry: kind at 0, offset at 8, length at 16.
fn put_entry(bytes: &mut [u8], kind: SectionKind, field: usize, value: u64) {
    let at = entry(bytes, kind) + field;
    put(
        bytes,
        at,
        &value.to_le_bytes()[..if field == 0 { 4 } else { 8 }],
    );
}

/// Changes bytes of a section.
fn put_section(bytes: &mut [u8], kind: SectionKind, at: usize, value: &[u8]) {
    let start = section(bytes, kind).start;
    put(bytes, start + at, value);
}

/// Adds a section behind all others.
fn append(bytes: &mut Vec<u8>, code: u32, content: &[u8]) {
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    let count = usize::from(bytes[14]);
    let (at, start) = (128 + 56 * count, bytes.len() as u64);
    bytes.extend_from_slice(content);
    put(bytes, at, &code.to_le_bytes());
    put(bytes, at + 8, &start.to_le_bytes());
    put(bytes, at + 16, &(content.len() as u64).to_le_bytes());
    bytes[14] += 1;
    let length = bytes.len() as u64;
    put(bytes, 16, &length.to_le_bytes());
}

/// The bytes with a signature of the trusted key, put together by hand: `sign` takes no patch that a reader refuses.
fn resign(mut bytes: Vec<u8>) -> Vec<u8> {
    append(&mut bytes, S::Signature as u32, &[0; SIGNATURE]);
    let at = bytes.len() - SIGNATURE;
    put(&mut bytes, at, &key(1).public().id().0);
    put(&mut bytes, at + 8, &TaskId::of("").0);
    writer::seal(&mut bytes);
    let mut header = bytes[..HEADER_LEN].to_vec();
    let own = entry(&bytes, S::Signature) + 24;
    header[96..128].fill(0);
    header[own..own + 32].fill(0);
    let digest = Digest::of(&header);
    let message = [b"graft signature\x01", &bytes[at..at + 24], &digest.0].concat();
    put(&mut bytes, at + 24, &key(1).sign(&message));
    writer::seal(&mut bytes);
    bytes
}

/// Sums of one input in one dimension, with these words.
fn sums(classes: u32, words: &[u32]) -> Vec<u8> {
    let (one, mut all) = (1f32.to_bits(), vec![1, 1, 0, 1f32.to_bits(), classes, 1]);
    all.extend([one; 2]);
    all.extend([0; 10]);
    all.extend([one, 0]);
    all.extend(words);
    all.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A patch with this metadata.
fn with_metadata(target: &Target, metadata: &PatchMetadata) -> Vec<u8> {
    let writer = PatchWriter::identity(target.float.image(), Kinds::HEAD);
    writer.finish(metadata).expect("it can be encoded")
}

use Attack::{Damaged, Forged, Made, Resealed, Signed};
use Dtype::{F32, I8};
use SectionKind as S;

#[rustfmt::skip] // A table.
const ATTACKS: &[(&str, Attack, &str)] = &[
    // The container.
    ("no bytes", Made(|_| vec![]), "the file has 0 bytes"),
    ("half of the magic", Resealed(F32, |b| b.truncate(4)), "the file has 4 bytes"),
    ("half of a header", Resealed(F32, |b| b.truncate(400)), "the file has 400 bytes"),
    ("cut in the middle", Resealed(F32, |b| b.truncate(5000)), "its header says"),
    ("a byte more", Resealed(F32, |b| b.push(0)), "bytes, its header says"),
    ("another magic", Resealed(F32, |b| b[1] ^= 1), "it starts with"),
    ("line ends mangled", Resealed(F32, |b| b[6] = b'\n'), "not a Graft image"),
    ("a newer format", Resealed(F32, |b| b[8] += 1), "format version"),
    ("a newer layout", Resealed(F32, |b| b[10] += 1), "weight layout version"),
    ("a backbone by name", Resealed(F32, |b| b[12] = 1), "this is a backbone"),
    ("a backbone in fact", Made(|t| t.float.image().bytes().to_vec()), "this is a backbone"),
    ("neither of both", Resealed(F32, |b| b[12] = 9), "neither a backbone nor a patch"),
    ("no sections", Resealed(F32, |b| b[14] = 0), "a reserved field"),
    ("13 sections", Resealed(F32, |b| b[14] = 13), "more sections than"),
    ("65,535 sections", Resealed(F32, |b| put(b, 14, &[0xff; 2])), "more sections than"),
    ("a length of 2^64", Resealed(F32, |b| put(b, 16, &[0xff; 8])), "18446744073709551615"),
    ("a length of 0", Resealed(F32, |b| put(b, 16, &[0; 8])), "its header says 0"),
    ("unknown kinds", Resealed(F32, |b| b[27] = 0x80), "unknown patch kinds"),
    ("a reserved field", Resealed(F32, |b| b[40] = 1), "a reserved field is set"),
    ("an unused entry", Resealed(F32, |b| b[128 + 56 * 11] = 1), "a reserved field is set"),
    ("another header", Damaged(|b| b[24] ^= 2), "the header does not match its digest"),
    // The section table.
    ("an unknown section", Resealed(F32, |b| append(b, 77, &[1])), "section 77"),
    ("a backbone's section", Resealed(F32, |b| append(b, S::Frozen as u32, &[1])), "no section Frozen"),
    ("a section twice", Resealed(F32, |b| append(b, S::Metadata as u32, &[1])), "Metadata: twice"),
    ("values in front of records", Resealed(F32, |b| put_entry(b, S::Records, 0, S::Values as u64)), "Records: missing"),
    ("an empty optional section", Resealed(F32, |b| append(b, S::ContinualState as u32, &[])), "nothing in it"),
    ("an entry with a reserved field", Resealed(F32, |b| put_entry(b, S::Values, 4, 1)), "Values: a reserved field of its entry"),
    ("a misaligned section", Resealed(F32, |b| put_entry(b, S::Values, 8, 1001)), "Values: not right behind"),
    ("a section that overlaps another", Resealed(F32, |b| put_entry(b, S::Records, 8, 800)), "Records: not right behind"),
    ("a section past the end", Resealed(F32, |b| put_entry(b, S::Metadata, 8, 1 << 40)), "Metadata: not right behind"),
    ("an offset of 2^64", Resealed(F32, |b| put_entry(b, S::Input, 8, u64::MAX)), "Input: not right behind"),
    ("a length past the end", Resealed(F32, |b| put_entry(b, S::Metadata, 16, 1 << 30)), "Metadata: reaches past the end"),
    ("a section of 2^64 bytes", Resealed(F32, |b| put_entry(b, S::Values, 16, u64::MAX)), "Values: length too large"),
    ("something between sections", Resealed(F32, |b| { let at = section(b, S::Input).end; b[at] = 1 }), "Records: the padding before it"),
    ("a changed value", Damaged(|b| put_section(b, S::Values, 9, &[1])), "section Values does not match its digest"),
    ("a changed record", Damaged(|b| put_section(b, S::Records, 0, &[9])), "section Records does not match its digest"),
    ("changed metadata", Damaged(|b| put_section(b, S::Metadata, 0, &[0xff])), "section Metadata does not match its digest"),
    // The input.
    ("an input of no rows", Signed(F32, |b| put_section(b, S::Input, 0, &[0; 4])), "Input, record 0: no input size"),
    ("an input of 2^32 columns", Signed(F32, |b| put_section(b, S::Input, 4, &[0xff; 4])), "or one above 65,536"),
    ("5 channels", Signed(F32, |b| put_section(b, S::Input, 8, &[5])), "more than 4 input channels"),
    ("a mean that is no number", Signed(F32, |b| { put_section(b, S::Input, 16, &f32::NAN.to_le_bytes()) }), "normalisation that is not finite"),
    ("a std of zero", Signed(F32, |b| put_section(b, S::Input, 32, &[0; 4])), "or a zero std"),
    ("an input beyond the plan", Signed(F32, |b| put_section(b, S::Input, 0, &4096u32.to_le_bytes())), "planned for at most"),
    // The records.
    ("nothing in it", Made(|t| resign(PatchWriter::new(t.float.image(), Kinds::HEAD).finish(&PatchMetadata::default()).expect("it can be encoded"))), "it replaces no site"),
    ("half a record", Signed(F32, |b| { let r = section(b, S::Records); b[r.end - 8..r.end].fill(0); put_entry(b, S::Records, 16, r.len() as u64 - 8) }), "not a whole number of records"),
    ("a site of no backbone", Signed(F32, |b| { let end = section(b, S::Records).len(); put_section(b, S::Records, end - RECORD, &[0xff; 2]); put_section(b, S::Records, end - 2 * RECORD, &[0xff; 2]) }), "patch record for site 65535"),
    ("neither epilogue nor weights", Signed(F32, |b| put_section(b, S::Records, 2, &[9])), "neither epilogue nor weights"),
    ("values of an unknown type", Signed(F32, |b| put_section(b, S::Records, 3, &[9])), "values of dtype 9"),
    ("values of another type than the rest", Signed(F32, |b| put_section(b, S::Records, RECORD + 3, &[2])), "values of dtype 2"),
    ("a record twice", Signed(F32, |b| put_section(b, S::Records, RECORD, &[0; 2])), "or one stands twice"),
    ("records out of order", Signed(F32, |b| put_section(b, S::Records, 0, &[2])), "not sorted by site"),
    ("no outputs", Signed(F32, |b| put_section(b, S::Records, 4, &[0; 4])), "0 output channels"),
    ("2^32 outputs", Signed(F32, |b| put_section(b, S::Records, 4, &[0xff; 4])), "4294967295 output channels"),
    ("misaligned values", Signed(F32, |b| put_section(b, S::Records, 8, &[4])), "values misaligned or overlapping"),
    ("overlapping values", Signed(F32, |b| put_section(b, S::Records, RECORD + 8, &[0; 4])), "record 1: values misaligned or overlapping"),
    ("values past the end", Signed(F32, |b| { let end = section(b, S::Records).len(); put_section(b, S::Records, end - 8, &[0xc0, 0xff, 0xff, 0x7f]) }), "values out of bounds"),
    ("values of 2^32 bytes", Signed(F32, |b| { put_section(b, S::Records, 12, &[0xc0, 0xff, 0xff, 0xff]) }), "record 0: values out of bounds"),
    ("a part of a panel", Signed(F32, |b| put_section(b, S::Records, 12, &[32])), "values misaligned or overlapping"),
    ("too few values", Signed(F32, |b| put_section(b, S::Records, 12, &[64, 0])), "64 bytes of epilogue"),
    ("more kinds than it has", Signed(F32, |b| b[24] |= 4), "claims kind dw but"),
    ("fewer kinds than it has", Signed(F32, |b| b[24] = 1), "none of its kinds"),
    ("no kinds", Signed(F32, |b| b[24] = 0), "none of its kinds"),
    ("another backbone", Signed(F32, |b| b[64] ^= 1), "the patch was made for backbone"),
    ("an int8 patch", Made(|t| resign(t.int8_patch.clone())), "the patch was made for backbone"),
    ("an int8 patch of this backbone", Made(|t| resign({ let mut b = t.int8_patch.clone(); put(&mut b, 64, &t.float.id().0); writer::seal(&mut b); b })), "the backbone computes in f32"),
    // The values.
    ("a scale that is no number", Signed(F32, |b| { put_section(b, S::Values, 0, &f32::NAN.to_le_bytes()) }), "a value that is infinite or not a number"),
    ("an infinite bias", Signed(F32, |b| { put_section(b, S::Values, 64, &f32::INFINITY.to_le_bytes()) }), "Values, record 0: a value that is infinite"),
    ("an infinite weight", Signed(F32, |b| { let end = section(b, S::Values).len(); put_section(b, S::Values, end - 4, &f32::NEG_INFINITY.to_le_bytes()) }), "a value that is infinite"),
    ("an int8 multiplier that is no number", Signed(I8, |b| { put_section(b, S::Values, 0, &f32::NAN.to_le_bytes()) }), "a value that is infinite or not a number"),
    ("an int8 weight of -128", Signed(I8, |b| { let end = section(b, S::Values).len(); put_section(b, S::Values, end - 64, &[0x80]) }), "a weight of -128"),
    ("a scale of zero", Signed(I8, |b| put_section(b, S::Scales, 0, &[0; 4])), "section Scales, record 0"),
    ("int8 without scales", Made(|t| resign({ let mut b = t.int8_patch.clone(); let at = entry(&b, S::Scales); let length = section(&b, S::Metadata).end; b[at..at + 56].fill(0); b[14] -= 1; b.truncate(length); put(&mut b, 16, &(length as u64).to_le_bytes()); writer::seal(&mut b); b })), "Scales: missing in a patch for int8"),
    ("scales in f32", Signed(F32, |b| append(b, S::Scales as u32, &[0; 16])), "or there in another one"),
    // What comes with it.
    ("metadata of noise", Signed(F32, |b| { let m = section(b, S::Metadata); b[m].fill(0xff) }), "the metadata cannot be decoded"),
    ("a crop to nothing", Made(|t| resign(with_metadata(t, &PatchMetadata { resize: Resize { fit: Fit::Crop { share: 1 }, ..Resize::default() }, ..PatchMetadata::default() }))), "1 thousandths of a photograph's side"),
    ("more names than classes", Made(|t| resign(with_metadata(t, &PatchMetadata { labels: vec!["x".into(); 99], ..PatchMetadata::default() }))), "99 class names"),
    ("a continual state of noise", Signed(F32, |b| append(b, S::ContinualState as u32, &[0xff; 40])), "section ContinualState"),
    ("a temperature that is no number", Signed(F32, |b| { append(b, S::Temperature as u32, &f32::NAN.to_le_bytes()) }), "Temperature: not a number from"),
    ("half a temperature", Signed(F32, |b| append(b, S::Temperature as u32, &[0; 2])), "Temperature: not one record"),
    ("sums of noise", Signed(F32, |b| append(b, S::HeadSums as u32, &[0xff; 40])), "section HeadSums"),
    ("sums of more classes than there are words", Signed(F32, |b| append(b, S::HeadSums as u32, &sums(u32::MAX, &[]))), "HeadSums: not as many words"),
    ("sums of another head", Signed(F32, |b| append(b, S::HeadSums as u32, &sums(1, &[1, 1, 1]))), "HeadSums: not of the classes and inputs"),
    // The signature.
    ("no signature", Resealed(F32, |_| {}), "it is not signed"),
    ("a signature of 87 bytes", Resealed(F32, |b| append(b, S::Signature as u32, &[1; 87])), "Signature: not one record"),
    ("two signatures", Forged(|b| append(b, S::Signature as u32, &[1; 88])), "Signature: twice"),
    ("a signature of noise", Resealed(F32, |b| append(b, S::Signature as u32, &[1; 88])), "it is signed with key 01"),
    ("the wrong key", Made(|t| signed(&t.patch, 2)), "it is signed with key"),
    ("a key by another name", Forged(|b| { let at = b.len() - SIGNATURE; b[at] ^= 1 }), "trusted are"),
    ("the wrong key by the right name", Made(|t| { let mut b = signed(&t.patch, 2); let at = b.len() - SIGNATURE; put(&mut b, at, &key(1).public().id().0); writer::seal(&mut b); b }), "the signature of key"),
    ("a bit of the signature", Forged(|b| { let at = b.len() - 1; b[at] ^= 1 }), "the signature of key"),
    ("another task", Forged(|b| { let at = b.len() - SIGNATURE + 8; b[at] ^= 1 }), "the signature of key"),
    ("a patch that is signed for another task", Made(|t| resign(with_metadata(t, &PatchMetadata { name: "door".into(), ..PatchMetadata::default() }))), "for another task than the one"),
    ("a higher counter", Forged(|b| { let at = b.len() - SIGNATURE + 16; b[at] += 1 }), "the signature of key"),
    ("a changed value, digests made right", Forged(|b| put_section(b, S::Values, 8, &[1])), "the signature of key"),
    ("another normalisation, digests made right", Forged(|b| put_section(b, S::Input, 16, &1f32.to_le_bytes())), "the signature of key"),
    ("another backbone, digests made right", Forged(|b| b[64] ^= 1), "the signature of key"),
    ("the signature of another patch", Made(|t| { let other = signed(&random_patch(&t.float, 10, 2), 1); let mut b = signed(&t.patch, 1); let at = b.len() - SIGNATURE; put(&mut b, at, &other[other.len() - SIGNATURE..]); writer::seal(&mut b); b }), "the signature of key"),
    ("a section added behind the signature", Forged(|b| append(b, S::Temperature as u32, &1f32.to_le_bytes())), "Temperature: twice or out of order"),
];

#[test]
fn each_is_refused_for_what_is_wrong_with_it() {
    let target = Target::new();
    for (dtype, patch) in [(F32, &target.patch), (I8, &target.int8_patch)] {
        Patch::from_bytes(&signed(patch, 1), target.backbone(dtype)).expect("it is signed");
    }
    let mut names = BTreeSet::new();
    for &(name, attack, expected) in ATTACKS {
        assert!(names.insert(name), "{name} stands twice");
        let (dtype, bytes) = attacked(&target, attack);
        // Digests would undo a change of themselves, and then nothing is tested.
        let refused = Patch::from_bytes(&bytes, target.backbone(dtype));
        let error = match refused {
            Ok(_) => panic!("{name}: it was taken"),
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(
            text.contains(expected),
            "{name}: {text:?} has no {expected:?}"
        );
        assert!(!error.hint().is_empty());
        println!("| {name} | {text} |");
    }
    assert!(ATTACKS.len() >= 60, "{}", ATTACKS.len());
    println!("{} hostile patches refused", ATTACKS.len());
}

fn attacked(target: &Target, attack: Attack) -> (Dtype, Vec<u8>) {
    let plain = |dtype: Dtype| match dtype {
        F32 | Dtype::F16 => target.patch.clone(),
        I8 | Dtype::I8Half => target.int8_patch.clone(),
    };
    let spoiled = |mut bytes: Vec<u8>, spoil: Spoil, seal: bool| {
        let before = bytes.clone();
        spoil(&mut bytes);
        if seal {
            writer::seal(&mut bytes);
        }
        assert!(
            bytes != before || before == target.patch,
            "nothing is spoiled"
        );
        bytes
    };
    match attack {
        Attack::Resealed(dtype, spoil) => (dtype, spoiled(plain(dtype), spoil, true)),
        Attack::Signed(dtype, spoil) => {
            let spoiled = spoiled(plain(dtype), spoil, true);
            (dtype, resign(spoiled))
        }
        Attack::Forged(spoil) => (F32, spoiled(signed(&target.patch, 1), spoil, true)),
        Attack::Damaged(spoil) => (F32, spoiled(signed(&target.patch, 1), spoil, false)),
        Attack::Made(make) => (F32, make(target)),
    }
}

#[test]
fn bytes_that_kernels_cannot_read_in_place_are_refused() {
    let target = Target::new();
    let bytes = signed(&target.patch, 1);
    let memory = kept(8 + bytes.len());
    memory[8..].copy_from_slice(&bytes);
    let shifted = &memory[8..];
    let error = Patch::from_static(shifted, &target.float, Verify::Full).expect_err("misaligned");
    assert!(error.to_string().contains("no multiple of 64"), "{error}");
    assert_eq!(
        Header::parse(shifted).expect("a header").kind,
        Kind::Patch as u16
    );
    assert!(bytes.len() > HEADER_LEN);
}
