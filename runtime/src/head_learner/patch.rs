//! A learned head as a patch.

use core::fmt;

use graft_patches::BackboneImage;
use graft_patches::head_patch::HeadPatch;
use graft_patches::records::Dtype;

use super::{Head, HeadLearner, Method, Recipe};

/// What is written beside a head.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The task.
    pub name: &'a str,
    /// Class names, as many as the head has classes.
    pub labels: &'a [&'a str],
    /// Storage of values.
    pub dtype: Dtype,
    /// Whether the patch keeps the sums, so that learning can go on from it.
    pub keeps_sums: bool,
}

impl HeadLearner<'_> {
    /// Gives `then` the patch of a head that this learner has made by a recipe: the same bytes on every target.
    pub fn patch<T>(
        &self,
        backbone: BackboneImage<'_>,
        (head, recipe): (&Head<'_>, &Recipe<'_>),
        about: About<'_>,
        then: impl FnOnce(&HeadPatch<'_>) -> T,
    ) -> T {
        let source = Source {
            learner: self,
            method: recipe.method,
        };
        then(&HeadPatch {
            backbone,
            dtype: about.dtype,
            name: about.name,
            source: &source,
            labels: about.labels,
            weight: &|class, input| head.weight(class, input),
            bias: &|class| head.bias(class),
            scores: head.scores(),
            sums: about.keeps_sums.then(|| (self.record(recipe), self.sums())),
        })
    }
}

/// The origin of a head, in words.
struct Source<'a> {
    learner: &'a HeadLearner<'a>,
    method: Method<'a>,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.learner.classes();
        let examples: usize = (0..classes).map(|class| self.learner.examples(class)).sum();
        write!(f, "learned from {examples} images of {classes} classes by ")?;
        match self.method {
            Method::Descent(steps) if steps.iter().all(|step| step.gamma == 0.0) => {
                write!(f, "{} steps of GD", steps.len())?;
            }
            Method::Descent(steps) => write!(f, "{} steps of GD++", steps.len())?,
            Method::Ridge { .. } => f.write_str("ridge regression")?,
        }
        let projection = self.learner.projection();
        write!(
            f,
            " in {} of {} dimensions",
            projection.dimensions(),
            projection.inputs()
        )
    }
}
