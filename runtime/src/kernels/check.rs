//! The lengths that kernels rely on, for both dtypes.
//!
//! Each function panics where they do not hold, which is a programming error of the engine: plans are verified at load.

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
        "output: {out} values from row {first}, the layer has {} rows of {row}",
        output_shape.height
    );
    // Not `assert_eq`, which takes a microcontroller's flash to print what differs.
    assert!(
        window.output(input_shape) == Some([output_shape.height, output_shape.width]),
        "the window gives another shape"
    );
}

fn whole_input(found: usize, shape: Shape) {
    let needed = shape.len();
    assert!(
        found == needed,
        "input: {found} values, the layer needs {needed}"
    );
}

/// Panics unless input and output have the same channels.
pub(super) fn channels_kept([input, output]: [Shape; 2]) {
    assert!(
        input.channels == output.channels,
        "channels: {} of the input, {} of the output",
        input.channels,
        output.channels
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
    assert!(
        out.is_multiple_of(outputs),
        "output: {out} values, a pixel has {outputs}"
    );
    let needed = first.saturating_add(out / outputs).saturating_mul(inputs);
    assert!(
        input >= needed,
        "input: {input} values, the pixels need {needed}"
    );
}

/// Panics unless the operands are as long as a fully connected layer's panels from `first` need.
pub(super) fn panels(input: usize, [inputs, outputs]: [usize; 2], first: usize, out: usize) {
    assert!(
        input >= inputs,
        "input: {input} values, a pixel has {inputs}"
    );
    let last = first.saturating_mul(PANEL).saturating_add(out);
    assert!(
        out == 0 || last == outputs || (last < outputs && last.is_multiple_of(PANEL)),
        "output: {out} values from panel {first} do not end at a panel or at channel {outputs}"
    );
}

/// Panics unless the operands are as long as the elements from `first` need.
pub(super) fn elements([left, right]: [usize; 2], first: usize, out: usize) {
    assert!(
        first.saturating_add(out) <= left,
        "output: {out} values from {first}, the first operand has {left}"
    );
    assert!(
        right > 0 && left.is_multiple_of(right),
        "second operand of {right} values does not repeat over {left}"
    );
}

/// Panics unless the operands are as long as a mean over all pixels, of the channels from `first`, needs.
pub(super) fn means(input: usize, shape: Shape, first: usize, out: usize) {
    whole_input(input, shape);
    assert!(
        first.saturating_add(out) <= shape.channels,
        "output: {out} channels from {first}, the layer has {}",
        shape.channels
    );
}

/// Panics unless a layer has the weights that it needs.
pub(super) fn weights(found: usize, needed: usize) {
    assert!(
        found >= needed,
        "weights: {found}, the layer needs {needed}"
    );
}

/// Panics unless a layer's table has an entry for each output channel.
pub(super) fn table(found: usize, needed: usize) {
    assert!(found >= needed, "table: {found}, the layer needs {needed}");
}

/// Panics unless a layer has the scratch memory that it needs.
pub(super) fn scratch(found: usize, needed: usize) {
    assert!(
        found >= needed,
        "scratch memory: {found}, the layer needs {needed}"
    );
}
