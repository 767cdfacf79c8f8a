//! Requantisation tables in half precision: half of the bytes of the tables that kernels read
//! ([`crate::requantize::RequantizePanel`]), from which those are made once, when a patch is bound.
//!
//! ```text
//! multiplier = f16 * 2^-7
//! bias       = round_ties_even(f16 / multiplier) - zero_point_in * sum(weights)
//! ```
//!
//! * The power of two gives the least multiplier of a table the least half that has all its digits; the greatest is 511.
//! * The bias is stored in steps of the output, where the digits of a half are fine enough whatever the multiplier, and
//!   without the share of the input's zero point, which is large, has to be exact and follows from the weights.
//!
//! Every operation is one of IEEE 754 rounded on its own, so the table has the same bits on every target.

use half::f16;
use half::slice::HalfFloatSliceExt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::layout::{PANEL, int8_weight_sums};
use crate::records::Site;
use crate::requantize::RequantizePanel;
use crate::scale::whole_bias;

/// The factor of stored multipliers.
const UNITS: f32 = 128.0;

/// (multiplier, bias) of [`PANEL`] output channels in half precision. Padded lanes hold zeros.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct HalfPanel {
    multiplier: [f16; PANEL],
    bias: [f16; PANEL],
}

impl HalfPanel {
    /// The multiplier of each channel.
    pub fn multipliers(&self) -> [f32; PANEL] {
        widened(&self.multiplier).map(|multiplier| multiplier / UNITS)
    }

    /// The bias of each channel in steps of the output's scale, without the share of the input's zero point.
    pub fn biases(&self) -> [f32; PANEL] {
        widened(&self.bias)
    }
}

fn widened(halves: &[f16; PANEL]) -> [f32; PANEL] {
    let mut wide = [0.0; PANEL];
    halves.convert_to_f32_slice(&mut wide);
    wide
}

/// The int8 site that a table is for, as it runs.
#[derive(Clone, Copy, Debug)]
pub struct TableSite<'a> {
    /// As the backbone has it.
    pub site: Site,
    /// Output channels that it runs with.
    pub outputs: usize,
    /// Its weights, packed ([`crate::layout`]).
    pub weights: &'a [i8],
    /// Of the tensor that it reads.
    pub zero_point: i8,
}

impl TableSite<'_> {
    /// Makes the table that kernels read, panel by panel.
    pub fn widen(&self, table: &[HalfPanel], wide: &mut [RequantizePanel]) {
        for (index, (half, wide)) in table.iter().zip(wide).enumerate() {
            let zeros = self.zeros(index);
            wide.multiplier = half.multipliers();
            for (lane, bias) in half.biases().into_iter().enumerate() {
                // A padded lane is 0 / 0, which is rounded to 0.
                let bias = whole_bias(bias.into(), wide.multiplier[lane].into());
                wide.bias[lane] = bias.wrapping_sub(zeros[lane]);
            }
        }
    }

    /// Undoes [`Self::widen`]: the numbers that are stored in half precision, in their order.
    #[cfg(feature = "alloc")]
    pub(crate) fn narrow(&self, table: &[RequantizePanel]) -> alloc::vec::Vec<f32> {
        let mut stored = alloc::vec::Vec::with_capacity(table.len() * 2 * PANEL);
        for (index, panel) in table.iter().enumerate() {
            let zeros = self.zeros(index);
            stored.extend(panel.multiplier.map(|multiplier| multiplier * UNITS));
            stored.extend((0..PANEL).map(|lane| {
                let bias = panel.bias[lane].wrapping_add(zeros[lane]);
                (f64::from(bias) * f64::from(panel.multiplier[lane])) as f32
            }));
        }
        stored
    }

    /// The share of the zero point of the input in the sums of a panel.
    fn zeros(&self, panel: usize) -> [i32; PANEL] {
        let Site {
            depth,
            is_depthwise,
            ..
        } = self.site;
        let sums = int8_weight_sums(self.weights, panel, self.outputs, depth, is_depthwise);
        sums.map(|sum| sum.wrapping_mul(self.zero_point.into()))
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::layout::pack_int8_weights;

    const OUTPUTS: usize = 20;
    const DEPTH: usize = 9;
    const ZERO_POINT: i8 = -77;

    fn rows() -> Vec<i8> {
        (0..OUTPUTS * DEPTH).map(|i| (i * 37 % 255) as i8).collect()
    }

    fn table(
        multiplier: impl Fn(usize) -> f32,
        bias: impl Fn(usize) -> i32,
    ) -> [RequantizePanel; 2] {
        let mut table = [RequantizePanel::default(); 2];
        for channel in 0..OUTPUTS {
            let panel = &mut table[channel / PANEL];
            panel.multiplier[channel % PANEL] = multiplier(channel);
            panel.bias[channel % PANEL] = bias(channel);
        }
        table
    }

    fn table_site(weights: &[i8], is_depthwise: bool, zero_point: i8) -> TableSite<'_> {
        let site = Site {
            layer: 0,
            outputs: OUTPUTS,
            depth: DEPTH,
            is_head: false,
            is_depthwise,
            weights: 0,
            epilogue: 0,
            weight_scales: 0,
        };
        TableSite {
            site,
            outputs: OUTPUTS,
            weights,
            zero_point,
        }
    }

    /// There and back again, on dense and on depthwise weights.
    fn again(table: &[RequantizePanel; 2]) -> [[RequantizePanel; 2]; 2] {
        [false, true].map(|is_depthwise| {
            let weights = pack_int8_weights(&rows(), OUTPUTS, DEPTH, is_depthwise);
            let site = table_site(&weights, is_depthwise, ZERO_POINT);
            let stored: Vec<f16> = site.narrow(table).into_iter().map(f16::from_f32).collect();
            let stored = <[HalfPanel]>::ref_from_bytes(stored.as_bytes()).expect("whole panels");
            let mut wide = [RequantizePanel::default(); 2];
            site.widen(stored, &mut wide);
            wide
        })
    }

    #[test]
    fn what_halves_hold_comes_back_to_the_bit() {
        let rows = rows();
        let sum = |row: &[i8]| row.iter().map(|&weight| i32::from(weight)).sum::<i32>();
        let table = table(
            |channel| (1.0 + channel as f32 / 32.0) * [1.0, 2f32.powi(-21), 256.0][channel % 3],
            |channel| {
                let zero = i32::from(ZERO_POINT) * sum(&rows[channel * DEPTH..][..DEPTH]);
                channel as i32 - 7 - zero
            },
        );
        assert_eq!(again(&table), [table; 2]);
    }

    #[test]
    fn a_channel_is_off_by_a_small_part_of_a_step() {
        let table = table(
            |channel| 1e-5 * 1.7f32.powi(channel as i32),
            |channel| (channel as i32 - 10) * 150 + 100_000 / (channel as i32 + 1),
        );
        for wide in again(&table) {
            for (channel, sum) in (0..OUTPUTS).zip([-3000, 500, 70_000].into_iter().cycle()) {
                let at = |table: &[RequantizePanel; 2]| {
                    let panel = &table[channel / PANEL];
                    let sum = f64::from(sum + panel.bias[channel % PANEL]);
                    sum * f64::from(panel.multiplier[channel % PANEL])
                };
                let (found, exact) = (at(&wide), at(&table));
                let bound = 0.001 * exact.abs().max(100.0) + f64::from(wide[1].multiplier[3]);
                assert!((found - exact).abs() < bound, "{channel}: {found}, {exact}");
            }
        }
    }

    #[test]
    fn hostile_halves_make_some_table() {
        let site = table_site(&[-128; 2 * 3 * 64], false, -128);
        for multiplier in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-7] {
            for bias in [0.0, 65_504.0, f32::NAN, f32::NEG_INFINITY] {
                let half = HalfPanel {
                    multiplier: [f16::from_f32(multiplier); PANEL],
                    bias: [f16::from_f32(bias); PANEL],
                };
                let mut wide = [RequantizePanel::default()];
                site.widen(&[half], &mut wide);
                assert!(wide[0].bias[0].unsigned_abs() <= (1 << 29) + (1 << 18));
            }
        }
    }
}
