//! Each check of lengths takes what fits and refuses what does not.

use std::panic::catch_unwind;

use graft_patches::geometry::Padding;

use crate::kernels::{Shape, Window, check};

const INPUT: Shape = Shape::new(6, 5, 3);
const OUTPUT: Shape = Shape::new(3, 3, 4);
const WINDOW: Window = Window {
    kernel: [3, 3],
    stride: [2, 2],
    padding: Padding::Same,
};
const ROW: usize = 3 * 4;

fn takes(call: fn()) {
    assert!(catch_unwind(call).is_ok());
}

fn refuses(call: fn(), message: &str) {
    let panic = catch_unwind(call).expect_err("it is refused");
    assert_eq!(panic.downcast_ref(), Some(&message));
}

const OTHER_INPUT: &str = "the input is longer or shorter than its shape";
const SHORT_INPUT: &str = "the input is shorter than the output needs";
const OTHER_CHANNELS: &str = "the output has other channels than the input";
const NO_ROWS: &str = "the output is no rows of the layer's";
const NO_PANELS: &str = "the output does not end at a panel or at the last channel";
const SHORT_OPERAND: &str = "the first operand is shorter than the output";
const NO_REPEAT: &str = "the second operand does not repeat over the first";
const NO_CHANNELS: &str = "the output is no channels of the layer's";
const NO_WEIGHTS: &str = "weights are missing";

#[test]
fn rows() {
    const SHAPES: [Shape; 2] = [INPUT, OUTPUT];
    const POINT: Window = Window::POINT;
    takes(|| check::rows(90, SHAPES, &WINDOW, 0, 3 * ROW));
    takes(|| check::rows(90, SHAPES, &WINDOW, 2, ROW));
    refuses(|| check::rows(89, SHAPES, &WINDOW, 0, ROW), OTHER_INPUT);
    refuses(|| check::rows(91, SHAPES, &WINDOW, 0, ROW), OTHER_INPUT);
    refuses(|| check::rows(90, SHAPES, &WINDOW, 0, ROW - 1), NO_ROWS);
    refuses(|| check::rows(90, SHAPES, &WINDOW, 3, ROW), NO_ROWS);
    refuses(
        || check::rows(90, SHAPES, &WINDOW, usize::MAX, ROW),
        NO_ROWS,
    );
    refuses(
        || check::rows(90, SHAPES, &POINT, 0, ROW),
        "the window gives another shape",
    );
}

#[test]
fn depthwise() {
    const SAME: [Shape; 2] = [INPUT, Shape::new(3, 3, 3)];
    takes(|| check::depthwise(SAME, &WINDOW, 9 * 16));
    refuses(|| check::depthwise(SAME, &WINDOW, 9 * 16 - 1), NO_WEIGHTS);
    refuses(
        || check::depthwise([INPUT, OUTPUT], &WINDOW, 9 * 16),
        OTHER_CHANNELS,
    );
}

#[test]
fn channels_kept() {
    takes(|| check::channels_kept([OUTPUT; 2]));
    refuses(|| check::channels_kept([INPUT, OUTPUT]), OTHER_CHANNELS);
}

#[test]
fn pixels() {
    takes(|| check::pixels(4 * 5, [5, 7], 1, 3 * 7));
    refuses(|| check::pixels(4 * 5 - 1, [5, 7], 1, 3 * 7), SHORT_INPUT);
    refuses(|| check::pixels(4 * 5, [5, 7], 2, 3 * 7), SHORT_INPUT);
    refuses(
        || check::pixels(4 * 5, [5, 7], 1, 3 * 7 - 1),
        "the output is no whole pixels",
    );
    refuses(|| check::pixels(4 * 5, [5, 7], usize::MAX, 7), SHORT_INPUT);
}

#[test]
fn panels() {
    takes(|| check::panels(5, [5, 40], 0, 32));
    takes(|| check::panels(5, [5, 40], 2, 8));
    refuses(|| check::panels(4, [5, 40], 0, 40), SHORT_INPUT);
    refuses(|| check::panels(5, [5, 40], 0, 31), NO_PANELS);
    refuses(|| check::panels(5, [5, 40], 2, 9), NO_PANELS);
    refuses(|| check::panels(5, [5, 40], 3, 8), NO_PANELS);
    refuses(|| check::panels(5, [5, 40], usize::MAX, 8), NO_PANELS);
}

#[test]
fn elements() {
    takes(|| check::elements([12, 12], 4, 8));
    takes(|| check::elements([12, 3], 0, 12));
    refuses(|| check::elements([12, 12], 5, 8), SHORT_OPERAND);
    refuses(|| check::elements([12, 12], usize::MAX, 1), SHORT_OPERAND);
    refuses(|| check::elements([12, 5], 0, 12), NO_REPEAT);
    refuses(|| check::elements([12, 0], 0, 12), NO_REPEAT);
}

#[test]
fn means() {
    takes(|| check::means(90, INPUT, 1, 2));
    refuses(|| check::means(89, INPUT, 0, 3), OTHER_INPUT);
    refuses(|| check::means(90, INPUT, 2, 2), NO_CHANNELS);
    refuses(|| check::means(90, INPUT, usize::MAX, 1), NO_CHANNELS);
}

#[test]
fn weights_table_and_scratch() {
    takes(|| check::weights(8, 8));
    takes(|| check::table(9, 8));
    takes(|| check::scratch(8, 8));
    refuses(|| check::weights(7, 8), NO_WEIGHTS);
    refuses(|| check::table(7, 8), "entries of the table are missing");
    refuses(|| check::scratch(7, 8), "scratch memory is missing");
}
