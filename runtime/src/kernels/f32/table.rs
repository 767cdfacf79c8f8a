//! Makes the table of all fast kernels for one instruction set.

/// A [`Kernels`](super::Kernels) table of the kernels on one vector type.
///
/// * `tile`: pixels by vectors of the pointwise register tile;
/// * `tail`: the same for the last output channels, where they are few;
/// * `panel`: vectors of one panel;
/// * `linear`: vectors that a fully connected layer computes at a time;
/// * `features`: the instruction set to compile for, where it is not in the target's baseline. Whoever hands out the
///   table must know that the CPU has it.
macro_rules! simd_kernels {
    (
        $name:literal, $vector:ty,
        tile: $rows:literal x $wide:literal, tail: $tall:literal x $narrow:literal,
        panel: $panel:literal, linear: $linear:literal
        $(, features: $features:literal)?
    ) => {{
        use $crate::kernels::entry::simd_kernel as kernel;
        use $crate::kernels::f32::{
            Conv, Elementwise, Kernels, Pointwise, Pool, conv, depthwise, elementwise, pointwise, pool,
        };
        Kernels {
            name: $name,
            conv: kernel!(
                conv::check, conv::simd::conv::<$vector, $rows, $wide, $tall, $narrow>,
                (call: &Conv, first: usize, out: &mut [f32]) $(, $features)?
            ),
            depthwise: kernel!(
                depthwise::check, depthwise::simd::depthwise::<$vector, 2>,
                (call: &Conv, first: usize, out: &mut [f32]) $(, $features)?
            ),
            pointwise: kernel!(
                pointwise::check, pointwise::simd::pointwise::<$vector, $rows, $wide, $tall, $narrow>,
                (call: &Pointwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            linear: kernel!(
                pointwise::check_linear, pointwise::simd::linear::<$vector, $linear, $panel>,
                (call: &Pointwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            add: kernel!(
                elementwise::check, elementwise::simd::elementwise::<$vector, false>,
                (call: &Elementwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            multiply: kernel!(
                elementwise::check, elementwise::simd::elementwise::<$vector, true>,
                (call: &Elementwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            average_pool: kernel!(
                pool::check, pool::simd::pool::<$vector, false>,
                (call: &Pool, first: usize, out: &mut [f32]) $(, $features)?
            ),
            max_pool: kernel!(
                pool::check, pool::simd::pool::<$vector, true>,
                (call: &Pool, first: usize, out: &mut [f32]) $(, $features)?
            ),
            global_average_pool: kernel!(
                pool::check_global, pool::simd::global_average_pool::<$vector>,
                (call: &Pool, first: usize, out: &mut [f32]) $(, $features)?
            ),
            #[cfg(feature = "gradient")]
            gradient: $crate::kernels::f32::gradient::simd_gradients!(
                $vector, panel: $panel $(, features: $features)?
            ),
        }
    }};
}

pub(in crate::kernels) use simd_kernels;
