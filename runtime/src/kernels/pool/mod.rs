//! Average, maximum and global average pools.

#[cfg(feature = "gradient")]
pub(super) mod gradient;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use super::Pool;

/// Panics unless the operands are as long as a pool of the output rows from `first` needs.
pub(super) fn check(task: &Pool, first: usize, out: &[f32]) {
    let (input, output) = (task.input_shape, task.output_shape);
    let row = output.width * output.channels;
    assert_eq!(task.input.len(), input.len(), "input has another shape");
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
pub(super) fn check_global(task: &Pool, first: usize, out: &[f32]) {
    assert_eq!(
        task.input.len(),
        task.input_shape.len(),
        "input has another shape"
    );
    assert!(
        first + out.len() <= task.input_shape.channels,
        "output has too many channels"
    );
}

/// What the sum of a window of `taps` values, padding not counted, is divided by.
pub(super) fn divisor(task: &Pool, taps: usize) -> f32 {
    let count = if task.count_padding {
        task.window.kernel[0] * task.window.kernel[1]
    } else {
        taps
    };
    count as f32
}
