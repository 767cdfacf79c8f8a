//! The same, obviously right: one channel after the other, in f64.

use super::Affine;
use crate::kernels::f32::Activation;

/// `activation(scale * (z - shift) + bias)`.
pub(in crate::kernels) fn affine(call: &Affine, out: &mut [f32]) {
    super::check(call, out);
    for (i, out) in out.iter_mut().enumerate() {
        *out = call.activation.of(Element::new(call, i).y as f32);
    }
}

/// Adds each channel's sums of `g` and `g * (z - shift)`.
pub(in crate::kernels) fn sums(call: &Affine, gradient: &[f32], sums: &mut [f32]) {
    super::check_sums(call, gradient, sums);
    let channels = call.scale.len();
    for c in 0..channels {
        let (mut sum, mut product) = (0.0, 0.0);
        for i in (c..gradient.len()).step_by(channels) {
            let Element { x, y } = Element::new(call, i);
            let g = f64::from(gradient[i]) * slope(call.activation, y);
            sum += g;
            product += g * x;
        }
        sums[c] += sum as f32;
        sums[channels + c] += product as f32;
    }
}

/// `a * g + b * (z - shift) + c`.
pub(in crate::kernels) fn input(
    call: &Affine,
    gradient: &[f32],
    factors: &[&[f32]; 3],
    out: &mut [f32],
) {
    super::check_input(call, gradient, factors, out);
    for (i, out) in out.iter_mut().enumerate() {
        let Element { x, y } = Element::new(call, i);
        let g = f64::from(gradient[i]) * slope(call.activation, y);
        let [a, b, c] = factors.map(|factors| f64::from(factors[i % call.scale.len()]));
        *out = (a * g + b * x + c) as f32;
    }
}

/// Adds each channel's sums of `z - shift` and its square.
pub(in crate::kernels) fn moments(values: &[f32], shift: &[f32], sums: &mut [f32]) {
    super::check_moments(values, shift, sums);
    let channels = shift.len();
    for c in 0..channels {
        let pixels = values.iter().skip(c).step_by(channels);
        let shifted = pixels.map(|&z| f64::from(z) - f64::from(shift[c]));
        let (sum, square) = shifted.fold((0.0, 0.0), |(sum, square), x| (sum + x, square + x * x));
        sums[c] += sum as f32;
        sums[channels + c] += square as f32;
    }
}

/// One accumulator: shifted, and before its activation.
struct Element {
    x: f64,
    y: f64,
}

impl Element {
    fn new(call: &Affine, i: usize) -> Self {
        let c = i % call.scale.len();
        let x = f64::from(call.values[i]) - f64::from(call.shift[c]);
        let y = f64::from(call.scale[c]) * x + f64::from(call.bias[c]);
        Self { x, y }
    }
}

fn slope(activation: Activation, y: f64) -> f64 {
    let within = |y: f64, min: f64, max: f64| if min < y && y < max { 1.0 } else { 0.0 };
    match activation {
        Activation::Clamp { min, max } => within(y, min.into(), max.into()),
        Activation::HardSwish if y <= -3.0 => 0.0,
        Activation::HardSwish if y >= 3.0 => 1.0,
        Activation::HardSwish => (2.0 * y + 3.0) / 6.0,
        Activation::HardSigmoid { alpha, beta } => {
            f64::from(alpha) * within(f64::from(alpha) * y + f64::from(beta), 0.0, 1.0)
        }
    }
}
