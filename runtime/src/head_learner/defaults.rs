//! Recipes for backbones that have none of their own.

use super::{Method, Recipe, Step};

/// Gradient descent.
pub const GD: Recipe<'static> = Recipe {
    method: Method::Descent(
        &[Step {
            eta: 1.5,
            gamma: 0.0,
        }; 5],
    ),
    confidence: 10.0,
};

/// Gradient descent that transforms the examples at each step.
pub const GD_PLUS_PLUS: Recipe<'static> = Recipe {
    method: Method::Descent(&[
        Step {
            eta: 1.5,
            gamma: 0.8,
        },
        Step {
            eta: 8.0,
            gamma: 4.0,
        },
        Step {
            eta: 30.0,
            gamma: 0.0,
        },
    ]),
    confidence: 10.0,
};

/// Ridge regression.
pub const RIDGE: Recipe<'static> = Recipe {
    method: Method::Ridge { lambda: 0.01 },
    confidence: 10.0,
};
