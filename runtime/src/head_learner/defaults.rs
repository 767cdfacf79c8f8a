//! Recipes for backbones that have none of their own: learned by the example `heads` of `graft-meta` on episodes of CIFAR-10's
//! test images and the embeddings of EfficientNet-Lite0 (5 and 10 classes of 1, 5 and 20 images). The number of steps was
//! chosen by episodes of Fashion-MNIST.

use super::{Method, Recipe, Step};

const fn step(eta: f32, gamma: f32) -> Step {
    Step { eta, gamma }
}

/// Gradient descent.
pub const GD: Recipe<'static> = Recipe {
    method: Method::Descent(&[step(1.92, 0.0); 3]),
    confidence: 7.2,
};

/// Gradient descent that transforms the examples at each step.
pub const GD_PLUS_PLUS: Recipe<'static> = Recipe {
    method: Method::Descent(&[step(1.62, 1.05), step(4.04, 0.0)]),
    confidence: 7.7,
};

/// Ridge regression.
pub const RIDGE: Recipe<'static> = Recipe {
    method: Method::Ridge { lambda: 0.02 },
    confidence: 6.0,
};
