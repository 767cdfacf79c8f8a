//! A network of inverted residuals (Sandler et al. 2018): a convolution, blocks in stages, a pointwise convolution, the
//! classifier.

use graft_patches::geometry::{Activation, Window};

use super::names::{Names, Pair, Place};
use super::network::{Convolution, Network, POINT};
use crate::import::error::ImportError;

/// What an architecture is, apart from its names. Widths that it leaves open are those of the weights.
pub(super) struct Design {
    pub(super) stem: Option<usize>,
    pub(super) stages: Vec<Stage>,
    pub(super) head: Option<usize>,
    /// Of the batch norms.
    pub(super) epsilon: f32,
    /// The window of this kernel and stride.
    pub(super) window: fn(usize, usize) -> Window,
}

/// Blocks of one width, of which the first may have a stride.
pub(super) struct Stage {
    pub(super) repeats: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// How many times wider than its input a block is inside.
    pub(super) expansion: usize,
    pub(super) outputs: Option<usize>,
}

/// Adds all layers.
pub(super) fn build(
    network: &mut Network,
    design: &Design,
    names: Names,
) -> Result<(), ImportError> {
    let dense = |network: &mut Network, pair: Pair, outputs, window| {
        let outputs = Some(network.width(&pair, outputs)?);
        network.convolution(&layer(&pair, design, outputs, window))
    };
    dense(network, names.stem(), design.stem, (design.window)(3, 2))?;
    let mut index = 0;
    for (i, stage) in design.stages.iter().enumerate() {
        for repeat in 0..stage.repeats {
            let place = Place {
                index,
                stage: i,
                repeat,
                is_expanded: stage.expansion != 1,
            };
            add_block(network, design, stage, names, place)?;
            index += 1;
        }
    }
    dense(network, names.head(index), design.head, POINT)?;
    network.classify(names.classifier())
}

fn add_block(
    network: &mut Network,
    design: &Design,
    stage: &Stage,
    names: Names,
    place: Place,
) -> Result<(), ImportError> {
    let stride = if place.repeat == 0 { stage.stride } else { 1 };
    let input = network.last();
    let channels = network.channels(input);
    if place.is_expanded {
        let hidden = Some(channels * stage.expansion);
        network.convolution(&layer(&names.expand(place), design, hidden, POINT))?;
    }
    let window = (design.window)(stage.kernel, stride);
    network.convolution(&layer(&names.depthwise(place), design, None, window))?;
    let project = names.project(place);
    let outputs = network.width(&project, stage.outputs)?;
    network.convolution(&Convolution {
        activation: Activation::NONE,
        ..layer(&project, design, Some(outputs), POINT)
    })?;
    if stride == 1 && channels == outputs {
        network.add(&names.add(place), input);
    }
    Ok(())
}

fn layer<'n>(
    pair: &'n Pair,
    design: &Design,
    outputs: Option<usize>,
    window: Window,
) -> Convolution<'n> {
    Convolution {
        name: &pair.conv,
        norm: &pair.norm,
        epsilon: design.epsilon,
        outputs,
        window,
        activation: Activation::RELU6,
    }
}
