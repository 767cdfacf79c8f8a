//! MobileNetV2 as in torchvision and timm. Widths are read from the weights, so every width multiplier works.

use graft_patches::geometry::{Padding, Window};

use super::residual::{Design, Stage};

/// Expansion, blocks and stride of the first block, from table 2 of the MobileNetV2 paper.
const STAGES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (6, 2, 2),
    (6, 3, 2),
    (6, 4, 2),
    (6, 3, 1),
    (6, 3, 2),
    (6, 1, 1),
];

pub(super) fn design() -> Design {
    let stage = |(expansion, repeats, stride)| Stage {
        repeats,
        kernel: 3,
        stride,
        expansion,
        outputs: None,
    };
    Design {
        stem: None,
        stages: STAGES.map(stage).into(),
        head: None,
        epsilon: 1e-5,
        window: around,
    }
}

/// Half a kernel of padding all around.
fn around(kernel: usize, stride: usize) -> Window {
    let half = kernel / 2;
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Explicit {
            top: half,
            left: half,
            bottom: half,
            right: half,
        },
    }
}
