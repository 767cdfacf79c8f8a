//! Networks in training for tests.

use graft_patches::geometry::Shape;
use graft_patches::layout::{dense_index, depthwise_index};
use graft_runtime::Backbone;
use graft_runtime::gradient::{BatchNormMode, Network, Parameter, Role, Trainable};

use crate::Random;

/// Everything is trained.
pub const ALL: Trainable = Trainable {
    norm: true,
    batch_norm: BatchNormMode::Batch,
    depthwise: true,
    dense: true,
    head: true,
    from_layer: 0,
};

/// Classes of the networks.
pub const CLASSES: usize = 4;

/// A network whose head is not zero, a batch of `images` images, and how much each score counts in the loss.
pub fn setup(
    backbone: &Backbone,
    input: Shape,
    trainable: Trainable,
    images: usize,
) -> (Network, Vec<f32>, Vec<f32>) {
    let mut random = Random(11);
    let mut network =
        Network::new(backbone, input, CLASSES, trainable).expect("the network has a head");
    let head = backbone.image().head();
    for parameter in network.parameters() {
        if Some(parameter.site) == head && parameter.role == Role::Weights {
            for i in trained_elements(backbone, &parameter) {
                parameter.values[i] = random.value();
            }
        }
    }
    let batch = random.values(images * network.input_len(), 1.0);
    let loss = random.values(images * CLASSES, 1.0);
    (network, batch, loss)
}

/// All gradients of the last backward pass.
pub fn gradients(network: &mut Network) -> Vec<Vec<f32>> {
    let parameters = network.parameters();
    parameters.iter().map(|p| p.gradient.to_vec()).collect()
}

/// Places of a parameter's values: the others are padding.
pub fn trained_elements(backbone: &Backbone, parameter: &Parameter<'_>) -> Vec<usize> {
    if parameter.role != Role::Weights {
        return (0..parameter.values.len()).collect();
    }
    let site = backbone.image().site(parameter.site);
    let outputs = if site.is_head { CLASSES } else { site.outputs };
    let index = |channel, k| match site.is_depthwise {
        true => depthwise_index(channel, k, outputs),
        false => dense_index(channel, k, site.depth),
    };
    (0..outputs)
        .flat_map(|channel| (0..site.depth).map(move |k| index(channel, k)))
        .collect()
}
