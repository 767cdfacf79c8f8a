//! What a generator is: what it generates, for which network, and its sizes.

use graft_patches::geometry::Shape;
use graft_patches::records::Input;
use serde::{Deserialize, Serialize};

/// What a generator makes of a support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Generates {
    /// The closed-form head: class means of a network that was trained for it (Snell et al. 2017, "Prototypical Networks").
    Prototypes,
    /// The head.
    Head,
    /// Every convolution and the head.
    All,
}

/// The network that it generates for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Four 3 x 3 convolutions with max pools on a grey image, then the head.
    Cnn {
        /// Output channels of every convolution.
        channels: usize,
        /// Rows and columns of the input.
        side: usize,
    },
    /// The embedding of a backbone that is not trained.
    Frozen {
        /// Values that the head reads.
        features: usize,
    },
}

/// What a generator is. Sizes are those of the paper's Omniglot configuration unless said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What it generates.
    pub generates: Generates,
    /// For which network.
    pub target: Target,
    /// Whether it goes on from the weights of an earlier patch (Continual HyperTransformer). Then the head is always made of
    /// prototypes.
    pub continual: bool,
    /// Most classes of a support set.
    pub max_ways: usize,
    /// Length of label embeddings and slice embeddings.
    pub embedding: usize,
    /// Channels of the shared features of an image.
    pub shared: usize,
    /// Of the transformer of each layer.
    pub transformer_layers: usize,
    /// Of the transformer's attention.
    pub heads: usize,
}

impl Config {
    /// Convolutions of the target CNN.
    pub const CONVOLUTIONS: usize = 4;
    /// Added to variances.
    pub const EPSILON: f32 = 1e-5;

    /// The paper's sizes.
    pub fn new(generates: Generates, target: Target, continual: bool) -> Self {
        Self {
            generates,
            target,
            continual,
            max_ways: 20,
            embedding: 32,
            shared: 32,
            transformer_layers: 3,
            heads: 2,
        }
    }

    /// Values that the head reads.
    pub fn features(&self) -> usize {
        match self.target {
            Target::Cnn { channels, .. } => channels,
            Target::Frozen { features } => features,
        }
    }

    /// Input of the target CNN: paper is 0, ink -1, so that the zeros of the padding look like paper.
    pub fn input(side: usize) -> Input {
        Input {
            shape: Shape::new(side, side, 1),
            mean: [255.0, 0.0, 0.0, 0.0],
            std: [255.0, 1.0, 1.0, 1.0],
        }
    }
}
