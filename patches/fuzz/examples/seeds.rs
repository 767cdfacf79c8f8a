//! Writes the seed corpora of the fuzz targets: `cargo run --manifest-path patches/fuzz/Cargo.toml --example seeds`.

use std::fs;
use std::mem::offset_of;
use std::path::Path;

use graft_patches::container::SectionKind;
use graft_patches::minisign;
use graft_patches::records::{Dtype, Kinds, PlanRecord};
use graft_patches::writer;
use graft_runtime::Backbone;
use graft_store::{Limits, StoreFolder};
use graft_tests::{
    backbone, blocks, continual, every_operator, identity_patch, int8, random_patch,
    random_patch_as, section,
    signed::{self, TASK},
};

/// Bytes before the state in its file: magic, version, digest.
const SEAL: usize = 8 + 4 + 32;

/// With a plan that has room for one class less than the backbone has: refused.
fn without_room(mut image: Vec<u8>) -> Vec<u8> {
    let backbone = Backbone::from_bytes(&image).expect("it is valid");
    let room = backbone.identity().classes() as u32 - 1;
    let plan = section(&image, SectionKind::Plan).start;
    let field = plan + offset_of!(PlanRecord, max_classes);
    image[field..field + 4].copy_from_slice(&room.to_le_bytes());
    writer::seal(&mut image);
    image
}

/// With another signature of the same patch, which some verifiers take: the second half of it, a number modulo the order of the
/// group, and the order added.
fn malleable(mut image: Vec<u8>) -> Vec<u8> {
    const ORDER: [u8; 32] = *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
    let signature = section(&image, SectionKind::Signature);
    let mut carry = 0;
    for (byte, order) in image[signature.end - 32..signature.end]
        .iter_mut()
        .zip(ORDER)
    {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    writer::seal(&mut image);
    image
}

/// States of a task and steps of its store, as the target wants them: their number, a byte each, and the state without what
/// seals it.
fn states() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let backbone = signed::backbone();
    let store = StoreFolder::new(folder.path().join("store"), Limits::default());
    let input = |steps: &[u8]| {
        let state = store.task(TASK).expect("it is there").to_bytes();
        [&[steps.len() as u8], steps, &state[SEAL..]].concat()
    };
    let mut states = Vec::new();
    for (at, patch) in signed::patches(&backbone).iter().enumerate() {
        store.install(patch, &backbone).expect("it is signed");
        if at == 0 {
            states.push(("state/written", input(&[1, 6, 8, 1, 7, 5])));
        }
        store.activate(TASK, None, &backbone).expect("it runs");
        if at == 1 {
            states.push(("state/trial", input(&[6, 16, 18, 3, 4, 5, 7])));
        }
        store.confirm(TASK).expect("it is on trial");
    }
    states.push(("state/good", input(&[7, 8, 18, 3, 4, 4, 5, 0, 1, 14])));
    states
}

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let small = backbone(24, 1);
    let small_int8 = Backbone::from_bytes(&int8::backbone(&small)).expect("it is valid");
    let key = minisign::public_key(&signed::key().public());
    let [signed, other, warm] = signed::patches(&signed::backbone());
    let seeds = [
        ("backbone/every-operator", every_operator(24, 1)),
        ("backbone/one-pixel", every_operator(1, 1)),
        ("backbone/blocks", blocks(24, 1)),
        ("backbone/int8", int8::backbone(&small)),
        (
            "backbone/no-room-for-own-head",
            without_room(int8::backbone(&small)),
        ),
        (
            "patch/int8",
            int8::random_patches(&small, &small_int8, 7, 2)[1].clone(),
        ),
        (
            "patch/int8-f16",
            int8::random_patch_as(Dtype::I8Half, &small, &small_int8, 7, 2),
        ),
        ("patch/bn-head", random_patch(&small, 7, 2)),
        (
            "patch/bn-head-f16",
            random_patch_as(Dtype::F16, &small, 7, 2),
        ),
        ("patch/dw", identity_patch(&small, Kinds::DW)),
        ("patch/generated", identity_patch(&small, Kinds::GENERATED)),
        (
            "patch/continual",
            continual::patch(&small, continual::state(10)),
        ),
        (
            "patch/int8-continual",
            continual::int8_patch(&small_int8, continual::state(10)),
        ),
        ("patch/signed-warm", warm.clone()),
        ("signature/malleable", malleable(signed.clone())),
        ("signature/signed", signed),
        ("signature/other", other),
        ("signature/warm", warm),
        ("minisign/key", key.clone().into()),
        (
            "minisign/line",
            key.lines().skip(1).collect::<String>().into(),
        ),
    ];
    for (name, bytes) in seeds.into_iter().chain(states()) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it has a folder"))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
