//! The configuration of a generator: its outputs, the network that they are for, and its sizes.

use std::ops::RangeInclusive;

use graft_patches::geometry::Shape;
use graft_patches::records::Input;
use serde::{Deserialize, Serialize};

/// The values that a generator makes of a support set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Generates {
    /// The closed-form head: class means of a network that was trained for it (Snell et al. 2017, "Prototypical Networks").
    Prototypes,
    /// Every convolution, and the head of class means.
    All,
}

/// The network that it generates for: four 3 x 3 convolutions with max pools on a grey image, then the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Output channels of every convolution but the last.
    pub channels: usize,
    /// Output channels of the last convolution, which the head reads.
    pub features: usize,
    /// Rows and columns of the input.
    pub side: usize,
}

impl Target {
    /// Output and input channels of each convolution.
    pub fn convolutions(&self) -> [[usize; 2]; Config::CONVOLUTIONS] {
        let inner = self.channels;
        [[inner, 1], [inner; 2], [inner; 2], [self.features, inner]]
    }
}

/// The configuration of a generator. Sizes are those of the paper's Omniglot configuration unless said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Its outputs.
    pub generates: Generates,
    /// The network that they are for.
    pub target: Target,
    /// Whether it goes on from the weights of an earlier patch (Continual HyperTransformer).
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

/// A size that no generator has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} {what}, expected {least} to {most}")]
pub struct ConfigError {
    /// The size.
    pub what: &'static str,
    /// Its value.
    pub found: usize,
    /// Smallest that there is.
    pub least: usize,
    /// Largest that there is.
    pub most: usize,
}

impl Config {
    /// Convolutions of the target CNN.
    pub const CONVOLUTIONS: usize = 4;
    /// Rows and columns of images of which [`Self::CONVOLUTIONS`] pools leave one pixel.
    const SIDES: RangeInclusive<usize> = 16..=31;
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

    /// Whether there is such a generator.
    ///
    /// # Errors
    /// A size that is none, or beyond what generators are made for.
    pub fn check(&self) -> Result<(), ConfigError> {
        const MOST: usize = 1 << 16;
        let Target {
            channels,
            features,
            side,
        } = self.target;
        for (what, found, range) in [
            ("channels", channels, 1..=MOST),
            ("features", features, 1..=MOST),
            ("rows and columns", side, Self::SIDES),
            ("ways", self.max_ways, 1..=MOST),
            ("values of an embedding", self.embedding, 1..=MOST),
            ("shared features", self.shared, 1..=MOST),
            ("layers of a transformer", self.transformer_layers, 0..=64),
            ("heads", self.heads, 1..=64),
        ] {
            if !range.contains(&found) {
                let (least, most) = (*range.start(), *range.end());
                return Err(ConfigError {
                    what,
                    found,
                    least,
                    most,
                });
            }
        }
        Ok(())
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
