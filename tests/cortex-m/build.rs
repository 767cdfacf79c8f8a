//! Writes the backbones, the patches, the image, and the host's scores and digests of layers that the program embeds.

use std::path::PathBuf;

use graft_patches::Digest;
use graft_runtime::{Backbone, Image, LayerOutput, Patch, Session};
use zerocopy::IntoBytes as _;

/// A patch that has layers in common with the backbone's own values, some of whose outputs it writes over.
fn saving_patch(backbone: &Backbone) -> Vec<u8> {
    let own = backbone.identity();
    let patches = (0..backbone.image().site_count()).map(|site| graft_tests::patch_from_site(backbone, site, 5, false));
    let is_saving = |bytes: &Vec<u8>| {
        let patch = Patch::from_bytes(bytes, backbone).expect("the patch fits");
        Session::many_arena_len(backbone, &[&own, &patch]) > Session::arena_len(backbone)
    };
    patches.into_iter().find(is_saving).expect("there is one")
}

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let write = |name: &str, bytes: &[u8]| std::fs::write(out.join(name), bytes).expect("OUT_DIR is writable");
    let float = graft_tests::backbone(24, 1);
    let int8 = Backbone::from_bytes(&graft_tests::int8::backbone(&float)).expect("it is valid");
    let [float_patch, int8_patch] = graft_tests::int8::random_patches(&float, &int8, 7, 2);
    let values = graft_tests::image(&float.identity(), 3);
    write("image", values.as_bytes());
    for (dtype, backbone, bytes) in [("f32", &float, &float_patch), ("int8", &int8, &int8_patch)] {
        write(&format!("{dtype}.backbone"), backbone.image().bytes());
        write(&format!("{dtype}.patch"), bytes);
        write(&format!("{dtype}.arena"), &Session::cortex_m_arena_len(backbone).to_le_bytes());
        let patch = Patch::from_bytes(bytes, backbone).expect("the patch fits");
        write(&format!("{dtype}.later"), &saving_patch(backbone));
        let session = Session::new(backbone).expect("kernels are there");
        let mut session = session.unfused().expect("memory is there");
        session.use_kernels("reference").expect("always there");
        for (task, patch) in [("own", &backbone.identity()), ("patch", &patch)] {
            let mut layers = Vec::new();
            let scores = session.run_observed(patch, Image::Values(&values), |_, output| {
                let digest = match output {
                    LayerOutput::F32(values) => Digest::of(values.as_bytes()),
                    LayerOutput::I8(values, _) => Digest::of(values.as_bytes()),
                };
                layers.extend_from_slice(&digest.0[..8]);
            });
            write(&format!("{dtype}.{task}.scores"), scores.expect("the image fits").as_bytes());
            write(&format!("{dtype}.{task}.layers"), &layers);
        }
    }
    let target = std::env::var("TARGET").expect("cargo sets it");
    let (memory, kernels): (&[u8], _) = match target.split('-').next() {
        Some("thumbv7m") => (include_bytes!("memory/mps2.x"), "cortex-m"),
        Some("thumbv8m.main") => (include_bytes!("memory/mps2-an505.x"), "cortex-m-dsp"),
        _ => (include_bytes!("memory/mps2.x"), "cortex-m-dsp"),
    };
    write("memory.x", memory);
    println!("cargo:rustc-env=KERNELS={kernels}");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rerun-if-changed=memory");
    println!("cargo:rerun-if-changed=build.rs");
}
