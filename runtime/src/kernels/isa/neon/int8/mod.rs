//! Panels of int8, without and with NEON's dot product of four bytes.

mod channels;
mod dot;
mod plain;

use crate::kernels::entry::simd_kernel;
use crate::kernels::int8::table::{int8_kernels, tiled_lanes};
use crate::kernels::int8::{Conv, Kernels, depthwise};
use crate::kernels::isa::{Candidate, cpu_has};
use dot::Dot;
use plain::Plain;

/// The kernels on [`Dot`], whose depthwise layers are interleaved; tiles of `rows` pixels.
macro_rules! dot_kernels {
    ($name:literal, $lanes:ty, $rows:literal, $features:literal) => {
        Kernels {
            depthwise: simd_kernel!(
                depthwise::check, depthwise::interleaved::depthwise::<$lanes>,
                (call: &Conv, first: usize, out: &mut [i8]), $features
            ),
            ..int8_kernels!($name, $lanes, depthwise: Plain, tile: $rows x 1, linear: 4, features: $features)
        }
    };
}

tiled_lanes!(Plain);
tiled_lanes!(Dot<false>, "neon,dotprod");
tiled_lanes!(Dot<true>, "neon,dotprod,i8mm");

/// 32 registers: 16 sums, 2 weights, 4 inputs, 4 products.
static PLAIN: Kernels = int8_kernels!("neon", Plain, depthwise: Plain, tile: 2 x 1, linear: 1);

/// 32 registers: 16 sums, 4 inputs, weights.
static DOT: Kernels = dot_kernels!("neon-dotprod", Dot<false>, 4, "neon,dotprod");

/// 32 registers: 24 sums, 3 pairs of rows, 4 weights.
static MATRIX: Kernels = dot_kernels!("neon-i8mm", Dot<true>, 6, "neon,dotprod,i8mm");

pub(in crate::kernels) static INT8: &[Candidate<Kernels>] = &[
    (&MATRIX, || cpu_has!("dotprod") && cpu_has!("i8mm")),
    (&DOT, || cpu_has!("dotprod")),
    (&PLAIN, || true),
];
