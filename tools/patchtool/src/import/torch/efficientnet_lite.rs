//! EfficientNet-Lite: EfficientNet without squeeze-excite, with ReLU6, TensorFlow's SAME padding, and a stem and head
//! that don't scale.

use graft_patches::geometry::{Activation, Padding, Window};

use super::network::{Convolution, Network, POINT};
use crate::import::error::ImportError;

struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    outputs: usize,
}

const fn stage(
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    outputs: usize,
) -> Stage {
    Stage {
        repeats,
        kernel,
        stride,
        expansion,
        outputs,
    }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

const EPSILON: f32 = 1e-3;

pub(super) fn build(network: &mut Network, width: f64, depth: f64) -> Result<(), ImportError> {
    let stem = dense("_conv_stem", "_bn0", 32, same(3, 2));
    network.convolution(&stem)?;
    let mut block = 0;
    for (i, stage) in STAGES.iter().enumerate() {
        // The first and last stage belong to the stem and head: they don't get deeper.
        let is_fixed = i == 0 || i + 1 == STAGES.len();
        let repeats = if is_fixed {
            stage.repeats
        } else {
            (stage.repeats as f64 * depth).ceil() as usize
        };
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stage.stride } else { 1 };
            add_block(network, block, stage, stride, scaled(stage.outputs, width))?;
            block += 1;
        }
    }
    network.convolution(&dense("_conv_head", "_bn1", 1280, POINT))?;
    network.classify("_fc")
}

fn add_block(
    network: &mut Network,
    index: usize,
    stage: &Stage,
    stride: usize,
    outputs: usize,
) -> Result<(), ImportError> {
    let input = network.last();
    let channels = network.channels(input);
    let name = |part: &str| format!("_blocks.{index}.{part}");
    if stage.expansion != 1 {
        let hidden = channels * stage.expansion;
        let (conv, norm) = (name("_expand_conv"), name("_bn0"));
        network.convolution(&dense(&conv, &norm, hidden, POINT))?;
    }
    network.convolution(&Convolution {
        outputs: None,
        ..dense(
            &name("_depthwise_conv"),
            &name("_bn1"),
            0,
            same(stage.kernel, stride),
        )
    })?;
    network.convolution(&Convolution {
        activation: Activation::NONE,
        ..dense(&name("_project_conv"), &name("_bn2"), outputs, POINT)
    })?;
    if stride == 1 && channels == outputs {
        network.add(&name("add"), input);
    }
    Ok(())
}

fn dense<'n>(name: &'n str, norm: &'n str, outputs: usize, window: Window) -> Convolution<'n> {
    Convolution {
        name,
        norm,
        epsilon: EPSILON,
        outputs: Some(outputs),
        window,
        activation: Activation::RELU6,
    }
}

fn same(kernel: usize, stride: usize) -> Window {
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Same,
    }
}

/// Channels times the width, rounded to a multiple of 8 but not down by more than a tenth.
fn scaled(channels: usize, width: f64) -> usize {
    let wanted = channels as f64 * width;
    let rounded = (((wanted + 4.0) / 8.0) as usize * 8).max(8);
    if (rounded as f64) < 0.9 * wanted {
        rounded + 8
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_round_as_in_tensorflow() {
        let lite2 = STAGES.map(|stage| scaled(stage.outputs, 1.1));
        assert_eq!(lite2, [16, 24, 48, 88, 120, 208, 352]);
        assert_eq!(STAGES.map(|stage| scaled(stage.outputs, 1.0))[1], 24);
    }
}
