//! Distance of an int8 network from its f32 one, layer by layer.

use graft_runtime::{Backbone, Patch, Session};
use rayon::prelude::*;

use super::{Images, QuantizeError};

/// Images that are compared.
const IMAGES: usize = 32;

/// Words for the signal-to-noise ratio of scores, in decibels. The bounds are those of tools/RESULTS.md: at 23 dB and more
/// int8 was as accurate as f32 within half a point, at 19 dB it lost more.
pub fn grade(decibels: f32) -> &'static str {
    match decibels {
        _ if decibels.is_nan() => {
            "nothing to judge by: all scores are 0, as those of a head that was never trained"
        }
        20.0.. => "good: from 20 dB on int8 is about as accurate as f32",
        12.0.. => "fair: below 20 dB accuracy may suffer, compare with eval",
        _ => "poor: below 12 dB many first guesses change, try other images or another --method",
    }
}

/// Signal-to-noise ratio of each layer's output in decibels: what the f32 network computes against how far the int8 network
/// is from it, each with its own patch, over at most 32 of the images. Infinite where nothing differs, not a number where the f32 network gives zeros only.
///
/// # Errors
/// Errors of the runtime.
pub fn signal_to_noise(
    [float, int8]: [&Backbone; 2],
    [float_patch, int8_patch]: [&Patch; 2],
    images: &Images,
) -> Result<Vec<f32>, QuantizeError> {
    let layers = float.image().layer_count();
    let step = images.pixels.len().div_ceil(IMAGES);
    let pixels: Vec<_> = images.pixels.iter().step_by(step).collect();
    let compare = |pixels: &&Vec<u8>| {
        let mut expected = Vec::with_capacity(layers);
        let mut session = Session::new(float)?.unfused()?;
        session.run_observed(float_patch, *pixels, |_, output| {
            expected.push(output.to_vec());
        })?;
        let mut sums = vec![[0.0; 2]; layers];
        let mut session = Session::new(int8)?.unfused()?;
        session.run_observed(int8_patch, *pixels, |layer, output| {
            for (signal, found) in expected[layer].iter().zip(output.to_vec()) {
                sums[layer][0] += f64::from(*signal) * f64::from(*signal);
                sums[layer][1] += f64::from(signal - found) * f64::from(signal - found);
            }
        })?;
        Ok(sums)
    };
    let all: Vec<_> = pixels
        .par_iter()
        .map(compare)
        .collect::<Result<_, QuantizeError>>()?;
    let sum = |layer: usize, of: usize| all.iter().map(|sums| sums[layer][of]).sum::<f64>();
    let ratio = |layer| (10.0 * (sum(layer, 0) / sum(layer, 1)).log10()) as f32;
    Ok((0..layers).map(ratio).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_has_a_grade() {
        let cases = [
            (f32::INFINITY, "good"),
            (24.8, "good"),
            (19.1, "fair"),
            (3.0, "poor"),
            (f32::NAN, "nothing"),
            (f32::NEG_INFINITY, "poor"),
        ];
        for (decibels, word) in cases {
            assert!(grade(decibels).starts_with(word), "{decibels}");
        }
    }
}
