//! Writes the seed corpus of the fuzz targets: `cargo run -p graft-tests --example seeds -- patches/fuzz/seeds`.

use std::mem::offset_of;
use std::path::PathBuf;

use graft_patches::container::SectionKind;
use graft_patches::records::{Dtype, Kinds, PlanRecord};
use graft_patches::writer;
use graft_runtime::Backbone;
use graft_tests::{
    backbone, blocks, continual, every_operator, identity_patch, int8, random_patch,
    random_patch_as, section,
};

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

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder"));
    let small = backbone(24, 1);
    let small_int8 = Backbone::from_bytes(&int8::backbone(&small)).expect("it is valid");
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
    ];
    for (name, bytes) in seeds {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("it has a folder"))?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}
