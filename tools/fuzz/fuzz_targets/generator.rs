//! Any bytes as a generator, as they are and with the digest of its graph made right: what is read is read again as the same,
//! and generates, where it is small.
#![no_main]

use graft_onnx::Message as _;
use graft_onnx::proto::ModelProto;
use graft_patches::Digest;
use patchtool::hyper::{Config, Examples, Hyper};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Hyper::from_bytes(bytes);
    let Ok(mut model) = ModelProto::decode(bytes) else {
        return;
    };
    let Some(graph) = &model.graph else {
        return;
    };
    let digest = Digest::of(&graph.encode_to_vec()).to_string();
    let mut properties = model.metadata_props.iter_mut();
    if let Some(entry) = properties.find(|entry| entry.key == "graft.hyper.digest") {
        entry.value = digest;
    }
    if let Ok(hyper) = Hyper::from_bytes(&model.encode_to_vec()) {
        let again = Hyper::from_bytes(&hyper.to_bytes()).expect("it was read before");
        assert_eq!(again.config(), hyper.config());
        generate(&hyper);
    }
});

/// Generates from an image of the only class.
fn generate(hyper: &Hyper) {
    let config: &Config = hyper.config();
    let values = config.target.side.pow(2);
    let sizes = [
        config.target.channels,
        config.target.features,
        config.embedding,
        config.shared,
        config.max_ways,
    ];
    if config.continual || sizes.iter().any(|&size| size > 64) {
        return;
    }
    let examples = Examples {
        images: vec![0.5; values],
        labels: vec![Some(0)],
        classes: 1,
    };
    hyper.generate(&examples, &[]).expect("the examples fit");
}
