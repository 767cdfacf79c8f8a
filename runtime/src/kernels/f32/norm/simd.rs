//! The loops. Each is inlined into a function compiled for an instruction set.

use super::Affine;
use super::slope::{Slope, with_slope};

/// `activation(scale * (z - shift) + bias)`.
#[inline(always)]
pub(in crate::kernels) fn affine(call: &Affine, out: &mut [f32]) {
    with_slope!(call.activation, activation => {
        let channels = call.scale.len();
        let [shift, scale, bias] = [call.shift, call.scale, call.bias].map(|values| &values[..channels]);
        for (z, out) in call.values.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                out[c] = activation.value(scale[c] * (z[c] - shift[c]) + bias[c]);
            }
        }
    });
}

/// Adds to `sums` (`[2][channels]`) what a channel's pixels give: the gradient `g` before the activation and
/// `g * (z - shift)`.
#[inline(always)]
pub(in crate::kernels) fn sums(call: &Affine, gradient: &[f32], sums: &mut [f32]) {
    with_slope!(call.activation, activation => {
        let channels = call.scale.len();
        let [shift, scale, bias] = [call.shift, call.scale, call.bias].map(|values| &values[..channels]);
        let (sum, product) = sums.split_at_mut(channels);
        let product = &mut product[..channels];
        for (z, d) in call.values.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
            for c in 0..channels {
                let x = z[c] - shift[c];
                let g = d[c] * activation.slope(scale[c] * x + bias[c]);
                sum[c] += g;
                product[c] += g * x;
            }
        }
    });
}

/// The gradient of the accumulators, `a * g + b * (z - shift) + c` with the factors of each channel, `g` being the gradient
/// before the activation.
#[inline(always)]
pub(in crate::kernels) fn input(
    call: &Affine,
    gradient: &[f32],
    factors: &[&[f32]; 3],
    out: &mut [f32],
) {
    with_slope!(call.activation, activation => {
        let channels = call.scale.len();
        let [shift, scale, bias] = [call.shift, call.scale, call.bias].map(|values| &values[..channels]);
        let [a, b, e] = factors.map(|factors| &factors[..channels]);
        let pixels = call.values.chunks_exact(channels).zip(gradient.chunks_exact(channels));
        for ((z, d), out) in pixels.zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                let x = z[c] - shift[c];
                let g = d[c] * activation.slope(scale[c] * x + bias[c]);
                out[c] = a[c] * g + (b[c] * x + e[c]);
            }
        }
    });
}

/// Adds to `sums` (`[2][channels]`) each channel's sum and sum of squares of `z - shift`. A shift near the mean keeps
/// the variance exact where the mean is large.
#[inline(always)]
pub(in crate::kernels) fn moments(values: &[f32], shift: &[f32], sums: &mut [f32]) {
    let channels = shift.len();
    let (sum, square) = sums.split_at_mut(channels);
    let square = &mut square[..channels];
    for z in values.chunks_exact(channels) {
        for c in 0..channels {
            let x = z[c] - shift[c];
            sum[c] += x;
            square[c] += x * x;
        }
    }
}
