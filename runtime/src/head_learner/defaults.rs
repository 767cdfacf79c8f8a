//! Recipes for backbones that have none of their own: learned by the example `heads` of `graft-meta` on the embeddings of
//! EfficientNet-Lite0, from episodes of 5 and 10 classes of CIFAR-10's test images and of characters. Numbers of steps, up to
//! three, and lambda were chosen by the accuracy on episodes of Fashion-MNIST and of Omniglot's second small set:
//!
//! ```text
//! heads learn --backbone lite0.backbone --data cifar10-test.tar --data images_background_small1.zip \
//!     --validation fashion-mnist-test.tar --validation images_background_small2.zip --episodes 80 -o recipes
//! ```

use super::{Method, Recipe, Step};

const fn step(eta: f32, gamma: f32) -> Step {
    Step { eta, gamma }
}

/// Gradient descent.
pub const GD: Recipe<'static> = Recipe {
    method: Method::Descent(&[step(1.36, 0.0), step(1.58, 0.0), step(3.73, 0.0)]),
    confidence: 7.3,
};

/// Gradient descent that transforms the examples at each step.
pub const GD_PLUS_PLUS: Recipe<'static> = Recipe {
    method: Method::Descent(&[step(1.63, 1.12), step(5.14, 1.91), step(8.38, 0.0)]),
    confidence: 7.3,
};

/// Ridge regression.
pub const RIDGE: Recipe<'static> = Recipe {
    method: Method::Ridge { lambda: 0.03 },
    confidence: 8.0,
};
