//! Softmax cross-entropy with label smoothing and weights of the classes.

/// Loss of one batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Mean over the images, in nats; not finite once the network has diverged.
    pub mean: f64,
    /// Images whose class scores highest; of equal scores the first class wins.
    pub correct: usize,
}

/// The loss of `logits [images][classes]` for the classes `targets`, and its derivative by the logits in `gradient`.
///
/// The target distribution gives `1 - smoothing` to the class and spreads `smoothing` evenly over all classes
/// (Szegedy et al. 2016, section 7). An image counts as much as the weight of its class says; without `weights`, 1.
///
/// # Panics
/// If the lengths do not go together, or a target is no class or has no weight.
pub fn cross_entropy(
    logits: &[f32],
    targets: &[usize],
    smoothing: f32,
    weights: Option<&[f32]>,
    gradient: &mut [f32],
) -> Loss {
    assert_eq!(logits.len(), gradient.len(), "one gradient a logit");
    assert!(
        !targets.is_empty() && logits.len().is_multiple_of(targets.len()),
        "as many logits for every image"
    );
    let (images, classes) = (targets.len(), logits.len() / targets.len());
    let rows = logits
        .chunks_exact(classes)
        .zip(gradient.chunks_exact_mut(classes));
    let (mut sum, mut correct) = (0.0, 0);
    for ((logits, gradient), &target) in rows.zip(targets) {
        let weight = weights.map_or(1.0, |weights| weights[target]);
        let share = weight / images as f32;
        sum += f64::from(weight) * row(logits, target, smoothing, share, gradient);
        correct += usize::from(is_best(logits, target));
    }
    Loss {
        mean: sum / images as f64,
        correct,
    }
}

/// The loss of one image without label smoothing, where no derivative is wanted.
pub fn image_loss(logits: &[f32], target: usize) -> f64 {
    let highest = highest(logits);
    let exponentials = logits.iter().map(|&logit| (logit - highest).exp());
    let total = exponentials.map(f64::from).sum();
    nats(logits, target, 0.0, (highest, total))
}

/// The loss of one image; `gradient` gets its derivative times `share`.
fn row(logits: &[f32], target: usize, smoothing: f32, share: f32, gradient: &mut [f32]) -> f64 {
    let classes = logits.len() as f32;
    let highest = highest(logits);
    let mut total = 0.0;
    for (gradient, &logit) in gradient.iter_mut().zip(logits) {
        *gradient = (logit - highest).exp();
        total += f64::from(*gradient);
    }
    let (spread, scale) = (smoothing / classes, share / total as f32);
    for gradient in gradient.iter_mut() {
        *gradient = *gradient * scale - share * spread;
    }
    gradient[target] -= share * (1.0 - smoothing);
    nats(logits, target, smoothing, (highest, total))
}

/// The largest logit: no exponential overflows once that is subtracted.
fn highest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The loss, given the largest logit and the sum of the exponentials of all after that was subtracted.
fn nats(logits: &[f32], target: usize, smoothing: f32, (highest, total): (f32, f64)) -> f64 {
    // -sum q log p, where log p = (logit - highest) - log total and the q sum to 1.
    let below = |logit: f32| f64::from(logit - highest);
    let even: f64 = logits.iter().map(|&logit| below(logit)).sum::<f64>() / logits.len() as f64;
    let smoothing = f64::from(smoothing);
    total.ln() - (1.0 - smoothing) * below(logits[target]) - smoothing * even
}

/// Whether no other class scores higher than `target`, nor a class before it the same.
fn is_best(logits: &[f32], target: usize) -> bool {
    let best = logits[target];
    logits
        .iter()
        .enumerate()
        .all(|(index, &logit)| logit < best || (logit == best && index >= target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, in f64 and without any care for overflow.
    fn plain(logits: &[f64], targets: &[usize], smoothing: f64, weights: &[f32]) -> f64 {
        let classes = logits.len() / targets.len();
        let image = |(logits, &target): (&[f64], &usize)| {
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            let log = |class: usize| (logits[class].exp() / total).ln();
            let q = |class: usize| {
                smoothing / classes as f64 + f64::from(class == target) * (1.0 - smoothing)
            };
            let loss: f64 = (0..classes).map(|class| -q(class) * log(class)).sum();
            f64::from(weights[target]) * loss
        };
        let rows = logits.chunks(classes).zip(targets);
        rows.map(image).sum::<f64>() / targets.len() as f64
    }

    fn batch() -> impl Strategy<Value = (Vec<f32>, Vec<usize>, f32, Vec<f32>)> {
        (1usize..5, 2usize..12).prop_flat_map(|(images, classes)| {
            (
                prop::collection::vec(-8f32..8.0, images * classes),
                prop::collection::vec(0..classes, images),
                0f32..0.5,
                prop::collection::vec(0f32..4.0, classes),
            )
        })
    }

    proptest! {
        #[test]
        fn loss_and_gradient_are_those_of_the_definition((logits, targets, smoothing, weights) in batch()) {
            let ones = vec![1.0; weights.len()];
            for given in [None, Some(weights.as_slice())] {
                let weights = given.unwrap_or(&ones);
                let mut gradient = vec![f32::NAN; logits.len()];
                let loss = cross_entropy(&logits, &targets, smoothing, given, &mut gradient);
                let wide: Vec<f64> = logits.iter().map(|&logit| logit.into()).collect();
                let expected = plain(&wide, &targets, smoothing.into(), weights);
                prop_assert!((loss.mean - expected).abs() < 4e-5);
                for index in 0..logits.len() {
                    let at = |step: f64| {
                        let mut moved = wide.clone();
                        moved[index] += step;
                        plain(&moved, &targets, smoothing.into(), weights)
                    };
                    let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
                    prop_assert!((difference - f64::from(gradient[index])).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn the_loss_is_the_same_where_no_derivative_is_wanted() {
        let logits = [0.5, -3.0, 2.0, f32::MIN_POSITIVE, 7.25];
        for target in 0..logits.len() {
            let batch = cross_entropy(&logits, &[target], 0.0, None, &mut [0.0; 5]);
            assert_eq!(image_loss(&logits, target), batch.mean);
        }
        assert_eq!(image_loss(&[3e4, -3e4], 1), 6e4);
    }

    #[test]
    fn huge_logits_stay_finite() {
        let mut gradient = [0.0; 4];
        let loss = cross_entropy(&[3e4, -3e4, 1e4, 3e4], &[0, 0], 0.1, None, &mut gradient);
        assert!(loss.mean.is_finite() && gradient.iter().all(|value| value.is_finite()));
        assert_eq!(loss.correct, 1);
    }

    #[test]
    fn of_equal_scores_the_first_class_counts_and_nan_never_does() {
        let correct = |logits: &[f32], target| {
            cross_entropy(logits, &[target], 0.0, None, &mut [0.0; 3]).correct
        };
        assert_eq!(correct(&[1.0, 3.0, 3.0], 1), 1);
        assert_eq!(correct(&[1.0, 3.0, 3.0], 2), 0);
        assert_eq!(correct(&[0.0, f32::NAN, 0.0], 0), 0);
        assert_eq!(correct(&[0.0, f32::NAN, 0.0], 1), 0);
    }
}
