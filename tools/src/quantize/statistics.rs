//! What tensors hold when an f32 network runs on some images.

use graft_runtime::{Backbone, LayerOutput, Patch, Session};
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::{Images, QuantizeError};

/// Bins of a histogram: many for each of the 256 bytes.
const BINS: usize = 4096;

/// The values of one tensor over all images.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Least value, at most 0.
    pub low: f32,
    /// Greatest value, at least 0.
    pub high: f32,
    /// Mean of each channel.
    pub means: Vec<f64>,
    /// How many values lie in each of equal parts from `low` to `high`.
    pub histogram: Vec<u64>,
}

impl Statistics {
    /// Of the output of each layer. The bar moves on by two for each image.
    ///
    /// # Errors
    /// What the runtime says, and values that are not finite.
    pub fn of_layers(
        backbone: &Backbone,
        patch: &Patch,
        images: &Images,
        bar: &ProgressBar,
    ) -> Result<Vec<Self>, QuantizeError> {
        let image = backbone.image();
        let channels = |layer: usize| image.tensor(layer + 1).shape.channels;
        let layers = image.layer_count();
        let ranged = over_images(backbone, patch, images, bar, |all, layer, values| {
            let channels = match layer + 1 == layers {
                true => patch.classes(),
                false => channels(layer),
            };
            all[layer].widen(values, channels);
        })?;
        for (layer, statistics) in ranged.iter().enumerate() {
            let ends = [statistics.low, statistics.high];
            if let Some(&value) = ends.iter().find(|end| !end.is_finite()) {
                return Err(QuantizeError::Infinite { layer, value });
            }
        }
        let counted = over_images(backbone, patch, images, bar, |all, layer, values| {
            all[layer].count(values, &ranged[layer]);
        })?;
        Ok(ranged
            .into_iter()
            .zip(counted)
            .map(|(ranged, counted)| Self {
                histogram: counted.histogram,
                means: ranged
                    .means
                    .iter()
                    .map(|sum| sum / images.pixels.len() as f64)
                    .collect(),
                ..ranged
            })
            .collect())
    }

    /// Takes in an image's values: range, and means of its channels.
    fn widen(&mut self, values: &[f32], channels: usize) {
        self.means.resize(channels, 0.0);
        let share = channels as f64 / values.len() as f64;
        for pixel in values.chunks_exact(channels) {
            for (sum, &value) in self.means.iter_mut().zip(pixel) {
                *sum += f64::from(value) * share;
                // A NaN is kept, to be found later.
                self.low = if value >= self.low { self.low } else { value };
                self.high = if value <= self.high { self.high } else { value };
            }
        }
    }

    fn count(&mut self, values: &[f32], range: &Self) {
        self.histogram.resize(BINS, 0);
        let width = (range.high - range.low) / BINS as f32;
        if width <= 0.0 {
            self.histogram[0] += values.len() as u64;
            return;
        }
        for &value in values {
            let bin = ((value - range.low) / width) as usize;
            self.histogram[bin.min(BINS - 1)] += 1;
        }
    }

    /// Both together. Histograms must be of the same range.
    fn join(mut self, other: Self) -> Self {
        let add = |a: &mut Vec<f64>, b: &[f64]| {
            a.resize(a.len().max(b.len()), 0.0);
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        };
        add(&mut self.means, &other.means);
        let length = self.histogram.len().max(other.histogram.len());
        self.histogram.resize(length, 0);
        for (a, b) in self.histogram.iter_mut().zip(&other.histogram) {
            *a += b;
        }
        let take = |a: f32, b: f32, is_b: bool| if is_b || b.is_nan() { b } else { a };
        self.low = take(self.low, other.low, other.low < self.low);
        self.high = take(self.high, other.high, other.high > self.high);
        self
    }
}

/// Runs all images, and has `take` take in each layer's values; those of different parts are joined in order, so that the
/// result does not depend on the threads.
fn over_images(
    backbone: &Backbone,
    patch: &Patch,
    images: &Images,
    bar: &ProgressBar,
    take: impl Fn(&mut [Statistics], usize, &[f32]) + Sync,
) -> Result<Vec<Statistics>, QuantizeError> {
    const CHUNK: usize = 8;
    let expected = patch.input().shape;
    let part = |pixels: &[Vec<u8>]| {
        let mut session = Session::new(backbone)?;
        let mut all = vec![Statistics::default(); backbone.image().layer_count()];
        for pixels in pixels {
            if pixels.len() != expected.len() {
                let found = pixels.len();
                return Err(QuantizeError::Input { found, expected });
            }
            session.run_observed(patch, pixels, |layer, output| {
                if let LayerOutput::F32(values) = output {
                    take(&mut all, layer, values);
                }
            })?;
            bar.inc(1);
        }
        Ok(all)
    };
    let parts: Vec<_> = images
        .pixels
        .par_chunks(CHUNK)
        .map(part)
        .collect::<Result<_, QuantizeError>>()?;
    let join = |a: Vec<Statistics>, b: Vec<Statistics>| {
        a.into_iter().zip(b).map(|(a, b)| a.join(b)).collect()
    };
    Ok(parts.into_iter().reduce(join).unwrap_or_default())
}
