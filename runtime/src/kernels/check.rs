//! The lengths that kernels rely on, for both dtypes.
//!
//! Each function panics where they do not hold, which is a programming error of the engine: plans are verified at load.
//! The messages are without numbers, which would take a kilobyte of a microcontroller's flash to print.

use graft_patches::layout::{PANEL, weights_len};

use super::window;
use super::{Shape, Window};

/// Panics unless input and output are as long as the output rows from `first` need, and the window gives the output's
/// shape.
pub(super) fn rows(
    input: usize,
    [input_shape, output_shape]: [Shape; 2],
    window: &Window,
    first: usize,
    out: usize,
) {
    let row = output_shape.width.saturating_mul(output_shape.channels);
    whole_input(input, input_shape);
    assert!(
        out.is_multiple_of(row) && first.saturating_add(out / row) <= output_shape.height,
        "the output is no rows of the layer's"
    );
    assert!(
        window.output(input_shape) == Some([output_shape.height, output_shape.width]),
        "the window gives another shape"
    );
}

fn whole_input(found: usize, shape: Shape) {
    assert!(
        found == shape.len(),
        "the input is longer or shorter than its shape"
    );
}

/// Panics unless input and output have the same channels.
pub(super) fn channels_kept([input, output]: [Shape; 2]) {
    assert!(
        input.channels == output.channels,
        "the output has other channels than the input"
    );
}

/// Panics unless a depthwise layer has its weights, and keeps the channels.
pub(super) fn depthwise(shapes: [Shape; 2], window: &Window, found: usize) {
    channels_kept(shapes);
    let [input, _] = shapes;
    weights(found, weights_len(input.channels, window::taps(window)));
}

/// Panics unless the operands are as long as a matrix product of the pixels from `first` needs.
pub(super) fn pixels(input: usize, [inputs, outputs]: [usize; 2], first: usize, out: usize) {
    assert!(out.is_multiple_of(outputs), "the output is no whole pixels");
    let needed = first.saturating_add(out / outputs).saturating_mul(inputs);
    assert!(
        input >= needed,
        "the input is shorter than the output needs"
    );
}

/// Panics unless the operands are as long as a fully connected layer's panels from `first` need.
pub(super) fn panels(input: usize, [inputs, outputs]: [usize; 2], first: usize, out: usize) {
    assert!(
        input >= inputs,
        "the input is shorter than the output needs"
    );
    let last = first.saturating_mul(PANEL).saturating_add(out);
    assert!(
        out == 0 || last == outputs || (last < outputs && last.is_multiple_of(PANEL)),
        "the output does not end at a panel or at the last channel"
    );
}

/// Panics unless the operands are as long as the elements from `first` need.
pub(super) fn elements([left, right]: [usize; 2], first: usize, out: usize) {
    assert!(
        first.saturating_add(out) <= left,
        "the first operand is shorter than the output"
    );
    assert!(
        right > 0 && left.is_multiple_of(right),
        "the second operand does not repeat over the first"
    );
}

/// Panics unless the operands are as long as a mean over all pixels, of the channels from `first`, needs.
pub(super) fn means(input: usize, shape: Shape, first: usize, out: usize) {
    whole_input(input, shape);
    assert!(
        first.saturating_add(out) <= shape.channels,
        "the output is no channels of the layer's"
    );
}

/// Panics unless a layer has the weights that it needs.
pub(super) fn weights(found: usize, needed: usize) {
    assert!(found >= needed, "weights are missing");
}

/// Panics unless a layer's table has an entry for each output channel.
pub(super) fn table(found: usize, needed: usize) {
    assert!(found >= needed, "entries of the table are missing");
}

/// Panics unless a layer has the scratch memory that it needs.
pub(super) fn scratch(found: usize, needed: usize) {
    assert!(found >= needed, "scratch memory is missing");
}
