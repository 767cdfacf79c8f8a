//! Recipes in files, as JSON that people can read: `cargo run --release -p graft-meta --example heads -- learn` makes one for a
//! backbone.

use graft_patches::head_sums::HeadSums;
use graft_runtime::head_learner::{MAX_STEPS, Method, Recipe, Step};
use serde::{Deserialize, Serialize};

/// A recipe that owns its steps: `{"steps": [[1.2, 0.5], [9, 0]], "confidence": 5}` with eta and gamma of each step, or
/// `{"lambda": 0.01, "confidence": 5}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// Eta and gamma of each step of gradient descent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<[f32; 2]>,
    /// Of ridge regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lambda: Option<f32>,
    /// The factor of scores.
    confidence: f32,
}

impl From<&Recipe<'_>> for RecipeFile {
    fn from(recipe: &Recipe<'_>) -> Self {
        let confidence = recipe.confidence;
        match recipe.method {
            Method::Descent(steps) => Self {
                steps: steps.iter().map(|step| [step.eta, step.gamma]).collect(),
                lambda: None,
                confidence,
            },
            Method::Ridge { lambda } => Self {
                steps: Vec::new(),
                lambda: Some(lambda),
                confidence,
            },
        }
    }
}

impl From<&HeadSums<'_>> for RecipeFile {
    /// That of a patch that has kept its sums.
    fn from(sums: &HeadSums<'_>) -> Self {
        let (steps, count) = sums.recipe();
        Self {
            steps: steps[..count].to_vec(),
            lambda: (count == 0).then_some(steps[0][0]),
            confidence: sums.confidence(),
        }
    }
}

/// Reasons to refuse a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Text that is none.
    #[error("{problem}")]
    Text {
        /// What is wrong, and where.
        problem: String,
    },
    /// Both steps and a lambda, or neither.
    #[error("a recipe has either steps or a lambda")]
    Method,
    /// One of another method.
    #[error("the recipe is one of {found}")]
    Other {
        /// The method.
        found: &'static str,
    },
    /// One that a device cannot do.
    #[error("a device takes 1 to {MAX_STEPS} steps, and no lambda")]
    Device,
}

/// The recipe for a device.
///
/// # Errors
/// [`RecipeError::Device`].
pub fn on_device(recipe: &RecipeFile) -> Result<graft_client::Recipe, RecipeError> {
    let count = recipe.steps.len();
    if !(1..=MAX_STEPS).contains(&count) || recipe.lambda.is_some() {
        return Err(RecipeError::Device);
    }
    Ok(graft_client::Recipe {
        steps: recipe.steps.clone(),
        confidence: recipe.confidence,
    })
}

impl RecipeError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        "give a recipe of the method: {\"steps\": [[ETA, GAMMA], ...], \"confidence\": X}, or {\"lambda\": X, \"confidence\": X} of ridge; the example heads of graft-meta learns one"
    }
}

impl RecipeFile {
    /// The method by its name in the command line.
    pub fn method(&self) -> &'static str {
        match self.lambda {
            Some(_) => "ridge",
            None if self.steps.iter().all(|[_, gamma]| *gamma == 0.0) => "gd",
            None => "gd++",
        }
    }

    /// Gives `then` the recipe.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub fn with<T>(&self, then: impl FnOnce(&Recipe<'_>) -> T) -> Result<T, RecipeError> {
        let step = |&[eta, gamma]: &[f32; 2]| Step { eta, gamma };
        let steps: Vec<Step> = self.steps.iter().map(step).collect();
        let method = match self.lambda {
            None if !steps.is_empty() => Method::Descent(&steps),
            Some(lambda) if steps.is_empty() => Method::Ridge { lambda },
            None | Some(_) => return Err(RecipeError::Method),
        };
        Ok(then(&Recipe {
            method,
            confidence: self.confidence,
        }))
    }
}

#[cfg(test)]
mod tests {
    use graft_runtime::head_learner::{GD, GD_PLUS_PLUS, RIDGE};

    use super::*;

    #[test]
    fn recipes_are_what_they_were() {
        for recipe in [GD, GD_PLUS_PLUS, RIDGE] {
            let text = serde_json::to_string(&RecipeFile::from(&recipe)).unwrap();
            let again: RecipeFile = serde_json::from_str(&text).unwrap();
            again.with(|again| assert_eq!(*again, recipe)).unwrap();
        }
    }

    #[test]
    fn a_recipe_of_two_methods_or_none_is_refused() {
        for text in [
            r#"{"confidence": 1}"#,
            r#"{"steps": [[1, 0]], "lambda": 1, "confidence": 1}"#,
        ] {
            let recipe: RecipeFile = serde_json::from_str(text).unwrap();
            assert_eq!(recipe.with(|_| ()), Err(RecipeError::Method));
        }
        assert!(serde_json::from_str::<RecipeFile>(r#"{"stepz": [], "confidence": 1}"#).is_err());
    }
}
