//! Weights in int8, rounded so that the mean of what they compute stays.
//!
//! Rounding each weight to the nearest byte shifts the mean of an output channel by the sum of all errors, each times the
//! mean of its input. That shift is what hurts most, and a bias that takes it back (Nagel et al., "Data-Free Quantization
//! through Weight Equalization and Bias Correction", section 4.2) is part of a task's epilogue, which a patch replaces. So the
//! frozen bytes themselves are made to leave the mean alone: some weights that are nearly half-way are rounded the other way.

use graft_patches::scale::quantize_weights;

/// Weights `[outputs][depth]` in int8, with the scale of each output channel.
pub(super) fn nearest(rows: &[f32], depth: usize) -> (Vec<i8>, Vec<f32>) {
    let mut bytes = vec![0; rows.len()];
    let pairs = rows.chunks_exact(depth).zip(bytes.chunks_exact_mut(depth));
    let scales = pairs.map(|(row, bytes)| quantize_weights(row, bytes));
    let scales = scales.collect();
    (bytes, scales)
}

/// [`nearest`] of one channel, then rounded so that the products with `means`, one for each weight, sum up as before.
pub(super) fn balanced(row: &[f32], means: &[f64]) -> (Vec<i8>, f32) {
    let mut bytes = vec![0; row.len()];
    let scale = quantize_weights(row, &mut bytes);
    let errors: Vec<f64> = row
        .iter()
        .zip(&bytes)
        .map(|(&weight, &byte)| f64::from(weight) / f64::from(scale) - f64::from(byte))
        .collect();
    let mut shift: f64 = errors.iter().zip(means).map(|(e, m)| e * m).sum();
    // To round weight k the other way takes `sign(error) * mean` from the shift and adds to the squared error.
    let gain = |k: usize| errors[k].signum() * means[k];
    let cost = |k: usize| (1.0 - 2.0 * errors[k].abs()) / means[k].abs();
    let mut candidates: Vec<usize> = (0..row.len())
        .filter(|&k| errors[k] != 0.0 && gain(k) * shift > 0.0)
        .collect();
    candidates.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
    for k in candidates {
        let other = i16::from(bytes[k]) + errors[k].signum() as i16;
        if (shift - gain(k)).abs() < shift.abs() && (-127..=127).contains(&other) {
            shift -= gain(k);
            bytes[k] = other as i8;
        }
    }
    (bytes, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_stays_and_no_weight_moves_by_more_than_a_step() {
        // In steps of 0.01: 30.3 to 30.49, all of which are rounded down.
        let row: Vec<f32> = (0..50).map(|k| 0.303 + 4e-5 * k as f32).collect();
        let row = [&row[..], &[1.27]].concat();
        let means: Vec<f64> = (0..51).map(|k| 1.0 + f64::from(k % 5)).collect();
        let mean = |bytes: &[i8], scale: f32| -> f64 {
            let values = bytes.iter().map(|&b| f64::from(scale) * f64::from(b));
            values.zip(&means).map(|(w, m)| w * m).sum()
        };
        let exact: f64 = row.iter().zip(&means).map(|(&w, m)| f64::from(w) * m).sum();
        let (plain, scales) = nearest(&row, row.len());
        let (bytes, scale) = balanced(&row, &means);
        assert_eq!(scales, [scale]);
        let before = (mean(&plain, scale) - exact).abs();
        let after = (mean(&bytes, scale) - exact).abs();
        let step = f64::from(scale);
        assert!(
            before > 50.0 * step && after <= 0.5 * step,
            "{before}, {after}"
        );
        for (weight, byte) in row.iter().zip(&bytes) {
            assert!((weight / scale - f32::from(*byte)).abs() <= 1.0 + 1e-4);
        }
    }

    #[test]
    fn inputs_that_are_zero_on_average_change_nothing() {
        let row = [0.1, 0.234, -0.777];
        assert_eq!(balanced(&row, &[0.0; 3]).0, nearest(&row, 3).0);
    }
}
