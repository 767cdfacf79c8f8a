//! The smallest generators, with random parameters.

use graft_patches::Digest;
use patchtool::hyper::network::Generator;
use patchtool::hyper::{Config, Generates, Hyper, Precision, Provenance, Target};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::Seeds;

pub fn all() -> Seeds {
    vec![
        (
            "prototypes",
            hyper(Generates::Prototypes, false, Precision::F32),
        ),
        ("network", hyper(Generates::All, false, Precision::F32)),
        ("continual", hyper(Generates::All, true, Precision::F16)),
    ]
}

fn hyper(generates: Generates, continual: bool, precision: Precision) -> Vec<u8> {
    let target = Target {
        channels: 1,
        features: 2,
        side: 16,
    };
    let generator = Generator::new(&Config {
        max_ways: 2,
        embedding: 2,
        shared: 1,
        transformer_layers: 1,
        heads: 1,
        ..Config::new(generates, target, continual)
    });
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let parameters = generator.parameters().into_iter();
    let parameters = parameters
        .map(|own| (own.name.clone(), own.start(&mut random)))
        .collect();
    let backbone = Digest::of(b"backbone");
    let provenance = Provenance::default();
    Hyper::new(&generator, &parameters, precision, backbone, provenance)
        .expect("the parameters are its own")
        .to_bytes()
}
