//! Arguments and the loss of the examples of training.

use std::error::Error;

use graft_runtime::gradient::{BatchNormMode, Trainable};

/// Some of `bn` (batch norm in mode batch) or `fixed-bn` (frozen), `dw`, `dense` and `head`, joined by `+`.
pub(crate) fn trainable(kinds: &str) -> Result<Trainable, Box<dyn Error>> {
    let mut trainable = Trainable::default();
    for kind in kinds.split('+') {
        *match kind {
            "bn" => &mut trainable.norm,
            "fixed-bn" => {
                trainable.batch_norm = BatchNormMode::Frozen;
                &mut trainable.norm
            }
            "dw" => &mut trainable.depthwise,
            "dense" => &mut trainable.dense,
            "head" => &mut trainable.head,
            _ => {
                let expected = "expected bn or fixed-bn, dw, dense and head, joined by +";
                return Err(format!("unknown kind '{kind}' in KINDS: {expected}").into());
            }
        } = true;
    }
    Ok(trainable)
}

/// Gradient of the mean softmax cross-entropy by the scores `[images][classes]`; a label below `classes` each.
pub(crate) fn cross_entropy_gradient(scores: &[f32], labels: &[usize], classes: usize) -> Vec<f32> {
    let mut gradient = Vec::with_capacity(scores.len());
    for (scores, &label) in scores.chunks_exact(classes).zip(labels) {
        let largest = scores.iter().fold(f32::MIN, |most, &score| most.max(score));
        let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        for (class, power) in powers.iter().enumerate() {
            let target = if class == label { 1.0 } else { 0.0 };
            gradient.push((power / sum - target) / labels.len() as f32);
        }
    }
    gradient
}
