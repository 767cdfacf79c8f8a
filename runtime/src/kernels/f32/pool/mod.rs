//! Average, maximum and global average pools.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use super::Pool;

/// Panics unless the operands are as long as a pool of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Pool, first: usize, out: &[f32]) {
    let (input, output) = (call.input_shape, call.output_shape);
    let row = output.width * output.channels;
    assert_eq!(call.input.len(), input.len(), "input has another shape");
    assert_eq!(
        input.channels, output.channels,
        "input and output differ in channels"
    );
    assert!(out.len().is_multiple_of(row), "output is not whole rows");
    assert!(
        first + out.len() / row <= output.height,
        "output has too many rows"
    );
}

/// Panics unless the operands are as long as a global pool of the channels from `first` needs.
pub(in crate::kernels) fn check_global(call: &Pool, first: usize, out: &[f32]) {
    assert_eq!(
        call.input.len(),
        call.input_shape.len(),
        "input has another shape"
    );
    assert!(
        first + out.len() <= call.input_shape.channels,
        "output has too many channels"
    );
}

/// What the sum of a window of `taps` values, padding not counted, is divided by.
pub(in crate::kernels) fn divisor(call: &Pool, taps: usize) -> f32 {
    let count = if call.count_padding {
        call.window.kernel[0] * call.window.kernel[1]
    } else {
        taps
    };
    count as f32
}
