//! An output channel's entry of a requantisation table, as ONNX says it: a scale of weights and a bias.

use graft_patches::scale::Requantization;

/// Of a channel that the sum of products counts for nothing in: the scale of the runtime's own least multiplier.
const LEAST_MULTIPLIER: f64 = 1.0 / (1 << 21) as f64;

/// The weight scale and the bias of a channel with this multiplier and bias; ONNX has the bias in units of
/// `input scale * weight scale` and without the zero point of the input.
///
/// Scales are above zero, so a negative one changes the signs of the weights. One too small for a normal number leaves
/// the constant part alone.
pub(super) fn channel(
    around: Requantization,
    (multiplier, bias): (f32, i32),
    weights: &mut [i8],
) -> (f32, i32) {
    let sum: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
    let bias = i64::from(bias) + i64::from(around.input.zero_point) * sum;
    let ratio = f64::from(around.output) / f64::from(around.input.scale);
    let scale = (f64::from(multiplier) * ratio) as f32;
    if scale.is_normal() && (scale * around.input.scale).is_normal() {
        if scale > 0.0 {
            return (scale, saturated(bias as f64));
        }
        for weight in weights {
            *weight = weight.saturating_neg();
        }
        return (-scale, saturated(-bias as f64));
    }
    weights.fill(0);
    let constant = bias as f64 * f64::from(multiplier) / LEAST_MULTIPLIER;
    ((LEAST_MULTIPLIER * ratio) as f32, saturated(constant))
}

fn saturated(bias: f64) -> i32 {
    bias.round_ties_even() as i32
}

#[cfg(test)]
mod tests {
    use graft_patches::scale::Scale;

    use super::*;

    const AROUND: Requantization = Requantization {
        input: Scale {
            scale: 0.05,
            zero_point: -20,
        },
        output: 0.1,
    };

    /// The value of a channel for some input, by the table and by ONNX's rule, in units of the output.
    fn both(multiplier: f32, bias: i32) -> [f64; 2] {
        let input = [100i8, -128, 7];
        let mut weights = [12i8, -127, 127];
        let dot = |weights: &[i8; 3], zero: i64| -> i64 {
            let products = input.iter().zip(weights);
            products
                .map(|(&x, &w)| (i64::from(x) - zero) * i64::from(w))
                .sum()
        };
        let by_table = (dot(&weights, 0) + i64::from(bias)) as f64 * f64::from(multiplier);
        let (scale, bias) = channel(AROUND, (multiplier, bias), &mut weights);
        assert!(scale.is_normal() && scale > 0.0);
        let zero = AROUND.input.zero_point.into();
        let sum = dot(&weights, zero) + i64::from(bias);
        let step = f64::from(AROUND.input.scale) * f64::from(scale);
        [by_table, sum as f64 * step / f64::from(AROUND.output)]
    }

    #[test]
    fn a_channel_computes_the_same() {
        for (multiplier, bias) in [
            (0.003, 1234),
            (-0.003, -500),
            (4.8e-7, 1 << 29),
            (0.0, 77),
            (1e-40, i32::MAX),
            (-1e-42, i32::MIN),
        ] {
            let [by_table, by_onnx] = both(multiplier, bias);
            let error = (by_table - by_onnx).abs();
            assert!(
                error <= 1e-6 + 1e-6 * by_table.abs(),
                "{multiplier}: {by_table}, {by_onnx}"
            );
        }
    }
}
