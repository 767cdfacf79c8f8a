//! Depthwise convolution: each channel by itself.

#[cfg(feature = "gradient")]
pub(super) mod gradient;
#[cfg(feature = "gradient")]
pub(super) mod gradient_reference;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;

use graft_patches::layout::weights_len;

use super::Conv;
use super::conv::check_rows;

/// Panics unless the operands are as long as a depthwise convolution of the output rows from `first` needs.
pub(super) fn check(task: &Conv, first: usize, out: &[f32]) {
    let channels = task.output_shape.channels;
    let [height, width] = task.window.kernel;
    check_rows(task, first, out);
    assert_eq!(
        task.input_shape.channels, channels,
        "input and output differ in channels"
    );
    assert!(
        task.weights.len() >= weights_len(channels, height.saturating_mul(width)),
        "weights are too short"
    );
}
