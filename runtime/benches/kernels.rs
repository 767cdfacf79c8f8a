//! Time of single layers: `cargo bench -p graft-benches --bench kernels [-- FILTER]`.
//!
//! Layers of EfficientNet-Lite0 and MobileNetV2 at 224 pixels, with the kernels that `select` chooses (set
//! `GRAFT_KERNELS` for others). Throughput counts multiply-accumulate operations.

mod layers;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use graft_runtime::kernels::f32::{Conv, Epilogue, Kernels, Pointwise, select};
use graft_runtime::kernels::{Activation, PANEL};
use layers::{Aligned, DEPTHWISE, LINEAR, POINTWISE, STEM, Shapes};

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
            (kernels.conv)(&layer.conv(&shapes), 0, out);
        },
    );
}

/// The operands of a layer.
struct Layer {
    input: Aligned<f32>,
    weights: Aligned<f32>,
    table: Aligned<f32>,
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
        layers::measure(group, name, macs, || {
            run(kernels, black_box(self), black_box(out.get_mut()));
        });
    }
}

criterion_group! {
    name = kernels;
    config = layers::config();
    targets = conv, pointwise, depthwise, linear
}
criterion_main!(kernels);
