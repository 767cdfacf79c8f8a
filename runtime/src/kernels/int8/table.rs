//! Makes the table of all fast kernels for one instruction set.

/// A [`Kernels`](super::Kernels) table of the kernels on one kind of [`Lanes`]; `tile` is pixels by panels, `linear` panels of one
/// pixel.
macro_rules! int8_kernels {
    ($name:literal, $lanes:ty, depthwise: $depthwise:ty, tile: $rows:literal x $wide:literal, linear: $linear:literal $(, features: $features:literal)?) => {{
        use $crate::kernels::int8::{
            Conv, Elementwise, Kernels, Pointwise, Pool, conv, depthwise, elementwise, lookup, pointwise, pool,
        };
        use $crate::kernels::entry::{plain_kernel as plain, simd_kernel as kernel};
        Kernels {
            name: $name,
            conv: kernel!(
                conv::check, conv::simd::conv::<$lanes, $rows, $wide>,
                (call: &Conv, first: usize, out: &mut [i8], scratch: &mut [u8]) $(, $features)?
            ),
            depthwise: kernel!(
                depthwise::check, depthwise::simd::depthwise::<$depthwise>,
                (call: &Conv, first: usize, out: &mut [i8]) $(, $features)?
            ),
            pointwise: kernel!(
                pointwise::check, pointwise::simd::pointwise::<$lanes, $rows, $wide>,
                (call: &Pointwise, first: usize, out: &mut [i8], scratch: &mut [u8]) $(, $features)?
            ),
            linear: kernel!(
                pointwise::check_linear, pointwise::simd::linear::<$lanes, $linear>,
                (call: &Pointwise, first: usize, out: &mut [i8], scratch: &mut [u8]) $(, $features)?
            ),
            add: plain!(
                elementwise::check, elementwise::simd::add,
                (call: &Elementwise, first: usize, out: &mut [i8]) $(, $features)?
            ),
            multiply: plain!(
                elementwise::check, elementwise::simd::multiply,
                (call: &Elementwise, first: usize, out: &mut [i8]) $(, $features)?
            ),
            average_pool: plain!(
                pool::check, pool::simd::average_pool,
                (call: &Pool, first: usize, out: &mut [i8]) $(, $features)?
            ),
            max_pool: plain!(
                pool::check, pool::simd::max_pool,
                (call: &Pool, first: usize, out: &mut [i8]) $(, $features)?
            ),
            global_average_pool: plain!(
                pool::check_global, pool::simd::global_average_pool,
                (call: &Pool, first: usize, out: &mut [i8]) $(, $features)?
            ),
            lookup: lookup::reference::lookup,
        }
    }};
}

/// Compiles the tiles of these lanes for their instruction set.
macro_rules! tiled_lanes {
    ($lanes:ty $(, $features:literal)?) => {
        impl $crate::kernels::int8::pointwise::simd::Tiled for $lanes {
            $(#[target_feature(enable = $features)])?
            unsafe fn tiles<const ROWS: usize, const WIDTH: usize>(
                product: &$crate::kernels::int8::pointwise::simd::Product,
                panel: usize,
                rows: core::ops::Range<usize>,
                excess: &[<Self as $crate::kernels::isa::lanes::Lanes>::Sums; WIDTH],
                out: *mut i8,
            ) {
                // SAFETY: passed on from the caller.
                unsafe { product.tiles::<Self, ROWS, WIDTH>(panel, rows, excess, out) }
            }
        }
    };
}

pub(in crate::kernels) use {int8_kernels, tiled_lanes};
