//! Any bytes as an ONNX model: what is imported is refused by the writer, or runs, also as int8 where the model is quantised.
#![no_main]

use graft_patches::metadata::BackboneMetadata;
use graft_runtime::Backbone;
use graft_tests::run_if_small;
use graft_tools_fuzz::file;
use patchtool::import::compile::{Settings, compile};
use patchtool::import::{int8, onnx};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = file(bytes);
    let Ok(imported) = onnx::load(file.path(), None) else {
        return;
    };
    let settings = Settings {
        mean: [0.0; 4],
        std: [1.0; 4],
        max_classes: 10,
        metadata: BackboneMetadata::default(),
    };
    let Ok(bytes) = compile(&imported.graph, settings) else {
        return;
    };
    let Ok(backbone) = Backbone::from_bytes(&bytes) else {
        return;
    };
    run_if_small(&backbone, &backbone.identity());
    if let Some(quantization) = &imported.quantized
        && let Ok(bytes) = int8::compile(&backbone.image(), quantization)
        && let Ok(backbone) = Backbone::from_bytes(&bytes)
    {
        run_if_small(&backbone, &backbone.identity());
    }
});
