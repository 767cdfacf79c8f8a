//! The requantisation rule: how an i32 accumulator becomes an s8 activation, the same bits on every target.
//!
//! In an int8 network activations are s8 with a scale and a zero point per tensor, weights are s8 with a scale per output
//! channel and no zero point (-127 to 127, so that the sum of two products fits 16 bits, for targets that add so),
//! accumulators are i32. A value of output channel c is
//!
//! ```text
//! q = round_ties_even(f32(acc + bias[c]) * multiplier[c]) + zero_point, saturated to [min, max]
//! ```
//!
//! * `acc` is the sum of the products of the stored bytes. Padding counts with the input's zero point, so what the zero
//!   point adds to every window is the same, and `bias` takes it away again:
//!   `bias = round(b / (s_in * s_w)) - zero_point_in * sum(weights)`.
//! * `acc` has at most 2^15 products, which cannot wrap; `acc + bias` is the two's complement sum in 32 bits, which whoever
//!   makes the table keeps from wrapping.
//! * `f32(...)` rounds to nearest, ties to even, as IEEE 754 converts; so does the one multiplication, which is fused with
//!   nothing. `multiplier = s_in * s_w / s_out` is finite.
//! * The zero point and the bounds are integers, so saturating before rounding gives the same as after it, and then
//!   every value is small enough for [`round_ties_even`].
//!
//! (multiplier, bias) of all channels is the epilogue of an int8 site (`runtime/ARCHITECTURE.md`), in panels of [`PANEL`] channels.
//!
//! Layers without weights compute in f32 from the stored bytes, each step rounded on its own, then round and saturate the
//! same way. With scales s and zero points z of the operands:
//!
//! ```text
//! add            (f32(l - z_l) * m_l) + (f32(r - z_r) * m_r)      m_l = s_l / s_out, m_r = s_r / s_out
//! multiply       (f32(l - z_l) * m_l) * (f32(r - z_r) * m_r)      m_l = s_l / s_out, m_r = s_r
//! average pools  f32(sum(q - z)) * (m / f32(count))               m = s_in / s_out
//! max pool       f32(max(q) - z) * m                              m = s_in / s_out
//! ```
//!
//! A layer that ends in a curve (hard-swish, hard-sigmoid) is requantised to the inner scale and zero point of its
//! output, and each byte is then looked up in a table of 256: see [`curve`](crate::scale::curve).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::layout::PANEL;

/// (multiplier, bias) of [`PANEL`] output channels. Padded lanes hold zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct RequantizePanel {
    /// `s_in * s_w / s_out` of each channel.
    pub multiplier: [f32; PANEL],
    /// In units of the accumulator.
    pub bias: [i32; PANEL],
}

/// The s8 tensor that a layer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantized {
    /// The byte that stands for zero.
    pub zero_point: i8,
    /// Least value: the activation's lower bound, or -128.
    pub min: i8,
    /// Greatest value.
    pub max: i8,
}

impl Quantized {
    /// The bounds less the zero point, between which a product is cut off.
    #[inline]
    pub fn bounds(self) -> [f32; 2] {
        [self.min, self.max].map(|bound| f32::from(bound) - f32::from(self.zero_point))
    }

    /// The rule, for one accumulator with its bias added.
    #[inline]
    pub fn requantize(self, sum: i32, multiplier: f32) -> i8 {
        self.saturate(sum as f32 * multiplier)
    }

    /// Rounds a value in units of this tensor's scale, adds the zero point and saturates.
    #[inline]
    pub fn saturate(self, value: f32) -> i8 {
        let [low, high] = self.bounds();
        // Not `f32::max`, which asks for NaN twice: in vectors, and by a call on a Cortex-M.
        let above = if value > low { value } else { low };
        let inside = if above < high { above } else { high };
        let rounded = inside + NO_FRACTION;
        // Its last byte is the integer, so that no conversion is needed: those of Rust saturate, which takes vectors long.
        (rounded.to_bits() as i8).wrapping_add(self.zero_point)
    }
}

/// 1.5 * 2^23: beside it an f32 has no room for a fraction, and the sum rounds as every sum does.
const NO_FRACTION: f32 = 12_582_912.0;

/// Rounds to the nearest integer, ties to the even one, for values of at most 2^22 either way.
///
/// `core` has no such function on every target, and a Cortex-M4 no such instruction.
#[inline]
pub fn round_ties_even(value: f32) -> f32 {
    (value + NO_FRACTION) - NO_FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Quantized = Quantized {
        zero_point: 0,
        min: -128,
        max: 127,
    };

    #[test]
    fn ties_go_to_the_even_neighbour() {
        for (value, expected) in [
            (0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (-2.5, -2),
            (126.5, 126),
            (-127.5, -128),
        ] {
            assert_eq!(WHOLE.saturate(value), expected, "{value}");
        }
        // Just beside a tie.
        assert_eq!(WHOLE.saturate(f32::from_bits(0.5f32.to_bits() + 1)), 1);
        assert_eq!(WHOLE.saturate(f32::from_bits(1.5f32.to_bits() - 1)), 1);
    }

    #[test]
    fn everything_beyond_the_bounds_saturates() {
        let relu6 = Quantized {
            zero_point: -128,
            min: -128,
            max: 100,
        };
        for sum in [i32::MIN, i32::MIN + 1, -1, 0, 1, i32::MAX - 1, i32::MAX] {
            for multiplier in [0.0, f32::MIN_POSITIVE, 1e-3, 1.0, f32::MAX] {
                let exact = (f64::from(sum as f32) * f64::from(multiplier)).round_ties_even();
                let expected = (exact - 128.0).clamp(-128.0, 100.0) as i8;
                let found = relu6.requantize(sum, multiplier);
                assert_eq!(found, expected, "{sum} x {multiplier}");
            }
        }
    }

    #[test]
    fn a_large_sum_is_rounded_when_it_becomes_a_float() {
        // 2^24 + 1 lies between two floats; the even one is 2^24.
        let multiplier = 1.0 / 16_777_216.0 * 0.5;
        assert_eq!(WHOLE.requantize((1 << 24) + 1, multiplier), 0);
        assert_eq!(WHOLE.requantize((1 << 24) + 3, multiplier), 1);
    }

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        let mut bits: u32 = 1;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(bits);
            if value.abs() <= 4_194_304.0 {
                assert_eq!(round_ties_even(value), value.round_ties_even(), "{value}");
            }
        }
    }
}
