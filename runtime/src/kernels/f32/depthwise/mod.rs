//! Depthwise convolution: each channel by itself.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;
#[cfg(simd)]
mod tile;

use graft_patches::layout::weights_len;

use super::Conv;
use super::conv::check_rows;

/// Panics unless the operands are as long as a depthwise convolution of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[f32]) {
    let channels = call.output_shape.channels;
    let [height, width] = call.window.kernel;
    check_rows(call, first, out);
    assert_eq!(
        call.input_shape.channels, channels,
        "input and output differ in channels"
    );
    assert!(
        call.weights.len() >= weights_len(channels, height.saturating_mul(width)),
        "weights are too short"
    );
}
