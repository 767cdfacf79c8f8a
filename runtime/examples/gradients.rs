//! Gradients of one batch, for comparison with other frameworks: `gradients BACKBONE INPUTS LABELS KINDS FOLDER`.
//!
//! INPUTS are normalised little-endian f32 values `[images][height][width][channels]` of the backbone's input, LABELS
//! a class index for each, KINDS some of `bn`, `dw`, `dense` and `head` joined by `+`. The head starts at the
//! backbone's own. Writes `logits.f32` and, for the mean softmax cross-entropy, the gradients
//! `site.NNN.{weights,gamma,beta,bias}.f32`, weights row-major as in `graft_patches::writer::SiteValues`.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use graft_patches::layout::unpack_weights;
use graft_runtime::Backbone;
use graft_runtime::gradient::{Network, Role, Trainable};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [backbone, inputs, labels, kinds, folder] = &arguments[..] else {
        return Err("usage: gradients BACKBONE INPUTS LABELS KINDS FOLDER".into());
    };
    let backbone = Backbone::open(backbone)?;
    let image = backbone.image();
    let head = image.head().ok_or("the backbone has no head")?;
    let classes = image.site(head).outputs;
    let trains = |kind| kinds.split('+').any(|found| found == kind);
    let trainable = Trainable {
        norm: trains("bn"),
        depthwise: trains("dw"),
        dense: trains("dense"),
        head: trains("head"),
    };
    let mut network = Network::new(&backbone, image.input().shape, classes, trainable)?;
    start_head(&mut network, &backbone, head);
    let bytes = fs::read(inputs)?;
    let inputs: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let labels = fs::read_to_string(labels)?;
    let labels: Vec<usize> = labels
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let logits = network.forward(&inputs).to_vec();
    network.backward(&cross_entropy_gradient(&logits, &labels, classes));
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    write(&folder.join("logits.f32"), &logits)?;
    for parameter in network.parameters() {
        let site = image.site(parameter.site);
        let (name, values) = match parameter.role {
            Role::Weights => (
                "weights",
                unpack_weights(
                    parameter.gradient,
                    site.outputs,
                    site.depth,
                    site.is_depthwise,
                ),
            ),
            Role::Scale => ("gamma", parameter.gradient.to_vec()),
            Role::Bias if site.is_head => ("bias", parameter.gradient.to_vec()),
            Role::Bias => ("beta", parameter.gradient.to_vec()),
        };
        write(
            &folder.join(format!("site.{:03}.{name}.f32", parameter.site)),
            &values,
        )?;
    }
    Ok(())
}

/// The backbone's head, whose scale is one.
fn start_head(network: &mut Network, backbone: &Backbone, head: usize) {
    let image = backbone.image();
    let site = image.site(head);
    for parameter in network
        .parameters()
        .into_iter()
        .filter(|parameter| parameter.site == head)
    {
        match parameter.role {
            Role::Weights => parameter.values.copy_from_slice(image.weights(&site)),
            _ => {
                let (_, bias) =
                    graft_patches::layout::unpack_epilogue(image.epilogue(&site), site.outputs);
                parameter.values.copy_from_slice(&bias);
            }
        }
    }
}

fn cross_entropy_gradient(logits: &[f32], labels: &[usize], classes: usize) -> Vec<f32> {
    let mut gradient = Vec::with_capacity(logits.len());
    for (scores, &label) in logits.chunks_exact(classes).zip(labels) {
        let largest = scores.iter().fold(f32::MIN, |most, &score| most.max(score));
        let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        for (class, power) in powers.iter().enumerate() {
            let target = if class == label { 1.0 } else { 0.0 };
            gradient.push((power / sum - target) / labels.len() as f32);
        }
    }
    gradient
}

fn write(path: &Path, values: &[f32]) -> std::io::Result<()> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs::write(path, bytes)
}
