//! Any bytes as a checkpoint of PyTorch or safetensors, as they are and, of a zip archive, with its checksums made right:
//! what is imported as any of the architectures can be written, or not, as a backbone.
#![no_main]

use graft_patches::metadata::BackboneMetadata;
use graft_runtime::Backbone;
use graft_tools_fuzz::{file, seal};
use patchtool::import::compile::{Settings, compile};
use patchtool::import::torch::{Arch, load};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if bytes.starts_with(b"PK") {
        let mut sealed = bytes.to_vec();
        seal(&mut sealed);
        read(&sealed);
    }
});

fn read(bytes: &[u8]) {
    let file = file(bytes);
    for arch in [Arch::MobileNetV2, Arch::EfficientNetLite0] {
        let Ok(imported) = load(file.path(), arch, Some(32), None) else {
            continue;
        };
        let settings = Settings {
            mean: [0.0; 4],
            std: [1.0; 4],
            max_classes: 10,
            metadata: BackboneMetadata::default(),
        };
        if let Ok(bytes) = compile(&imported.graph, settings) {
            let _ = Backbone::from_bytes(&bytes);
        }
    }
}
