//! k x k convolution, all input channels to all output channels: the stem of a MobileNet.

#[cfg(feature = "gradient")]
pub(super) mod gradient;
pub(super) mod reference;
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) mod simd;

use graft_patches::layout::weights_len;

use super::{Conv, conv_scratch_len};

/// Panics unless the operands are as long as a convolution of the output rows from `first` needs.
pub(super) fn check(task: &Conv, first: usize, out: &[f32], scratch: &[f32]) {
    let [height, width] = task.window.kernel;
    let (inputs, outputs) = (task.input_shape.channels, task.output_shape.channels);
    let depth = height.saturating_mul(width).saturating_mul(inputs);
    check_rows(task, first, out);
    assert!(
        task.weights.len() >= weights_len(outputs, depth),
        "weights are too short"
    );
    assert!(
        scratch.len() >= conv_scratch_len(&task.window, inputs),
        "scratch memory is too short"
    );
}

/// Panics unless input, output and epilogue fit the shapes, for the output rows from `first`.
pub(super) fn check_rows(task: &Conv, first: usize, out: &[f32]) {
    let row = task.output_shape.width * task.output_shape.channels;
    assert_eq!(
        task.input.len(),
        task.input_shape.len(),
        "input has another shape"
    );
    assert!(out.len().is_multiple_of(row), "output is not whole rows");
    assert!(
        first + out.len() / row <= task.output_shape.height,
        "output has too many rows"
    );
    task.epilogue.check(task.output_shape.channels);
}
