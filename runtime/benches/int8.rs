//! Time of single int8 layers: `cargo bench -p graft-benches --bench int8 [-- FILTER]`.
//!
//! The layers of `kernels`, with the best kernels that this machine can run. Throughput counts multiply-accumulate
//! operations.

mod layers;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use graft_patches::layout::{quad_weights_len, weights_len};
use graft_runtime::kernels::PANEL;
use graft_runtime::kernels::int8::{
    Conv, Elementwise, Epilogue, Kernels, Operand, Pointwise, Pool, Quantized, RequantizePanel,
    Scratch, available,
};
use layers::{Aligned, DEPTHWISE, LINEAR, POINTWISE, STEM, Shapes};

/// Pixels on a side and channels.
const ELEMENTWISE: &[[usize; 2]] = &[[56, 24], [28, 40], [14, 112], [7, 192]];
const GLOBAL_POOL: &[[usize; 2]] = &[[7, 1280], [28, 72]];

fn pointwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("int8 pointwise");
    for &[side, inputs, outputs] in POINTWISE {
        let pixels = side * side;
        let weights = quad_weights_len(outputs, inputs);
        let layer = Layer::new(pixels * inputs, weights, outputs, pixels * outputs);
        let name = format!("{side}x{side}x{inputs}-{outputs}");
        let macs = pixels * inputs * outputs;
        let mut scratch = vec![0; Scratch::HERE.dense(inputs)];
        layer.measure(&mut group, &name, macs, |kernels, layer, out| {
            (kernels.pointwise)(&layer.pointwise(inputs, outputs), 0, out, &mut scratch);
        });
    }
}

fn linear(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("int8 linear");
    let [inputs, outputs] = LINEAR;
    let layer = Layer::new(inputs, quad_weights_len(outputs, inputs), outputs, outputs);
    let name = format!("{inputs}-{outputs}");
    let mut scratch = vec![0; Scratch::HERE.linear(inputs)];
    layer.measure(
        &mut group,
        &name,
        inputs * outputs,
        |kernels, layer, out| {
            (kernels.linear)(&layer.pointwise(inputs, outputs), 0, out, &mut scratch);
        },
    );
}

fn depthwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("int8 depthwise");
    for &[side, channels, kernel, stride] in DEPTHWISE {
        let shapes = Shapes::new(side, channels, channels, kernel, stride);
        let terms = kernel * kernel;
        let weights = weights_len(channels, terms);
        let layer = Layer::new(shapes.input.len(), weights, channels, shapes.output.len());
        let name = format!("{side}x{side}x{channels}-k{kernel}s{stride}");
        let macs = shapes.output.len() * terms;
        layer.measure(&mut group, &name, macs, |kernels, layer, out| {
            (kernels.depthwise)(&layer.conv(&shapes), 0, out);
        });
    }
}

fn conv(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("int8 conv");
    let [side, inputs, outputs] = STEM;
    let shapes = Shapes::new(side, inputs, outputs, 3, 2);
    let terms = 9 * inputs;
    let weights = quad_weights_len(outputs, terms);
    let layer = Layer::new(shapes.input.len(), weights, outputs, shapes.output.len());
    let name = format!("{side}x{side}x{inputs}-{outputs}-k3s2");
    let mut scratch = vec![0; Scratch::HERE.dense(terms)];
    let macs = shapes.output.len() * terms;
    layer.measure(&mut group, &name, macs, |kernels, layer, out| {
        (kernels.conv)(&layer.conv(&shapes), 0, out, &mut scratch);
    });
}

/// Layers without weights: throughput counts values of the input.
fn unweighted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("int8 unweighted");
    let kernels = best();
    for &[side, channels] in ELEMENTWISE {
        let length = side * side * channels;
        let mut out = Aligned::new(length, 0);
        let [left, right] = [3, -5].map(|value| Aligned::new(length, value));
        for (name, kernel, right) in [
            ("add", kernels.add, right.get()),
            ("scale", kernels.multiply, &right.get()[..channels]),
        ] {
            let call = elementwise(left.get(), right);
            let name = format!("{name} {side}x{side}x{channels}");
            layers::measure(&mut group, &name, length, || {
                kernel(black_box(&call), 0, black_box(out.get_mut()));
            });
        }
        let table = [7; 256];
        let name = format!("lookup {side}x{side}x{channels}");
        layers::measure(&mut group, &name, length, || {
            (kernels.lookup)(black_box(&table), black_box(out.get_mut()));
        });
    }
    for &[side, channels] in GLOBAL_POOL {
        let shapes = Shapes::new(side, channels, channels, 3, 1);
        let input = Aligned::new(shapes.input.len(), 3);
        let mut out = Aligned::new(shapes.output.len(), 0);
        let call = pool(input.get(), &shapes);
        let name = format!("global {side}x{side}x{channels}");
        layers::measure(&mut group, &name, input.get().len(), || {
            (kernels.global_average_pool)(black_box(&call), 0, &mut out.get_mut()[..channels]);
        });
        for (name, kernel) in [("average", kernels.average_pool), ("max", kernels.max_pool)] {
            let name = format!("{name} {side}x{side}x{channels}-k3");
            layers::measure(&mut group, &name, input.get().len(), || {
                kernel(black_box(&call), 0, black_box(out.get_mut()));
            });
        }
    }
}

fn elementwise<'a>(left: &'a [i8], right: &'a [i8]) -> Elementwise<'a> {
    let [left, right] = [left, right].map(|values| Operand {
        values,
        zero_point: 3,
        multiplier: 0.7,
    });
    Elementwise {
        left,
        right,
        output: OUTPUT,
    }
}

fn pool<'a>(input: &'a [i8], shapes: &Shapes) -> Pool<'a> {
    Pool {
        input,
        input_shape: shapes.input,
        output_shape: shapes.output,
        window: shapes.window,
        count_padding: false,
        zero_point: -128,
        multiplier: 0.9,
        output: OUTPUT,
    }
}

/// The output of all layers.
const OUTPUT: Quantized = Quantized {
    zero_point: -128,
    min: -128,
    max: 127,
};

fn best() -> &'static Kernels {
    available().next().expect("the reference runs anywhere")
}

/// The operands of a layer.
struct Layer {
    input: Aligned<i8>,
    weights: Aligned<i8>,
    table: Vec<RequantizePanel>,
    outputs: usize,
}

impl Layer {
    fn new(inputs: usize, weights: usize, channels: usize, outputs: usize) -> Self {
        let panel = RequantizePanel {
            multiplier: [1e-4; PANEL],
            bias: [10; PANEL],
        };
        Self {
            input: Aligned::new(inputs, 3),
            weights: Aligned::new(weights, -2),
            table: vec![panel; channels.div_ceil(PANEL)],
            outputs,
        }
    }

    fn epilogue(&self) -> Epilogue<'_> {
        Epilogue {
            table: &self.table,
            output: OUTPUT,
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
            padding: -128,
            weights: self.weights.get(),
            epilogue: self.epilogue(),
        }
    }

    fn measure(
        &self,
        group: &mut BenchmarkGroup<WallTime>,
        name: &str,
        macs: usize,
        mut run: impl FnMut(&Kernels, &Self, &mut [i8]),
    ) {
        let kernels = best();
        let mut out = Aligned::new(self.outputs, 0);
        layers::measure(group, name, macs, || {
            run(kernels, black_box(self), black_box(out.get_mut()));
        });
    }
}

criterion_group! {
    name = int8;
    config = layers::config();
    targets = conv, pointwise, depthwise, linear, unweighted
}
criterion_main!(int8);
