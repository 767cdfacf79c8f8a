//! Scales and zero points of int8 tensors, and what layers compute with because of them.
//!
//! A byte q of a tensor stands for `scale * (q - zero_point)`. From the scales of the tensors that a layer reads and writes
//! follow its requantisation table ([`Requantization`]), the bounds of its activation ([`Scale::quantized`]) and the table
//! of its curve ([`curve`]): the same bits on every target, since every step is an IEEE operation rounded on its own.

use zerocopy::little_endian::F32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::geometry::Activation;
use crate::requantize::{Quantized, round_ties_even};

/// Least and greatest scale: the quotient of any two is a finite f32.
pub const SCALES: core::ops::RangeInclusive<f32> = 1e-12..=1e12;

/// The meaning of the bytes of a tensor: `scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// In units of the tensor, above zero.
    pub scale: f32,
    /// The byte that stands for zero.
    pub zero_point: i8,
}

impl Scale {
    /// The finest scale whose bytes reach from `low` to `high`, which are widened to hold zero.
    pub fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).clamp(*SCALES.start(), *SCALES.end());
        let zero = round_ties_even((-128.0 - low / scale).clamp(-128.0, 127.0));
        Self {
            scale,
            zero_point: zero as i8,
        }
    }

    /// The value of a byte.
    pub fn value(self, byte: i8) -> f32 {
        self.scale * f32::from(i16::from(byte) - i16::from(self.zero_point))
    }

    /// The byte nearest to a value, ties to the even one.
    pub fn byte(self, value: f32) -> i8 {
        self.unbounded().saturate(value / self.scale)
    }

    /// The tensor that a layer without an activation writes.
    fn unbounded(self) -> Quantized {
        Quantized {
            zero_point: self.zero_point,
            min: i8::MIN,
            max: i8::MAX,
        }
    }

    /// The tensor that a layer with this activation writes. A curve ([`Activation::is_curve`]) has no bounds: it is looked
    /// up.
    pub fn quantized(self, activation: Activation) -> Quantized {
        let whole = self.unbounded();
        match activation {
            Activation::Clamp { min, max } => Quantized {
                min: whole.saturate(min / self.scale),
                max: whole.saturate(max / self.scale),
                ..whole
            },
            Activation::HardSwish | Activation::HardSigmoid { .. } => whole,
        }
    }
}

/// The scale of a tensor, and of what its layer computes before a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorScale {
    /// Of the tensor.
    pub outer: Scale,
    /// Before the curve; the same where the layer has none.
    pub inner: Scale,
}

impl TensorScale {
    /// For values from `low` to `high` behind this activation.
    pub fn of_range(activation: Activation, low: f32, high: f32) -> Self {
        let outer = Scale::of_range(low, high);
        let (low, high) = match activation {
            Activation::Clamp { .. } => return outer.into(),
            // Below -3 it is 0, above 3 it is x, in between x * (x + 3) / 6 grows from -1.5 on.
            Activation::HardSwish if high > 3.0 => (-3.0, high),
            Activation::HardSwish => (-3.0, 3.0),
            Activation::HardSigmoid { alpha, beta } => {
                let ends = [low, high].map(|end| (end.clamp(0.0, 1.0) - beta) / alpha);
                (ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
        };
        // Where the slope is zero there is no range.
        let finite = |end: f32| if end.is_finite() { end } else { 0.0 };
        Self {
            outer,
            inner: Scale::of_range(finite(low), finite(high)),
        }
    }
}

impl From<Scale> for TensorScale {
    fn from(scale: Scale) -> Self {
        Self {
            outer: scale,
            inner: scale,
        }
    }
}

/// The scales of one tensor, as stored.
#[derive(
    Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, PartialEq,
)]
#[repr(C)]
pub struct ScaleRecord {
    /// Of the tensor.
    pub scale: F32,
    /// Before the curve of its layer.
    pub inner_scale: F32,
    /// Of the tensor.
    pub zero_point: i8,
    /// Before the curve of its layer.
    pub inner_zero_point: i8,
    /// Zero.
    pub reserved: [u8; 6],
}

impl ScaleRecord {
    /// Decoded; what was checked at open is not checked again.
    pub fn get(&self) -> TensorScale {
        TensorScale {
            outer: Scale {
                scale: self.scale.get(),
                zero_point: self.zero_point,
            },
            inner: Scale {
                scale: self.inner_scale.get(),
                zero_point: self.inner_zero_point,
            },
        }
    }

    /// Whether a tensor whose layer has a curve, or none, may have this record.
    pub(crate) fn check(&self, has_curve: bool) -> Result<(), &'static str> {
        let TensorScale { outer, inner } = self.get();
        if !SCALES.contains(&outer.scale) || !SCALES.contains(&inner.scale) {
            return Err("a scale that is not a number from 1e-12 to 1e12");
        }
        if self.reserved != [0; 6] || (inner != outer && !has_curve) {
            return Err("a reserved field, or one without a meaning here, is set");
        }
        Ok(())
    }
}

impl From<TensorScale> for ScaleRecord {
    fn from(TensorScale { outer, inner }: TensorScale) -> Self {
        Self {
            scale: outer.scale.into(),
            inner_scale: inner.scale.into(),
            zero_point: outer.zero_point,
            inner_zero_point: inner.zero_point,
            reserved: [0; 6],
        }
    }
}

/// The finest scale whose bytes from -127 to 127 hold all of these weights of one output channel, symmetric around zero.
pub fn weight_scale(weights: impl Iterator<Item = f32>) -> f32 {
    let greatest = weights.fold(0.0f32, |most, weight| most.max(weight.abs()));
    (greatest / 127.0).clamp(*SCALES.start(), *SCALES.end())
}

/// The byte from -127 to 127 nearest to a weight, ties to even.
pub fn weight_byte(scale: f32, weight: f32) -> i8 {
    let symmetric = Quantized {
        zero_point: 0,
        min: -127,
        max: 127,
    };
    symmetric.saturate(weight / scale)
}

/// Quantises the weights of one output channel by [`weight_scale`], which is returned.
///
/// # Panics
/// If `bytes` is shorter than `weights`.
pub fn quantize_weights(weights: &[f32], bytes: &mut [i8]) -> f32 {
    let scale = weight_scale(weights.iter().copied());
    quantize_weights_by(scale, weights, bytes);
    scale
}

/// Quantises the weights of one output channel by a given scale ([`weight_byte`]).
///
/// # Panics
/// If `bytes` is shorter than `weights`.
pub fn quantize_weights_by(scale: f32, weights: &[f32], bytes: &mut [i8]) {
    for (byte, &weight) in bytes[..weights.len()].iter_mut().zip(weights) {
        *byte = weight_byte(scale, weight);
    }
}

/// The table of a curve: entry `q + 128` is the byte for the byte q before it.
pub fn curve(activation: Activation, scale: TensorScale) -> [i8; 256] {
    let mut table = [0; 256];
    for (byte, entry) in (i8::MIN..=i8::MAX).zip(&mut table) {
        *entry = scale.outer.byte(activation.of(scale.inner.value(byte)));
    }
    table
}

/// The scales around an int8 site.
#[derive(Clone, Copy, Debug)]
pub struct Requantization {
    /// Of the tensor that it reads.
    pub input: Scale,
    /// Scale of what it computes, before a curve.
    pub output: f32,
}

/// Greatest bias before the zero point of the input is taken away: with 2^15 products of weights and inputs less their zero
/// point beside it, a sum stays below 2^31.
const GREATEST_BIAS: f64 = (1 << 29) as f64;
/// A bias of this number of steps of the output saturates it.
const GREATEST_STEPS: f64 = 256.0;

impl Requantization {
    /// Multiplier and bias of a channel that computes `scale * x + bias` of its sum x, whose weights have this scale and
    /// this sum.
    pub fn channel(&self, scale: f32, bias: f32, weight_scale: f32, weight_sum: i32) -> (f32, i32) {
        let unit = f64::from(self.input.scale) * f64::from(weight_scale);
        let exact = f64::from(scale) * unit / f64::from(self.output);
        let steps = f64::from(bias) / f64::from(self.output);
        // With a smaller one this bias would not fit; the sum of a channel that hardly counts it then counts a little.
        let least = steps.abs().min(GREATEST_STEPS) / GREATEST_BIAS;
        let multiplier = match exact.abs() < least {
            true if exact < 0.0 => -least as f32,
            true => least as f32,
            false => exact as f32,
        };
        let bias = whole_bias(steps, multiplier.into());
        let zero = i32::from(self.input.zero_point).wrapping_mul(weight_sum);
        (multiplier, bias.wrapping_sub(zero))
    }

    /// Scale and bias of a channel with this multiplier and bias: undoes [`Self::channel`].
    pub fn affine(
        &self,
        (multiplier, bias): (f32, i32),
        weight_scale: f32,
        weight_sum: i32,
    ) -> (f32, f32) {
        let step = f64::from(multiplier) * f64::from(self.output);
        let zero = i32::from(self.input.zero_point).wrapping_mul(weight_sum);
        let scale = step / (f64::from(self.input.scale) * f64::from(weight_scale));
        let bias = step * f64::from(bias.wrapping_add(zero));
        (scale as f32, bias as f32)
    }
}

/// A bias in steps of the output, before the zero point of the input is taken away, in units of the accumulator. What is
/// not a number becomes zero.
pub(crate) fn whole_bias(steps: f64, multiplier: f64) -> i32 {
    rounded((steps / multiplier).clamp(-GREATEST_BIAS, GREATEST_BIAS))
}

/// Rounds to nearest, ties to even, what fits an i32: as [`round_ties_even`].
fn rounded(value: f64) -> i32 {
    const NO_FRACTION: f64 = 6_755_399_441_055_744.0;
    ((value + NO_FRACTION) - NO_FRACTION) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_zero_exactly_and_reaches_its_ends() {
        for (low, high) in [
            (0.0, 6.0),
            (-3.0, 5.0),
            (1.0, 2.0),
            (-7.0, -6.0),
            (0.0, 0.0),
        ] {
            let scale = Scale::of_range(low, high);
            assert_eq!(scale.value(scale.byte(0.0)), 0.0);
            for end in [low, high] {
                let error = (scale.value(scale.byte(end)) - end).abs();
                assert!(error <= scale.scale, "{end}: {error}");
            }
        }
    }

    #[test]
    fn an_activation_has_bounds() {
        let scale = Scale::of_range(0.0, 12.0);
        let found = scale.quantized(Activation::RELU6);
        assert_eq!((found.min, found.max), (-128, scale.byte(6.0)));
        let found = scale.quantized(Activation::NONE);
        assert_eq!((found.min, found.max), (-128, 127));
    }

    #[test]
    fn a_channel_computes_what_it_stands_for() {
        let site = Requantization {
            input: Scale {
                scale: 0.05,
                zero_point: -20,
            },
            output: 0.1,
        };
        let (weights, weight_scale) = ([12, -90, 127], 0.003);
        let inputs: [i8; 3] = [100, -128, 7];
        for (scale, bias) in [(1.5, -2.0), (-0.7, 0.3), (0.0, 4.0), (1e-9, -3.0)] {
            let table = site.channel(scale, bias, weight_scale, weights.iter().sum());
            let exact: f32 = inputs
                .iter()
                .zip(weights)
                .map(|(&x, w)| site.input.value(x) * w as f32 * weight_scale)
                .sum();
            let exact = (scale * exact + bias) / site.output;
            let sum: i32 = inputs
                .iter()
                .zip(weights)
                .map(|(&x, w)| i32::from(x) * w)
                .sum();
            let found = (sum + table.1) as f32 * table.0;
            assert!(
                (found - exact).abs() < 0.02,
                "{scale}, {bias}: {found}, {exact}"
            );
            let (scale_again, bias_again) = site.affine(table, weight_scale, weights.iter().sum());
            assert!((scale_again - scale).abs() < 1e-3 && (bias_again - bias).abs() < 2e-3);
        }
    }

    #[test]
    fn the_greatest_sum_and_bias_together_do_not_wrap() {
        const PRODUCTS: i32 = 1 << 15;
        let site = Requantization {
            input: Scale {
                scale: 0.01,
                zero_point: -128,
            },
            output: 1e-3,
        };
        for (weight, bias) in [(127, 1e9), (-127, -1e9)] {
            let (multiplier, stored) = site.channel(1e-12, bias, 1e-6, weight * PRODUCTS);
            assert!(multiplier > 0.0);
            // Every input is 127: 255 above the zero point.
            let sum = i64::from(127 * weight) * i64::from(PRODUCTS) + i64::from(stored);
            let exact = i64::from(255 * weight) * i64::from(PRODUCTS);
            let exact = exact + i64::from(weight.signum()) * (1 << 29);
            assert_eq!(sum, exact);
            assert_eq!(i32::try_from(sum).map(i64::from), Ok(sum), "it fits");
        }
    }

    #[test]
    fn a_channel_that_counts_for_nothing_is_its_bias() {
        let site = Requantization {
            input: Scale::of_range(0.0, 6.0),
            output: 0.1,
        };
        // Two standard deviations of a thousand products.
        let sum = 500_000;
        for bias in [0.0, 0.04, -3.0, 12.0] {
            let (multiplier, stored) = site.channel(0.0, bias, 0.01, 0);
            let found = (sum + stored) as f32 * multiplier;
            assert!((found - bias / 0.1).abs() < 0.15, "{bias}: {found}");
            let (scale, again) = site.affine((multiplier, stored), 0.01, 0);
            assert!(scale.abs() < 1e-3 && (again - bias).abs() < 1e-3);
        }
    }

    #[test]
    fn a_curve_is_a_table() {
        let scale = TensorScale {
            outer: Scale::of_range(-0.375, 6.0),
            inner: Scale::of_range(-3.0, 6.0),
        };
        let table = curve(Activation::HardSwish, scale);
        for q in i8::MIN..=i8::MAX {
            let exact = Activation::HardSwish.of(scale.inner.value(q));
            let found = scale.outer.value(table[(i16::from(q) + 128) as usize]);
            assert!((exact - found).abs() <= 0.51 * scale.outer.scale, "{q}");
        }
    }
}
