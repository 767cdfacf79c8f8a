//! Accuracy of trained values: on images that are not trained on, as a device would run them.

use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch, Session};
use rayon::prelude::*;

use super::history::Score;
use super::loss::image_loss;
use super::run::TrainError;
use crate::bar;
use crate::confusion::{Confusion, predicted};
use crate::trained::Trained;
use crate::watch::Watch;
use graft_data::evaluation_set::EvaluationSet;

/// Result of a set of images.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Loss (without label smoothing) and accuracy, in which an image counts as much as its class weighs.
    pub score: Score,
    /// Confusion matrix.
    pub confusion: Confusion,
}

/// Compiles the patch and runs it on every image: what `patchtool eval` measures of the exported patch, where classes
/// have no `weights`.
///
/// Must not be called from a thread of rayon's global pool.
///
/// # Errors
/// Values that cannot be compiled: training diverged.
pub fn evaluate(
    backbone: &Backbone,
    trained: &Trained,
    set: &EvaluationSet,
    weights: Option<&[f32]>,
) -> Result<Evaluation, TrainError> {
    let patch = Patch::from_bytes(&trained.compile(&backbone.image(), Dtype::F32)?, backbone)?;
    let scores = scores(backbone, &patch, set)?;
    let targets: Vec<usize> = (0..set.len()).map(|image| set.class(image)).collect();
    Ok(judge(&scores, &targets, weights))
}

/// The scores of a patch for all images, `[images][classes]`.
///
/// # Errors
/// Errors of the runtime.
pub fn scores(
    backbone: &Backbone,
    patch: &Patch,
    set: &EvaluationSet,
) -> Result<Vec<f32>, TrainError> {
    run_all(backbone, patch, set, |session, patch, input| {
        Ok(session.run(patch, input)?.to_vec())
    })
}

/// The values of the layer before the head for each of these images: what the head sees.
///
/// # Errors
/// A backbone that is nothing but a head, what the runtime says, and [`TrainError::Stopped`].
pub fn embeddings(
    backbone: &Backbone,
    patch: &Patch,
    set: &EvaluationSet,
    watch: &Watch,
) -> Result<Vec<f32>, TrainError> {
    let image = backbone.image();
    let head = image.layer(image.layer_count() - 1);
    let before_head = head.inputs[0].checked_sub(1).ok_or(TrainError::OnlyAHead)?;
    let bar = bar::images(set.len(), watch);
    let all = run_all(backbone, patch, set, |session, patch, input| {
        let mut embedding = Vec::new();
        session.run_observed(patch, input, |layer, values| {
            if layer == before_head {
                embedding = values.to_vec();
            }
        })?;
        bar.inc()?;
        Ok(embedding)
    })?;
    bar.finish_and_clear();
    Ok(all)
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

/// Loss, accuracy and confusion of the scores `[images][classes]`; each class has a weight, or all the same.
pub fn judge(scores: &[f32], targets: &[usize], weights: Option<&[f32]>) -> Evaluation {
    let weight = |class: usize| weights.map_or(1.0, |weights| f64::from(weights[class]));
    let mut loss = 0.0;
    let mut confusion = Confusion::default();
    let classes = scores.len() / targets.len().max(1);
    // Whole numbers first: as many right images of each class are the same accuracy, whichever they are.
    let mut right = vec![0_usize; classes];
    let mut all = vec![0_usize; classes];
    for (scores, &target) in scores.chunks_exact(classes.max(1)).zip(targets) {
        all[target] += 1;
        loss += weight(target) * image_loss(scores, target);
        if let Some(predicted) = predicted(scores) {
            confusion.add(target, predicted);
            right[target] += usize::from(predicted == target);
        }
    }
    let weighed = |counts: &[usize]| -> f64 {
        let counts = counts.iter().enumerate();
        counts
            .map(|(class, &count)| weight(class) * count as f64)
            .sum()
    };
    let (right, all) = (weighed(&right), weighed(&all));
    Evaluation {
        score: Score {
            loss: loss / targets.len().max(1) as f64,
            accuracy: if all > 0.0 { right / all } else { 0.0 },
        },
        confusion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trained::ClassWeights;

    #[test]
    fn with_balanced_weights_accuracy_is_the_mean_over_the_classes() {
        // Three of class 0, one of class 1, all taken for class 0.
        let (scores, targets) = ([1.0, 0.0].repeat(4), [0, 0, 0, 1]);
        let plain = judge(&scores, &targets, None);
        let weights = ClassWeights::Balanced.of(targets.into_iter(), 2);
        let balanced = judge(&scores, &targets, weights.as_deref());
        assert_eq!(plain.score.accuracy, 0.75);
        assert!((balanced.score.accuracy - 0.5).abs() < 1e-6);
        assert_eq!(plain.confusion, balanced.confusion);
        // The loss of a right image is ln(1 + 1/e), of a wrong one it is larger by 1.
        let right = (-1.0_f64).exp().ln_1p();
        assert!((plain.score.loss - right - 0.25).abs() < 1e-6);
        assert!((balanced.score.loss - right - 0.5).abs() < 1e-6);
    }
}
