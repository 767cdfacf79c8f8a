//! Time of single layers: `cargo bench -p graft-runtime --bench kernels [-- FILTER]`.
//!
//! Layers of EfficientNet-Lite0 and MobileNetV2 at 224 pixels, with the kernels that `select` chooses (set
//! `GRAFT_KERNELS` for others). Throughput counts multiply-accumulate operations.

use std::hint::black_box;
use std::ops::Range;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use graft_patches::geometry::Padding;
use graft_runtime::kernels::{
    Activation, Conv, Epilogue, Kernels, PANEL, Pointwise, Shape, Window, conv_scratch_len, select,
};

/// Pixels on a side, input channels, output channels.
const POINTWISE: &[[usize; 3]] = &[
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
const DEPTHWISE: &[[usize; 4]] = &[
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
const LINEAR: [usize; 2] = [1280, 1000];

/// Pixels on a side, input channels, output channels of the first layer.
const STEM: [usize; 3] = [224, 3, 32];

fn pointwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pointwise");
    for &[side, inputs, outputs] in POINTWISE {
        let layer = Layer::new(side * side * inputs, inputs, outputs, side * side * outputs);
        let name = format!("{side}x{side}x{inputs}-{outputs}");
        layer.measure(
            &mut group,
            &name,
            side * side * inputs * outputs,
            |kernels, layer, out| {
                (kernels.pointwise)(&layer.pointwise(inputs, outputs), 0, out);
            },
        );
    }
}

fn linear(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("linear");
    let [inputs, outputs] = LINEAR;
    let layer = Layer::new(inputs, inputs, outputs, outputs);
    let name = format!("{inputs}-{outputs}");
    layer.measure(
        &mut group,
        &name,
        inputs * outputs,
        |kernels, layer, out| {
            (kernels.linear)(&layer.pointwise(inputs, outputs), 0, out);
        },
    );
}

fn depthwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("depthwise");
    for &[side, channels, kernel, stride] in DEPTHWISE {
        let shapes = Shapes::new(side, channels, channels, kernel, stride);
        let terms = kernel * kernel;
        let layer = Layer::new(shapes.input.len(), terms, channels, shapes.output.len());
        let name = format!("{side}x{side}x{channels}-k{kernel}s{stride}");
        layer.measure(
            &mut group,
            &name,
            shapes.output.len() * terms,
            |kernels, layer, out| {
                (kernels.depthwise)(&layer.conv(&shapes), 0, out);
            },
        );
    }
}

fn conv(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("conv");
    let [side, inputs, outputs] = STEM;
    let shapes = Shapes::new(side, inputs, outputs, 3, 2);
    let terms = 9 * inputs;
    let layer = Layer::new(shapes.input.len(), terms, outputs, shapes.output.len());
    let name = format!("{side}x{side}x{inputs}-{outputs}-k3s2");
    layer.measure(
        &mut group,
        &name,
        shapes.output.len() * terms,
        |kernels, layer, out| {
            let mut scratch = vec![0.0; conv_scratch_len(&shapes.window, inputs)];
            (kernels.conv)(&layer.conv(&shapes), 0, out, &mut scratch);
        },
    );
}

/// Geometry of a convolution with TensorFlow's padding.
struct Shapes {
    input: Shape,
    output: Shape,
    window: Window,
}

impl Shapes {
    fn new(side: usize, inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Self {
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
struct Aligned {
    memory: Vec<f32>,
    values: Range<usize>,
}

impl Aligned {
    fn new(length: usize, value: f32) -> Self {
        let line = 64;
        let memory = vec![value; length + line / size_of::<f32>()];
        let start = memory.as_ptr().align_offset(line);
        Self {
            memory,
            values: start..start + length,
        }
    }

    fn get(&self) -> &[f32] {
        &self.memory[self.values.clone()]
    }

    fn get_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.values.clone()]
    }
}

/// The operands of a layer.
struct Layer {
    input: Aligned,
    weights: Aligned,
    table: Aligned,
    outputs: usize,
}

impl Layer {
    /// A layer with `terms` weights for each of `channels` output channels.
    fn new(inputs: usize, terms: usize, channels: usize, outputs: usize) -> Self {
        let padded = channels.next_multiple_of(PANEL);
        Self {
            input: Aligned::new(inputs, 0.5),
            weights: Aligned::new(padded * terms, 0.25),
            table: Aligned::new(padded * 2, 0.125),
            outputs,
        }
    }

    fn epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            table: self.table.get(),
            activation: Activation::RELU6,
        }
    }

    fn pointwise(&self, inputs: usize, outputs: usize) -> Pointwise<'_> {
        Pointwise {
            input: self.input.get(),
            inputs,
            outputs,
            weights: self.weights.get(),
            epilogue: self.epilogue(),
        }
    }

    fn conv(&self, shapes: &Shapes) -> Conv<'_> {
        Conv {
            input: self.input.get(),
            input_shape: shapes.input,
            output_shape: shapes.output,
            window: shapes.window,
            weights: self.weights.get(),
            epilogue: self.epilogue(),
        }
    }

    fn measure(
        &self,
        group: &mut BenchmarkGroup<WallTime>,
        name: &str,
        macs: usize,
        run: impl Fn(&Kernels, &Self, &mut [f32]),
    ) {
        let kernels = select().expect("GRAFT_KERNELS names available kernels");
        let mut out = Aligned::new(self.outputs, 0.0);
        group.throughput(Throughput::Elements(macs as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| run(kernels, black_box(self), black_box(out.get_mut())));
        });
    }
}

criterion_group! {
    name = layers;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(600));
    targets = conv, pointwise, depthwise, linear
}
criterion_main!(layers);
