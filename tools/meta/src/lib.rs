//! Meta-training of generators (HyperTransformers), which needs gradients of anything: burn computes them.
//!
//! A generator learns from episodes, each a small task of its own: a support set to generate a patch from, and queries to
//! measure the patch by. The library `patchtool` has the generator itself and runs it.

pub mod classes;
pub mod command;
pub mod continual;
mod distort;
pub mod embeddings;
pub mod episodes;
pub mod evaluate;
mod finish;
pub mod heads;
pub mod learner;
pub mod lsa;
pub mod matrix;
pub mod measure;
mod rotate;
pub mod run;
mod sequence;
pub mod tensors;
#[cfg(test)]
mod tests;

use anyhow::Error;

/// The first hint in an error's chain: what a user can do about it.
pub fn hint(error: &Error) -> Option<String> {
    let own = error.chain().find_map(|cause| {
        let run = cause.downcast_ref().map(run::RunError::hint);
        run.or_else(|| cause.downcast_ref().map(classes::ClassesError::hint))
    });
    own.map(str::to_owned)
        .or_else(|| patchtool::hint::hint(error))
}
