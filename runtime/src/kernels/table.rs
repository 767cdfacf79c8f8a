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
        use $crate::kernels::table::simd_kernel as kernel;
        use $crate::kernels::{
            Conv, Elementwise, Kernels, Pointwise, Pool, conv, depthwise, elementwise, pointwise, pool,
        };
        Kernels {
            name: $name,
            conv: kernel!(
                conv::check, conv::simd::conv::<$vector, $rows, $wide, $tall, $narrow>,
                (task: &Conv, first: usize, out: &mut [f32], scratch: &mut [f32]) $(, $features)?
            ),
            depthwise: kernel!(
                depthwise::check, depthwise::simd::depthwise::<$vector, 2>,
                (task: &Conv, first: usize, out: &mut [f32]) $(, $features)?
            ),
            pointwise: kernel!(
                pointwise::check, pointwise::simd::pointwise::<$vector, $rows, $wide, $tall, $narrow>,
                (task: &Pointwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            linear: kernel!(
                pointwise::check_linear, pointwise::simd::linear::<$vector, $linear, $panel>,
                (task: &Pointwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            add: kernel!(
                elementwise::check, elementwise::simd::elementwise::<$vector, false>,
                (task: &Elementwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            multiply: kernel!(
                elementwise::check, elementwise::simd::elementwise::<$vector, true>,
                (task: &Elementwise, first: usize, out: &mut [f32]) $(, $features)?
            ),
            average_pool: kernel!(
                pool::check, pool::simd::pool::<$vector, false>,
                (task: &Pool, first: usize, out: &mut [f32]) $(, $features)?
            ),
            max_pool: kernel!(
                pool::check, pool::simd::pool::<$vector, true>,
                (task: &Pool, first: usize, out: &mut [f32]) $(, $features)?
            ),
            global_average_pool: kernel!(
                pool::check_global, pool::simd::global_average_pool::<$vector>,
                (task: &Pool, first: usize, out: &mut [f32]) $(, $features)?
            ),
            #[cfg(feature = "gradient")]
            gradient: $crate::kernels::gradient::simd_gradients!(
                $vector, panel: $panel $(, features: $features)?
            ),
        }
    }};
}

/// A safe function that checks its arguments, then runs a kernel compiled for an instruction set.
macro_rules! simd_kernel {
    ($check:path, $kernel:expr, ($($argument:ident: $type:ty),*) $(, $features:literal)?) => {{
        fn checked($($argument: $type),*) {
            $(#[target_feature(enable = $features)])?
            unsafe fn kernel($($argument: $type),*) {
                // SAFETY: the arguments are checked below.
                unsafe { $kernel($($argument),*) }
            }
            $check($($argument),*);
            // SAFETY: `select` hands out the table only where the CPU has the instruction set.
            unsafe { kernel($($argument),*) }
        }
        checked
    }};
}

/// The same for a plain loop, which the compiler vectorises for the instruction set.
macro_rules! plain_kernel {
    ($check:path, $kernel:path, ($($argument:ident: $type:ty),*) $(, $features:literal)?) => {{
        fn checked($($argument: $type),*) {
            $(#[target_feature(enable = $features)])?
            fn kernel($($argument: $type),*) {
                $kernel($($argument),*);
            }
            $check($($argument),*);
            // SAFETY: `select` hands out the table only where the CPU has the instruction set.
            #[allow(unused_unsafe, reason = "safe where the instruction set is in the target's baseline")]
            unsafe {
                kernel($($argument),*);
            }
        }
        checked
    }};
}

pub(super) use {plain_kernel, simd_kernel, simd_kernels};
