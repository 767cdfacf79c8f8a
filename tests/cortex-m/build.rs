//! Writes the backbone, the patch, the image and the host's scores that the program embeds.

use std::path::PathBuf;

use graft_runtime::{Image, Patch, Session, kernels};

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let write = |name: &str, bytes: &[u8]| std::fs::write(out.join(name), bytes).expect("OUT_DIR is writable");
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let backbone = graft_tests::backbone(24, 1);
    let patch_bytes = graft_tests::random_patch(&backbone, 7, 2);
    let patch = Patch::from_bytes(&patch_bytes, &backbone).expect("the patch fits");
    let values = graft_tests::image(&patch, 3);
    let mut session = Session::new(&backbone).expect("kernels are there");
    session.use_kernels("reference").expect("always there");
    for (name, patch) in [("own.scores", &backbone.identity()), ("patch.scores", &patch)] {
        let scores = session.run(patch, Image::Values(&values)).expect("the image fits");
        write(name, &floats(scores));
    }
    write("test.backbone", backbone.image().bytes());
    write("test.patch", &patch_bytes);
    write("image", &floats(&values));
    write("memory.x", include_bytes!("memory.x"));
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
}
