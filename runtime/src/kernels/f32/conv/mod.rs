//! k x k convolution, all input channels to all output channels: the stem of a MobileNet.

#[cfg(feature = "gradient")]
pub(in crate::kernels) mod gradient;
pub(in crate::kernels) mod reference;
#[cfg(simd)]
pub(in crate::kernels) mod simd;

use graft_patches::layout::weights_len;

use super::{Conv, conv_scratch_len};

/// Panics unless the operands are as long as a convolution of the output rows from `first` needs.
pub(in crate::kernels) fn check(call: &Conv, first: usize, out: &[f32], scratch: &[f32]) {
    let [height, width] = call.window.kernel;
    let (inputs, outputs) = (call.input_shape.channels, call.output_shape.channels);
    let depth = height.saturating_mul(width).saturating_mul(inputs);
    check_rows(call, first, out);
    assert!(
        call.weights.len() >= weights_len(outputs, depth),
        "weights are too short"
    );
    assert!(
        scratch.len() >= conv_scratch_len(&call.window, inputs),
        "scratch memory is too short"
    );
}

/// Panics unless input, output and epilogue fit the shapes, for the output rows from `first`.
pub(in crate::kernels) fn check_rows(call: &Conv, first: usize, out: &[f32]) {
    let row = call.output_shape.width * call.output_shape.channels;
    assert_eq!(
        call.input.len(),
        call.input_shape.len(),
        "input has another shape"
    );
    assert!(out.len().is_multiple_of(row), "output is not whole rows");
    assert!(
        first + out.len() / row <= call.output_shape.height,
        "output has too many rows"
    );
    call.epilogue.check(call.output_shape.channels);
}
