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

/// The message is asked for, with the number found where there is one.
fn refuses(call: fn(), message: &str) {
    let panic = catch_unwind(call).expect_err("it is refused");
    // A message without numbers is no `String`.
    let text = panic.downcast_ref::<&str>().copied();
    let found = text.or_else(|| panic.downcast_ref().map(String::as_str));
    let found = found.expect("it has a message");
    assert!(found.contains(message), "{found}");
}

#[test]
fn rows() {
    const SHAPES: [Shape; 2] = [INPUT, OUTPUT];
    const POINT: Window = Window::POINT;
    takes(|| check::rows(90, SHAPES, &WINDOW, 0, 3 * ROW));
    takes(|| check::rows(90, SHAPES, &WINDOW, 2, ROW));
    refuses(|| check::rows(89, SHAPES, &WINDOW, 0, ROW), "input: 89");
    refuses(|| check::rows(91, SHAPES, &WINDOW, 0, ROW), "input: 91");
    refuses(
        || check::rows(90, SHAPES, &WINDOW, 0, ROW - 1),
        "output: 11",
    );
    refuses(|| check::rows(90, SHAPES, &WINDOW, 3, ROW), "from row 3");
    refuses(
        || check::rows(90, SHAPES, &WINDOW, usize::MAX, ROW),
        "from row",
    );
    refuses(|| check::rows(90, SHAPES, &POINT, 0, ROW), "another shape");
}

#[test]
fn depthwise() {
    const SAME: [Shape; 2] = [INPUT, Shape::new(3, 3, 3)];
    takes(|| check::depthwise(SAME, &WINDOW, 9 * 16));
    refuses(
        || check::depthwise(SAME, &WINDOW, 9 * 16 - 1),
        "weights: 143",
    );
    refuses(
        || check::depthwise([INPUT, OUTPUT], &WINDOW, 9 * 16),
        "channels",
    );
}

#[test]
fn channels_kept() {
    takes(|| check::channels_kept([OUTPUT; 2]));
    refuses(|| check::channels_kept([INPUT, OUTPUT]), "channels");
}

#[test]
fn pixels() {
    takes(|| check::pixels(4 * 5, [5, 7], 1, 3 * 7));
    refuses(|| check::pixels(4 * 5 - 1, [5, 7], 1, 3 * 7), "input: 19");
    refuses(|| check::pixels(4 * 5, [5, 7], 2, 3 * 7), "input: 20");
    refuses(|| check::pixels(4 * 5, [5, 7], 1, 3 * 7 - 1), "output: 20");
    refuses(|| check::pixels(4 * 5, [5, 7], usize::MAX, 7), "input: 20");
}

#[test]
fn panels() {
    takes(|| check::panels(5, [5, 40], 0, 32));
    takes(|| check::panels(5, [5, 40], 2, 8));
    refuses(|| check::panels(4, [5, 40], 0, 40), "input: 4");
    refuses(|| check::panels(5, [5, 40], 0, 31), "output: 31");
    refuses(|| check::panels(5, [5, 40], 2, 9), "output: 9");
    refuses(|| check::panels(5, [5, 40], 3, 8), "from panel 3");
    refuses(|| check::panels(5, [5, 40], usize::MAX, 8), "from panel");
}

#[test]
fn elements() {
    takes(|| check::elements([12, 12], 4, 8));
    takes(|| check::elements([12, 3], 0, 12));
    refuses(
        || check::elements([12, 12], 5, 8),
        "output: 8 values from 5",
    );
    refuses(|| check::elements([12, 12], usize::MAX, 1), "output: 1");
    refuses(|| check::elements([12, 5], 0, 12), "5 values");
    refuses(|| check::elements([12, 0], 0, 12), "0 values");
}

#[test]
fn means() {
    takes(|| check::means(90, INPUT, 1, 2));
    refuses(|| check::means(89, INPUT, 0, 3), "input: 89");
    refuses(|| check::means(90, INPUT, 2, 2), "2 channels from 2");
    refuses(|| check::means(90, INPUT, usize::MAX, 1), "1 channels");
}

#[test]
fn weights_table_and_scratch() {
    takes(|| check::weights(8, 8));
    takes(|| check::table(9, 8));
    takes(|| check::scratch(8, 8));
    refuses(|| check::weights(7, 8), "weights: 7, the layer needs 8");
    refuses(|| check::table(7, 8), "table: 7, the layer needs 8");
    refuses(
        || check::scratch(7, 8),
        "scratch memory: 7, the layer needs 8",
    );
}
