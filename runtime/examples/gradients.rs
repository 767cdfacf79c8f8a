//! Gradients of one batch, for comparison with other frameworks: `gradients BACKBONE INPUTS LABELS KINDS FOLDER`.
//!
//! INPUTS are normalised little-endian f32 values `[images][height][width][channels]` of the backbone's input, LABELS
//! a class index for each, KINDS some of `bn`, `dw`, `dense` and `head` joined by `+`. The head starts at the
//! backbone's own. Writes `logits.f32` and, for the mean softmax cross-entropy, the gradients
//! `site.NNN.{weights,gamma,beta,bias}.f32`, weights row-major as in `graft_patches::writer::SiteValues`.

mod shared;

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use graft_patches::layout::{pack_weights, unpack_epilogue, unpack_weights};
use graft_runtime::Backbone;
use graft_runtime::gradient::{Network, Role};
use shared::{cross_entropy_gradient, trainable};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [backbone, inputs, labels, kinds, folder] = &arguments[..] else {
        return Err("usage: gradients BACKBONE INPUTS LABELS KINDS FOLDER".into());
    };
    let backbone = Backbone::open(backbone)?;
    let image = backbone.image();
    let head = image.head().ok_or("the backbone has no head")?;
    let classes = image.site(head).outputs;
    let shape = image.input().shape;
    let mut network = Network::new(&backbone, shape, classes, trainable(kinds)?)?;
    start_head(&mut network, &backbone, head);
    let bytes = fs::read(inputs)?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(4 * shape.len()) {
        let found = bytes.len();
        return Err(format!("INPUTS has {found} bytes, expected f32 images of {shape}").into());
    }
    let inputs: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let labels = fs::read_to_string(labels)?;
    let labels: Vec<usize> = labels
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let images = inputs.len() / shape.len();
    if labels.len() != images {
        return Err(format!("LABELS has {} labels, expected {images}", labels.len()).into());
    }
    if let Some(label) = labels.iter().find(|&&label| label >= classes) {
        return Err(format!("label {label} in LABELS, expected 0 to {}", classes - 1).into());
    }
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

/// The backbone's head. One in training has no scale: it goes into the weights.
fn start_head(network: &mut Network, backbone: &Backbone, head: usize) {
    let image = backbone.image();
    let site = image.site(head);
    let (scale, bias) = unpack_epilogue(image.epilogue(&site), site.outputs);
    let mut weights = unpack_weights(image.weights(&site), site.outputs, site.depth, false);
    for (row, scale) in weights.chunks_exact_mut(site.depth).zip(scale) {
        row.iter_mut().for_each(|weight| *weight *= scale);
    }
    let weights = pack_weights(&weights, site.outputs, site.depth, false);
    let parameters = network.parameters().into_iter();
    for parameter in parameters.filter(|parameter| parameter.site == head) {
        parameter.values.copy_from_slice(match parameter.role {
            Role::Weights => &weights,
            Role::Scale | Role::Bias => &bias,
        });
    }
}

fn write(path: &Path, values: &[f32]) -> std::io::Result<()> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs::write(path, bytes)
}
