//! Accuracy of trained values: on test images, as a device would run them.

use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch, Session};
use rayon::prelude::*;

use super::history::Score;
use super::loss::cross_entropy;
use super::run::TrainError;
use crate::confusion::{Confusion, predicted};
use crate::trained::Trained;
use graft_data::evaluation_set::EvaluationSet;

/// Result of the test images.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Loss (without label smoothing) and accuracy.
    pub score: Score,
    /// Confusion matrix.
    pub confusion: Confusion,
}

/// Compiles the patch and runs it on every test image: what `patchtool eval` measures of the exported patch.
///
/// Must not be called from a thread of rayon's global pool.
///
/// # Errors
/// Values that cannot be compiled: training diverged.
pub fn evaluate(
    backbone: &Backbone,
    trained: &Trained,
    test: &EvaluationSet,
) -> Result<Evaluation, TrainError> {
    let patch = Patch::from_bytes(&trained.compile(&backbone.image(), Dtype::F32)?, backbone)?;
    let scores = scores(backbone, &patch, test)?;
    let targets: Vec<usize> = (0..test.len()).map(|image| test.class(image)).collect();
    Ok(judge(&scores, &targets))
}

/// The scores of a patch for all test images, `[images][classes]`.
///
/// # Errors
/// Errors of the runtime.
pub fn scores(
    backbone: &Backbone,
    patch: &Patch,
    test: &EvaluationSet,
) -> Result<Vec<f32>, TrainError> {
    run_all(backbone, patch, test, |session, patch, input| {
        Ok(session.run(patch, input)?.to_vec())
    })
}

/// The values of the layer before the head for each of these images: what the head sees.
///
/// # Errors
/// A backbone that is nothing but a head, and what the runtime says.
pub fn embeddings(
    backbone: &Backbone,
    patch: &Patch,
    set: &EvaluationSet,
) -> Result<Vec<f32>, TrainError> {
    let image = backbone.image();
    let head = image.layer(image.layer_count() - 1);
    let before_head = head.inputs[0].checked_sub(1).ok_or(TrainError::OnlyAHead)?;
    run_all(backbone, patch, set, |session, patch, input| {
        let mut embedding = Vec::new();
        session.run_observed(patch, input, |layer, values| {
            if layer == before_head {
                embedding = values.to_vec();
            }
        })?;
        Ok(embedding)
    })
}

/// Runs images on all cores, each core with a session of its own; results one after the other.
fn run_all(
    backbone: &Backbone,
    patch: &Patch,
    set: &EvaluationSet,
    run: impl Fn(&mut Session, &Patch, &[u8]) -> Result<Vec<f32>, TrainError> + Sync,
) -> Result<Vec<f32>, TrainError> {
    /// Images between two looks at whether there is other work.
    const CHUNK: usize = 64;
    let images: Vec<usize> = (0..set.len()).collect();
    let parts: Vec<Vec<f32>> = images
        .par_chunks(CHUNK)
        .map(|images| {
            let mut session = Session::new(backbone)?;
            let mut results = Vec::new();
            for &image in images {
                results.extend(run(&mut session, patch, &set.input(image))?);
            }
            Ok(results)
        })
        .collect::<Result<_, TrainError>>()?;
    Ok(parts.concat())
}

/// Loss, accuracy and confusion of the scores `[images][classes]`.
pub fn judge(scores: &[f32], targets: &[usize]) -> Evaluation {
    let mut gradient = vec![0.0; scores.len()];
    let loss = cross_entropy(scores, targets, 0.0, &mut gradient);
    let mut confusion = Confusion::default();
    let classes = scores.len() / targets.len().max(1);
    for (scores, &target) in scores.chunks_exact(classes.max(1)).zip(targets) {
        if let Some(predicted) = predicted(scores) {
            confusion.add(target, predicted);
        }
    }
    let accuracy = confusion.correct() as f64 / targets.len().max(1) as f64;
    Evaluation {
        score: Score {
            loss: loss.mean,
            accuracy,
        },
        confusion,
    }
}
