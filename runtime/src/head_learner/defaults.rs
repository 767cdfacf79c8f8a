//! Recipes for backbones that have none of their own: learned by `tools/experiments/heads.py` on episodes of CIFAR-10's test
//! images and the embeddings of EfficientNet-Lite0 (5 and 10 classes of 1, 5 and 20 images).

use super::{Method, Recipe, Step};

const fn step(eta: f32, gamma: f32) -> Step {
    Step { eta, gamma }
}

/// Gradient descent.
pub const GD: Recipe<'static> = Recipe {
    method: Method::Descent(&[step(1.5, 0.0); 5]),
    confidence: 8.0,
};

/// Gradient descent that transforms the examples at each step.
pub const GD_PLUS_PLUS: Recipe<'static> = Recipe {
    method: Method::Descent(&[step(0.21, 0.26), step(5.42, 1.58), step(9.5, 0.0)]),
    confidence: 4.9,
};

/// Ridge regression.
pub const RIDGE: Recipe<'static> = Recipe {
    method: Method::Ridge { lambda: 0.02 },
    confidence: 6.0,
};
