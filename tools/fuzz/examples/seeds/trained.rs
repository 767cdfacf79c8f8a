//! Trained files of the small backbone, with and without a digest.

use std::collections::BTreeMap;

use graft_patches::metadata::Resize;
use graft_runtime::gradient::{Norm, SiteParameters};
use patchtool::trained::{BackboneRef, ClassWeights, DataRef, Metrics, TrainKind, Trained};

use super::Seeds;

pub fn all() -> Seeds {
    let head = trained(TrainKind::HEAD);
    // Another tool leaves the digest out: another key of the same length, which nobody reads.
    let mut without = head.clone();
    let key = b"graft.digest";
    let at = without.windows(key.len()).position(|found| found == key);
    without[at.expect("it has one")] = b'G';
    vec![
        ("head", head),
        ("without-digest", without),
        ("bn", trained(TrainKind::BN_HEAD)),
    ]
}

/// Values that differ from each other for every site.
fn trained(kind: TrainKind) -> Vec<u8> {
    let backbone = graft_tests::backbone(24, 1);
    let image = backbone.image();
    let ramp = |count: usize| {
        (0..count)
            .map(|at| 1.0 + at as f32 / 8.0)
            .collect::<Vec<_>>()
    };
    let mut sites = BTreeMap::new();
    for index in 0..image.site_count() {
        let site = image.site(index);
        let outputs = if site.is_head { 2 } else { site.outputs };
        let weights = kind
            .replaces(&site, graft_patches::records::What::Weights)
            .then(|| ramp(outputs * site.depth));
        let norm = kind
            .replaces(&site, graft_patches::records::What::Epilogue)
            .then(|| Norm::Affine {
                scale: ramp(outputs),
                bias: ramp(outputs),
            });
        let values = SiteParameters { weights, norm };
        if values != SiteParameters::default() {
            sites.insert(index, values);
        }
    }
    let trained = Trained {
        kind,
        name: "task".into(),
        tool: "seeds".into(),
        backbone: BackboneRef {
            name: "test".into(),
            id: backbone.id(),
        },
        input: image.input(),
        resize: Resize::default(),
        labels: vec!["a".into(), "b".into()],
        seed: 1,
        class_weights: ClassWeights::default(),
        data: DataRef::default(),
        metrics: Metrics::default(),
        sites,
    };
    trained.to_bytes(&image).expect("it fits")
}
