//! Brightness, contrast and saturation changed at random, and the normalisation that follows, in one pass.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::preprocess::{Channels, Preprocess};

/// Largest distance of each factor from 1.
const STRENGTH: f32 = 0.2;
/// Luma's weights (ITU-R 601-2).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Factors as torchvision's `ColorJitter` takes them; 1 changes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colour {
    /// Every value is multiplied by it.
    brightness: f32,
    /// Distances from the image's mean luma are multiplied by it.
    contrast: f32,
    /// Distances from the pixel's own luma are multiplied by it.
    saturation: f32,
}

impl Colour {
    pub(super) fn random(generator: &mut ChaCha8Rng) -> Self {
        let mut factor = || 1.0 + generator.random_range(-STRENGTH..STRENGTH);
        Self {
            brightness: factor(),
            contrast: factor(),
            saturation: factor(),
        }
    }

    /// The normalised input (NHWC) of these pixels, values kept between 0 and 255 before the normalisation.
    pub(super) fn normalise(&self, preprocess: &Preprocess, pixels: &[u8], input: &mut [f32]) {
        match preprocess.channels {
            Channels::Rgb => self.rgb(preprocess, pixels, input),
            Channels::Grey => self.grey(preprocess, pixels, input),
        }
    }

    /// The three steps are linear: together they are `own * value + shared * luma + offset`.
    fn rgb(&self, preprocess: &Preprocess, pixels: &[u8], input: &mut [f32]) {
        let (pixels, input) = (pixels.as_chunks().0, input.as_chunks_mut().0);
        let gain = self.brightness * self.contrast;
        let (own, shared) = (gain * self.saturation, gain * (1.0 - self.saturation));
        let mean = pixels.iter().map(luma).sum::<f32>() / pixels.len().max(1) as f32;
        let offset = self.offset(mean);
        let scale = preprocess.std.map(|std| 1.0 / std);
        for (values, pixel) in input.iter_mut().zip(pixels) {
            let shift = shared * luma(pixel) + offset;
            let values: &mut [f32; 3] = values;
            for channel in 0..3 {
                let value = (own * f32::from(pixel[channel]) + shift).clamp(0.0, 255.0);
                values[channel] = (value - preprocess.mean[channel]) * scale[channel];
            }
        }
    }

    fn grey(&self, preprocess: &Preprocess, pixels: &[u8], input: &mut [f32]) {
        let gain = self.brightness * self.contrast;
        let sum: f32 = pixels.iter().copied().map(f32::from).sum();
        let offset = self.offset(sum / pixels.len().max(1) as f32);
        for (value, &pixel) in input.iter_mut().zip(pixels) {
            let changed = (gain * f32::from(pixel) + offset).clamp(0.0, 255.0);
            *value = (changed - preprocess.mean[0]) / preprocess.std[0];
        }
    }

    /// Value that contrast adds, for an image of this mean luma before it is brightened.
    fn offset(&self, mean: f32) -> f32 {
        (1.0 - self.contrast) * self.brightness * mean
    }
}

fn luma(pixel: &[u8; 3]) -> f32 {
    let [red, green, blue] = pixel.map(f32::from);
    LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Filter, Resize};

    fn preprocess(channels: Channels) -> Preprocess {
        Preprocess {
            height: 1,
            width: 2,
            channels,
            resize: Resize::Stretch,
            filter: Filter::Bilinear,
            mean: [0.0, 10.0, 20.0],
            std: [1.0, 2.0, 4.0],
        }
    }

    const SAME: Colour = Colour {
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
    };

    fn changed(colour: Colour, channels: Channels, pixels: &[u8]) -> Vec<f32> {
        let mut input = vec![f32::NAN; pixels.len()];
        colour.normalise(&preprocess(channels), pixels, &mut input);
        input
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-3;
        assert!(found.iter().zip(expected).all(near), "{found:?}");
    }

    #[test]
    fn factors_of_one_only_normalise() {
        let pixels = [0, 10, 20, 255, 130, 60];
        close(
            &changed(SAME, Channels::Rgb, &pixels),
            &[0.0, 0.0, 0.0, 255.0, 60.0, 10.0],
        );
        close(&changed(SAME, Channels::Grey, &[7, 200]), &[7.0, 200.0]);
    }

    #[test]
    fn each_factor_does_what_it_says() {
        let brighter = Colour {
            brightness: 1.2,
            ..SAME
        };
        close(
            &changed(brighter, Channels::Rgb, &[100, 100, 100, 250, 100, 100]),
            &[120.0, 55.0, 25.0, 255.0, 55.0, 25.0],
        );
        let flatter = Colour {
            contrast: 0.5,
            ..SAME
        };
        close(
            &changed(flatter, Channels::Rgb, &[50, 50, 50, 150, 150, 150]),
            &[75.0, 32.5, 13.75, 125.0, 57.5, 26.25],
        );
        close(
            &changed(flatter, Channels::Grey, &[50, 150]),
            &[75.0, 125.0],
        );
        let colourless = Colour {
            saturation: 0.0,
            ..SAME
        };
        let luma = 0.299 * 200.0;
        close(
            &changed(colourless, Channels::Rgb, &[200, 0, 0, 200, 0, 0]),
            &[luma, (luma - 10.0) / 2.0, (luma - 20.0) / 4.0].repeat(2),
        );
    }
}
