//! Writes generators of every kind with random parameters, `NAME.hyper`, and the values that they make of support sets,
//! `NAME.json`, into a folder: for `tests/parity/hyper.py`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use graft_patches::Digest;
use patchtool::hyper::convolution::EARLIER;
use patchtool::hyper::network::Generator;
use patchtool::hyper::{Config, Examples, Generates, Hyper, Precision, Provenance, Target};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// Classes, and the class of each image; where that is no class, it is not known.
const SUPPORT_SETS: [(usize, &[usize]); 4] = [
    (1, &[0]),
    (5, &[0, 1, 2, 3, 4]),
    (3, &[2, 0, 1, 9, 1, 9]),
    (2, &[1, 1, 1, 0]),
];

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("name a folder")?;
    let cnn = |channels, features| Target {
        channels,
        features,
        side: 28,
    };
    let (full, half) = (Precision::F32, Precision::F16);
    for (name, generates, target, continual, precision) in [
        ("prototypes", Generates::Prototypes, cnn(8, 8), false, full),
        ("all", Generates::All, cnn(8, 8), false, full),
        ("wide", Generates::All, cnn(16, 64), false, full),
        ("half", Generates::All, cnn(8, 64), false, half),
        ("continual", Generates::All, cnn(4, 4), true, full),
    ] {
        let config = Config::new(generates, target, continual);
        write(&Path::new(&folder).join(name), &config, precision)?;
    }
    Ok(())
}

fn write(path: &Path, config: &Config, precision: Precision) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let generator = Generator::new(config);
    let parameters = generator.parameters().into_iter();
    let parameters = parameters
        .map(|own| (own.name.clone(), own.start(&mut random)))
        .collect();
    let id = Digest::of(b"no backbone");
    let hyper = Hyper::new(
        &generator,
        &parameters,
        precision,
        id,
        Provenance::default(),
    )?;
    hyper.write(&path.with_extension("hyper"), true)?;
    let mut runs = Vec::new();
    for (classes, labels) in SUPPORT_SETS {
        let support = support(config, classes, labels, &mut random);
        let start = start(config, &mut random);
        runs.push(json!({
            "images": support.images,
            "labels": support.labels,
            "classes": classes,
            "start": start,
            "outputs": hyper.generate(&support, &start)?,
        }));
    }
    fs::write(path.with_extension("json"), json!(runs).to_string())?;
    Ok(())
}

fn support(config: &Config, classes: usize, labels: &[usize], random: &mut ChaCha8Rng) -> Examples {
    let size = config.target.side.pow(2);
    let known = |&label: &usize| Some(label).filter(|&label| label < classes);
    Examples {
        images: (0..labels.len() * size)
            .map(|_| random.random_range(-1.0..0.0))
            .collect(),
        labels: labels.iter().map(known).collect(),
        classes,
    }
}

/// The convolutions before, of a continual generator.
fn start(config: &Config, random: &mut ChaCha8Rng) -> Vec<Vec<f32>> {
    if !config.continual {
        return Vec::new();
    }
    let convolutions = config.target.convolutions().into_iter();
    convolutions
        .map(|[outputs, inputs]| {
            (0..outputs * (inputs * 9 + EARLIER))
                .map(|_| random.random_range(-0.5..0.5))
                .collect()
        })
        .collect()
}
