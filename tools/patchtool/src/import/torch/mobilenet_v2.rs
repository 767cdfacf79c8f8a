//! MobileNetV2 of torchvision. Widths are read from the weights, so every width multiplier works.

use graft_patches::geometry::{Activation, Padding, Window};

use super::network::{Convolution, Network, POINT};
use crate::import::error::ImportError;

/// Expansion, blocks and stride of the first block, from table 2 of the MobileNetV2 paper.
const STAGES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (6, 2, 2),
    (6, 3, 2),
    (6, 4, 2),
    (6, 3, 1),
    (6, 3, 2),
    (6, 1, 1),
];

pub(super) fn build(network: &mut Network) -> Result<(), ImportError> {
    add_dense(network, "features.0.0", "features.0.1", around(2))?;
    let mut index = 1;
    for (expansion, blocks, stride) in STAGES {
        for block in 0..blocks {
            add_block(
                network,
                index,
                expansion,
                if block == 0 { stride } else { 1 },
            )?;
            index += 1;
        }
    }
    let (name, norm) = (format!("features.{index}.0"), format!("features.{index}.1"));
    add_dense(network, &name, &norm, POINT)?;
    network.classify("classifier.1")
}

/// A convolution with as many outputs as its weights have.
fn add_dense(
    network: &mut Network,
    name: &str,
    norm: &str,
    window: Window,
) -> Result<(), ImportError> {
    let outputs = network.state.outputs(&format!("{name}.weight"))?;
    network.convolution(&layer(name, norm, Some(outputs), window))
}

fn add_block(
    network: &mut Network,
    index: usize,
    expansion: usize,
    stride: usize,
) -> Result<(), ImportError> {
    let input = network.last();
    let channels = network.channels(input);
    let name = |part: &str| format!("features.{index}.conv.{part}");
    // The modules of a block are numbered; without expansion they start at the depthwise convolution.
    let first = usize::from(expansion != 1);
    if expansion != 1 {
        let hidden = Some(channels * expansion);
        network.convolution(&layer(&name("0.0"), &name("0.1"), hidden, POINT))?;
    }
    let (depthwise, norm) = (name(&format!("{first}.0")), name(&format!("{first}.1")));
    network.convolution(&layer(&depthwise, &norm, None, around(stride)))?;
    let (project, norm) = (
        name(&(first + 1).to_string()),
        name(&(first + 2).to_string()),
    );
    let outputs = network.state.outputs(&format!("{project}.weight"))?;
    network.convolution(&Convolution {
        activation: Activation::NONE,
        ..layer(&project, &norm, Some(outputs), POINT)
    })?;
    if stride == 1 && channels == outputs {
        network.add(&format!("features.{index}.add"), input);
    }
    Ok(())
}

fn layer<'n>(
    name: &'n str,
    norm: &'n str,
    outputs: Option<usize>,
    window: Window,
) -> Convolution<'n> {
    Convolution {
        name,
        norm,
        epsilon: 1e-5,
        outputs,
        window,
        activation: Activation::RELU6,
    }
}

/// 3 x 3 with one pixel of padding all around.
fn around(stride: usize) -> Window {
    Window {
        kernel: [3; 2],
        stride: [stride; 2],
        padding: Padding::Explicit {
            top: 1,
            left: 1,
            bottom: 1,
            right: 1,
        },
    }
}
