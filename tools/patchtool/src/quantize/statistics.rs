//! Statistics of activations: the values of tensors when an f32 network runs on some images.

use graft_runtime::{Backbone, LayerOutput, Patch, Session};
use rayon::prelude::*;

use crate::bar::Bar;

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
    /// A value that is infinite or not a number, if there was one.
    pub not_finite: Option<f32>,
    /// Mean of each channel.
    pub means: Vec<f64>,
    /// Number of values in each of equal parts from `low` to `high`.
    pub histogram: Vec<u64>,
}

impl Statistics {
    /// Of the output of each layer. The bar moves on by two for each image.
    ///
    /// # Errors
    /// Errors of the runtime, and values that are not finite.
    pub fn of_layers(
        backbone: &Backbone,
        patch: &Patch,
        images: &Images,
        bar: &Bar,
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
            if let Some(value) = statistics.not_finite {
                return Err(QuantizeError::NotFinite { layer, value });
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
        let mut all = values.iter();
        self.not_finite = self
            .not_finite
            .or(all.find(|value| !value.is_finite()).copied());
        for pixel in values.chunks_exact(channels) {
            for (sum, &value) in self.means.iter_mut().zip(pixel) {
                *sum += f64::from(value) * share;
                self.low = self.low.min(value);
                self.high = self.high.max(value);
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
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.not_finite = self.not_finite.or(other.not_finite);
        self
    }
}

/// Runs all images, and has `take` take in each layer's values; those of different parts are joined in order, so that the
/// result does not depend on the threads.
fn over_images(
    backbone: &Backbone,
    patch: &Patch,
    images: &Images,
    bar: &Bar,
    take: impl Fn(&mut [Statistics], usize, &[f32]) + Sync,
) -> Result<Vec<Statistics>, QuantizeError> {
    const CHUNK: usize = 8;
    let expected = patch.input().shape;
    let part = |pixels: &[Vec<u8>]| {
        let mut session = Session::new(backbone)?.unfused()?;
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
            bar.inc()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_number_is_found_wherever_it_stands() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..4 {
                let mut values = [-5.0, 3.0, 2.0, 1.0];
                values[at] = bad;
                let mut statistics = Statistics::default();
                statistics.widen(&values, 2);
                statistics.widen(&[0.5; 4], 2);
                let joined = Statistics::default().join(statistics);
                let found = joined.not_finite.expect("it is found");
                assert!(found.is_nan() == bad.is_nan() && !found.is_finite());
            }
        }
    }

    #[test]
    fn ranges_means_and_counts_of_parts_are_those_of_the_whole() {
        let images = [[-1.0, 4.0, 3.0, 0.0], [7.0, 1.0, 5.0, -2.0]];
        let mut parts = images.map(|values| {
            let mut statistics = Statistics::default();
            statistics.widen(&values, 2);
            statistics
        });
        let whole = parts[0].clone().join(parts[1].clone());
        assert_eq!((whole.low, whole.high), (-2.0, 7.0));
        assert_eq!(whole.means, [7.0, 1.5]);
        for (part, values) in parts.iter_mut().zip(images) {
            part.count(&values, &whole);
        }
        let [a, b] = parts;
        let counted = a.join(b).histogram;
        assert_eq!(counted.iter().sum::<u64>(), 8);
        assert_eq!((counted[0], counted[BINS - 1]), (1, 1));
    }
}
