//! The target CNN as a backbone: what a generator's patches are for.

use graft_patches::geometry::{Activation, Padding, Window};
use graft_patches::metadata::{BackboneMetadata, Filter, Fit, Resize, SiteMetadata};
use graft_patches::records::{Layer, Op};
use graft_patches::writer::{BackboneWriter, SiteValues, WriteError};

use super::Config;
use super::generated::{Convolution, rows};

/// Classes that a target CNN's plan has room for: the prototypes of many tasks. Scores take four bytes of the arena for each.
pub const MAX_CLASSES: usize = 256;

/// The backbone of a target CNN: for each convolution 3 x 3 with zeros around, scale, bias and ReLU, then a max pool of 2 x 2;
/// at the end a head. Its input is a grey image of `side` x `side` pixels, stretched; its frozen weights are where
/// generation starts from, or all that there is where only the head is generated. Every task brings its own head: this one's
/// has a single class, whose score is 0. There is room for [`MAX_CLASSES`].
///
/// # Errors
/// Values that do not fit together, and convolutions that do not leave one pixel: the head reads a row of channels.
pub fn backbone(
    name: &str,
    source: &str,
    side: usize,
    convolutions: &[Convolution],
) -> Result<Vec<u8>, WriteError> {
    let input = Config::input(side);
    let mut writer = BackboneWriter::new(input);
    let (mut tensor, mut channels) = (0, input.shape.channels);
    for convolution in convolutions {
        let weights = convolution.weights.as_deref().unwrap_or_default();
        let weights = rows(weights, CONVOLUTION.kernel, channels);
        let values = SiteValues {
            weights: &weights,
            scale: &convolution.scale,
            bias: &convolution.bias,
        };
        let conv = layer(Op::Conv, tensor, CONVOLUTION, Activation::RELU);
        let (output, _) = writer.push(conv, Some(values))?;
        let pool = layer(Op::MaxPool, output, POOL, Activation::NONE);
        let (output, shape) = writer.push(pool, None)?;
        (tensor, channels) = (output, shape.channels);
    }
    let head = layer(Op::Linear, tensor, Window::POINT, Activation::NONE);
    let none = SiteValues {
        weights: &vec![0.0; channels],
        scale: &[1.0],
        bias: &[0.0],
    };
    writer.push(head, Some(none))?;
    writer.finish(MAX_CLASSES, &metadata(name, source, convolutions.len()))
}

const CONVOLUTION: Window = Window {
    kernel: [3, 3],
    stride: [1, 1],
    padding: Padding::Explicit {
        top: 1,
        left: 1,
        bottom: 1,
        right: 1,
    },
};

const POOL: Window = Window {
    kernel: [2, 2],
    stride: [2, 2],
    padding: Padding::VALID,
};

fn layer(op: Op, input: usize, window: Window, activation: Activation) -> Layer {
    Layer {
        op,
        inputs: [input; 2],
        site: None,
        window,
        activation,
        count_padding: false,
    }
}

fn metadata(name: &str, source: &str, convolutions: usize) -> BackboneMetadata {
    let numbers = 1..=convolutions;
    let layers = numbers
        .clone()
        .flat_map(|n| [format!("conv{n}"), format!("pool{n}")]);
    let sites = numbers.map(|n| format!("conv{n}.weight"));
    let end = |name: &str| std::iter::once(name.to_owned());
    BackboneMetadata {
        name: name.into(),
        source: source.into(),
        tool: crate::TOOL.into(),
        resize: Resize {
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
        },
        layers: layers.chain(end("head")).collect(),
        sites: sites
            .chain(end("head.weight"))
            .map(|weight| SiteMetadata {
                weight,
                ..SiteMetadata::default()
            })
            .collect(),
        ..BackboneMetadata::default()
    }
}
