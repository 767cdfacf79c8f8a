//! EfficientNet-Lite: EfficientNet without squeeze-excite, with ReLU6, TensorFlow's SAME padding, and a stem and head
//! that don't scale.

use graft_patches::geometry::{Padding, Window};

use super::residual::{Design, Stage};

/// Blocks, kernel, stride, expansion and width of each stage of Lite0.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

pub(super) fn design(width: f64, depth: f64) -> Design {
    let stages = STAGES.into_iter().enumerate();
    let stages = stages.map(|(i, (blocks, kernel, stride, expansion, outputs))| {
        // The first and last stage belong to the stem and head: they don't get deeper.
        let is_fixed = i == 0 || i + 1 == STAGES.len();
        Stage {
            repeats: if is_fixed {
                blocks
            } else {
                (blocks as f64 * depth).ceil() as usize
            },
            kernel,
            stride,
            expansion,
            outputs: Some(scaled(outputs, width)),
        }
    });
    Design {
        stem: Some(32),
        stages: stages.collect(),
        head: Some(1280),
        epsilon: 1e-3,
        window: same,
    }
}

fn same(kernel: usize, stride: usize) -> Window {
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Same,
    }
}

/// Channels times the width, rounded to a multiple of 8 but not down by more than a tenth.
fn scaled(channels: usize, width: f64) -> usize {
    let wanted = channels as f64 * width;
    let rounded = (((wanted + 4.0) / 8.0) as usize * 8).max(8);
    if (rounded as f64) < 0.9 * wanted {
        rounded + 8
    } else {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_round_as_in_tensorflow() {
        let lite2 = STAGES.map(|stage| scaled(stage.4, 1.1));
        assert_eq!(lite2, [16, 24, 48, 88, 120, 208, 352]);
        assert_eq!(STAGES.map(|stage| scaled(stage.4, 1.0))[1], 24);
    }
}
