//! The layers that are timed: those of EfficientNet-Lite0 and MobileNetV2 at 224 pixels.

use std::ops::Range;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use graft_patches::geometry::Padding;
use graft_runtime::kernels::{Shape, Window};

/// Pixels on a side, input channels, output channels.
pub(crate) const POINTWISE: &[[usize; 3]] = &[
    [112, 32, 16],
    [112, 16, 96],
    [56, 96, 24],
    [56, 24, 144],
    [56, 144, 24],
    [28, 144, 40],
    [28, 40, 240],
    [28, 240, 40],
    [28, 144, 32],
    [28, 32, 192],
    [28, 192, 32],
    [14, 240, 80],
    [14, 80, 480],
    [14, 480, 80],
    [14, 480, 112],
    [14, 112, 672],
    [14, 672, 112],
    [14, 192, 64],
    [14, 64, 384],
    [14, 384, 64],
    [14, 384, 96],
    [14, 96, 576],
    [14, 576, 96],
    [7, 672, 192],
    [7, 192, 1152],
    [7, 1152, 192],
    [7, 1152, 320],
    [7, 320, 1280],
    [7, 576, 160],
    [7, 160, 960],
    [7, 960, 160],
    [7, 960, 320],
];

/// Input pixels on a side, channels, kernel, stride.
pub(crate) const DEPTHWISE: &[[usize; 4]] = &[
    [112, 32, 3, 1],
    [112, 96, 3, 2],
    [56, 144, 3, 1],
    [56, 144, 5, 2],
    [56, 144, 3, 2],
    [28, 240, 5, 1],
    [28, 240, 3, 2],
    [28, 192, 3, 1],
    [28, 192, 3, 2],
    [14, 480, 3, 1],
    [14, 480, 5, 1],
    [14, 672, 5, 1],
    [14, 672, 5, 2],
    [14, 384, 3, 1],
    [14, 576, 3, 1],
    [14, 576, 3, 2],
    [7, 1152, 5, 1],
    [7, 1152, 3, 1],
    [7, 960, 3, 1],
];

/// Inputs and outputs of the last layer.
pub(crate) const LINEAR: [usize; 2] = [1280, 1000];

/// Pixels on a side, input channels, output channels of the first layer.
pub(crate) const STEM: [usize; 3] = [224, 3, 32];

/// Geometry of a convolution with TensorFlow's padding.
pub(crate) struct Shapes {
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    pub(crate) window: Window,
}

impl Shapes {
    pub(crate) fn new(
        side: usize,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
    ) -> Self {
        let window = Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: Padding::Same,
        };
        let input = Shape::new(side, side, inputs);
        let [height, width] = window.output(input).expect("the window fits");
        Self {
            input,
            output: Shape::new(height, width, outputs),
            window,
        }
    }
}

/// Memory that starts at a cache line, as in the engine's arena.
pub(crate) struct Aligned<T> {
    memory: Vec<T>,
    values: Range<usize>,
}

impl<T: Copy> Aligned<T> {
    pub(crate) fn new(length: usize, value: T) -> Self {
        let line = 64;
        let memory = vec![value; length + line / size_of::<T>()];
        let start = memory.as_ptr().align_offset(line);
        Self {
            memory,
            values: start..start + length,
        }
    }

    pub(crate) fn get(&self) -> &[T] {
        &self.memory[self.values.clone()]
    }

    pub(crate) fn get_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.values.clone()]
    }
}

/// Times a layer of `macs` multiply-accumulate operations.
pub(crate) fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    macs: usize,
    mut run: impl FnMut(),
) {
    group.throughput(Throughput::Elements(macs as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut run));
}

/// Short enough for all layers in a few minutes.
pub(crate) fn config() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
}
