//! The closed-form head of any backbone: class means, no training and no generator.
//!
//! Snell, Swersky, Zemel: "Prototypical Networks for Few-shot Learning" (NIPS 2017). The squared distance of features x to the
//! mean m of a class is |x|^2 - 2 m x + |m|^2, of which the first term is the same for all classes: the nearest mean is the
//! greatest score of a linear layer with weights 2 m and bias -|m|^2 (section 2.4).

use graft_runtime::{Backbone, Patch, Session};
use rayon::prelude::*;

use super::{Generated, GeneratedError, Head, SupportSet};

/// Inputs of the head for each image (8-bit pixels, NHWC) when the backbone runs with this patch.
///
/// # Errors
/// A backbone without a head, images of another size than the patch's input.
pub fn features(
    backbone: &Backbone,
    patch: &Patch,
    images: &[Vec<u8>],
) -> Result<Vec<Vec<f32>>, GeneratedError> {
    const CHUNK: usize = 8;
    let part = |images: &[Vec<u8>]| {
        let mut session = Session::new(backbone)?;
        let mut all = Vec::with_capacity(images.len());
        for pixels in images {
            session.run_embedding(patch, pixels, |embedding| all.push(embedding.to_vec()))?;
        }
        Ok(all)
    };
    let parts: Result<Vec<_>, GeneratedError> = images.par_chunks(CHUNK).map(part).collect();
    Ok(parts?.into_iter().flatten().collect())
}

/// The mean of each class's features. Every class has an image, and all features are of one length.
pub fn means(features: &[Vec<f32>], classes: &[usize], count: usize) -> Vec<Vec<f32>> {
    let length = features.first().map_or(0, Vec::len);
    let mean = |class: usize| {
        let mut sums = vec![0.0; length];
        let mut images = 0.0;
        let own = features.iter().zip(classes).filter(|(_, of)| **of == class);
        for (features, _) in own {
            images += 1.0;
            for (sum, &value) in sums.iter_mut().zip(features) {
                *sum += f64::from(value);
            }
        }
        sums.into_iter().map(|sum| (sum / images) as f32).collect()
    };
    (0..count).map(mean).collect()
}

/// Weights 2 m and bias -|m|^2 of the means m of all classes, both times `factor`: scores are the negative squared distances
/// up to what all classes share.
pub fn head(means: &[Vec<f32>], factor: f32) -> Head {
    let square = |mean: &Vec<f32>| {
        mean.iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
    };
    Head {
        weights: means
            .iter()
            .flatten()
            .map(|value| 2.0 * factor * value)
            .collect(),
        bias: means
            .iter()
            .map(|mean| (-f64::from(factor) * square(mean)) as f32)
            .collect(),
    }
}

/// The factor that makes sane confidences of the scores' softmax: features of thousands of values are so far apart that any
/// image would be certain. Means that are apart as much as those of two classes on average then differ by 4 in their scores.
/// EfficientNet-Lite0 on sign-digits, cross-entropy of test images, 10 classes: 1.85 of 1 image each, 1.23 of 5, 0.93 of 20;
/// best of all factors 1.85, 1.19, 0.73. Which score is the greatest does not change.
pub fn factor(means: &[Vec<f32>]) -> f32 {
    const APART: f64 = 4.0;
    let length = means.first().map_or(0, Vec::len);
    let centre = |at: usize| -> f64 {
        let sum: f64 = means.iter().map(|mean| f64::from(mean[at])).sum();
        sum / means.len() as f64
    };
    let spread = |at: usize| -> f64 {
        let centre = centre(at);
        let squares = means
            .iter()
            .map(|mean| (f64::from(mean[at]) - centre).powi(2));
        squares.sum()
    };
    let pairs = means.len().saturating_sub(1).max(1) as f64;
    let distance = (0..length).map(spread).sum::<f64>() * 2.0 / pairs;
    let factor = (APART / distance) as f32;
    if factor.is_normal() { factor } else { 1.0 }
}

/// The closed-form head of a support set on a frozen backbone, f32 or int8.
///
/// # Errors
/// A backbone without a head, images of another size than its input.
pub fn generate(
    name: &str,
    backbone: &Backbone,
    support: &SupportSet,
) -> Result<Generated, GeneratedError> {
    let images = &support.images.pixels;
    let features = features(backbone, &backbone.identity(), images)?;
    let means = means(&features, &support.classes, support.labels.len());
    Ok(Generated {
        name: name.into(),
        source: Generated::source(images.len(), support.labels.len(), 0, "class means"),
        head: head(&means, factor(&means)),
        labels: support.labels.clone(),
        ..Generated::default()
    })
}
