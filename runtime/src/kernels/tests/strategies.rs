//! Random layers.

use proptest::prelude::*;

use super::Part;
use crate::kernels::{Activation, Shape, Window};
use graft_patches::geometry::Padding;

pub(in crate::kernels) fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..=40usize, 1 => 65..=100usize]
}

pub(in crate::kernels) fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::NONE),
        Just(Activation::RELU),
        Just(Activation::RELU6),
        Just(Activation::Clamp {
            min: -0.5,
            max: 0.25
        }),
        Just(Activation::HardSwish),
        Just(Activation::HardSigmoid {
            alpha: 1.0 / 6.0,
            beta: 0.5
        }),
    ]
}

pub(in crate::kernels) fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part(0.0, 1.0)),
        (0.0..=1.0, 0.0..=1.0).prop_map(|(a, b)| Part(a, b)),
    ]
}

/// Input shape, window and output shape of a layer that keeps its channels.
pub(in crate::kernels) fn sliding() -> impl Strategy<Value = (Shape, Window, Shape)> {
    let fits = |(height, width, channels, window): (_, _, _, Window)| {
        let input = Shape::new(height, width, channels);
        let [height, width] = window.output(input)?;
        Some((input, window, Shape::new(height, width, channels)))
    };
    (1..=12usize, 1..=20usize, channels(), window())
        .prop_filter_map("the window is larger than the input", fits)
}

fn window() -> impl Strategy<Value = Window> {
    let size = || prop::sample::select(vec![1, 2, 3, 5, 7usize]);
    let kernel = prop_oneof![
        3 => size().prop_map(|size| [size, size]),
        1 => [size(), size()],
    ];
    let stride = prop_oneof![
        4 => (1..=2usize).prop_map(|stride| [stride, stride]),
        1 => [1..=3usize, 1..=3usize],
    ];
    (kernel, stride).prop_flat_map(|(kernel, stride)| {
        padding(kernel).prop_map(move |padding| Window {
            kernel,
            stride,
            padding,
        })
    })
}

/// Less padding on each side than the kernel is large.
fn padding([height, width]: [usize; 2]) -> impl Strategy<Value = Padding> {
    let even = Padding::Explicit {
        top: height / 2,
        left: width / 2,
        bottom: height / 2,
        right: width / 2,
    };
    let uneven =
        (0..height, 0..width, 0..height, 0..width).prop_map(|(top, left, bottom, right)| {
            Padding::Explicit {
                top,
                left,
                bottom,
                right,
            }
        });
    prop_oneof![
        Just(Padding::Same),
        Just(Padding::VALID),
        Just(even),
        uneven
    ]
}
