//! Makes an entry of a table of fast kernels: a safe function around a kernel compiled for an instruction set.

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

pub(super) use {plain_kernel, simd_kernel};
