//! Convolutions and the fully connected layer.

use graft_patches::geometry::Padding;
use graft_patches::layout::{PANEL, quad_index, quad_weights_len, weights_len};
use proptest::prelude::*;

use super::{UNSIGNED, bytes, compare, output};
use crate::kernels::int8::{
    Conv, Epilogue, Pointwise, Quantized, RequantizePanel, Scratch, Shape, Window, available,
};
use crate::kernels::tests::Part;
use crate::kernels::tests::strategies::{channels, part, sliding};

/// Packed dense weights: random ones, zeros in what is padded.
fn dense(outputs: usize, inputs: usize, seed: u32) -> Box<[i8]> {
    let mut packed = vec![0; quad_weights_len(outputs, inputs)].into_boxed_slice();
    let weights = bytes(outputs * inputs, seed ^ 1, -127);
    for (i, weight) in weights.iter().enumerate() {
        packed[quad_index(i / inputs, i % inputs, inputs)] = *weight;
    }
    packed
}

/// Of every four layers, one has biases up to 2^30 and one has them at the edges of an i32, where sums wrap.
fn bias(random: i32, seed: u32) -> i32 {
    match seed % 4 {
        0 => random << 23,
        1 => i32::MAX.wrapping_add(random),
        _ => random * 100,
    }
}

/// Multipliers of both signs and biases that bring sums of `terms` products about into range, and some that saturate.
fn table(channels: usize, terms: usize, seed: u32) -> Vec<RequantizePanel> {
    let random = bytes(channels.div_ceil(PANEL) * PANEL * 2, seed ^ 3, -128);
    let mut pairs = random.chunks_exact(2);
    let scale = 0.02 / (terms as f32).sqrt();
    (0..channels.div_ceil(PANEL))
        .map(|_| {
            let mut panel = RequantizePanel::default();
            for i in 0..PANEL {
                if let Some(&[a, b]) = pairs.next() {
                    panel.multiplier[i] = match a {
                        // Products beyond all integers, infinite ones and zeros.
                        127 => [1e9, f32::MAX, f32::MIN][i % 3],
                        -128 => 0.0,
                        _ => scale * (f32::from(a) + 0.5) / 64.0,
                    };
                    panel.bias[i] = bias(i32::from(b), seed);
                }
            }
            panel
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pointwise(
        pixels in prop_oneof![1..=40usize, 150..=300usize],
        inputs in channels(),
        outputs in channels(),
        output in output(),
        part in part(),
        seed: u32,
    ) {
        let input = bytes(pixels * inputs, seed, -128);
        let weights = dense(outputs, inputs, seed);
        let epilogue = Epilogue { table: &table(outputs, inputs, seed), output };
        let call = Pointwise { input: &input, inputs, outputs, weights: &weights, epilogue };
        compare([pixels * outputs, outputs], Scratch::HERE.dense(inputs), part, |kernels, first, out, scratch| {
            (kernels.pointwise)(&call, first, out, scratch);
        });
    }

    #[test]
    fn linear(
        inputs in channels(),
        outputs in prop_oneof![channels(), 100..=300usize],
        output in output(),
        part in part(),
        seed: u32,
    ) {
        let input = bytes(inputs, seed, -128);
        let weights = dense(outputs, inputs, seed);
        let epilogue = Epilogue { table: &table(outputs, inputs, seed), output };
        let call = Pointwise { input: &input, inputs, outputs, weights: &weights, epilogue };
        compare([outputs, PANEL], Scratch::HERE.linear(inputs), part, |kernels, first, out, scratch| {
            (kernels.linear)(&call, first, out, scratch);
        });
    }

    #[test]
    fn conv(
        (input_shape, window, mut output_shape) in sliding(),
        outputs in 1..=40usize,
        output in output(),
        padding: i8,
        part in part(),
        seed: u32,
    ) {
        output_shape.channels = outputs;
        let terms = window.kernel[0] * window.kernel[1] * input_shape.channels;
        let input = bytes(input_shape.len(), seed, -128);
        let weights = dense(outputs, terms, seed);
        let epilogue = Epilogue { table: &table(outputs, terms, seed), output };
        let (input, weights) = (&input, &weights);
        let call = Conv { input, input_shape, output_shape, window, padding, weights, epilogue };
        let unit = output_shape.width * outputs;
        compare([output_shape.len(), unit], Scratch::HERE.dense(terms), part, |kernels, first, out, scratch| {
            (kernels.conv)(&call, first, out, scratch);
        });
    }

    #[test]
    fn depthwise(
        shapes in sliding(),
        output in output(),
        padding: i8,
        part in part(),
        seed: u32,
    ) {
        compare_depthwise(shapes, output, padding, part, seed);
    }

    /// Rows longer than what a kernel prepares at a time.
    #[test]
    fn depthwise_of_long_rows(
        [height, width] in [1..=4usize, 50..=300usize],
        channels in 1..=70usize,
        side in prop::sample::select(vec![3, 5usize]),
        stride in 1..=2usize,
        output in output(),
        padding: i8,
        seed: u32,
    ) {
        let (kernel, stride) = ([side; 2], [stride; 2]);
        let window = Window { kernel, stride, padding: Padding::Same };
        let input = Shape::new(height, width, channels);
        let [height, width] = window.output(input).expect("it pads");
        let shapes = (input, window, Shape::new(height, width, channels));
        compare_depthwise(shapes, output, padding, Part::WHOLE, seed);
    }

    /// More padding on a side than the kernel is large, or than a kernel prepares at a time; strides beyond the kernel.
    #[test]
    fn depthwise_of_wide_padding(
        [height, width] in [1..=4usize, 1..=100usize],
        channels in 1..=40usize,
        side in prop::sample::select(vec![3, 5usize]),
        down in 1..=9usize,
        across in prop_oneof![1..=9usize, 60..=90usize],
        [top, bottom] in [0..=9usize, 0..=9usize],
        [left, right] in [0..=160usize, 0..=160usize],
        output in output(),
        padding: i8,
        part in part(),
        seed: u32,
    ) {
        let around = Padding::Explicit { top, left, bottom, right };
        let window = Window { kernel: [side; 2], stride: [down, across], padding: around };
        let input = Shape::new(height, width, channels);
        if let Some([height, width]) = window.output(input) {
            let shapes = (input, window, Shape::new(height, width, channels));
            compare_depthwise(shapes, output, padding, part, seed);
        }
    }
}

fn compare_depthwise(
    (input_shape, window, output_shape): (Shape, Window, Shape),
    output: Quantized,
    padding: i8,
    part: Part,
    seed: u32,
) {
    let channels = input_shape.channels;
    let terms = window.kernel[0] * window.kernel[1];
    let input = bytes(input_shape.len(), seed, -128);
    let weights = bytes(weights_len(channels, terms), seed ^ 1, -127);
    let epilogue = Epilogue {
        table: &table(channels, terms, seed),
        output,
    };
    let call = Conv {
        input: &input,
        input_shape,
        output_shape,
        window,
        padding,
        weights: &weights,
        epilogue,
    };
    let unit = output_shape.width * channels;
    compare(
        [output_shape.len(), unit],
        0,
        part,
        |kernels, first, out, _| {
            (kernels.depthwise)(&call, first, out);
        },
    );
}

/// Every channel is another distance from the exact sum: an error of one shows.
fn distances(sum: i32) -> (RequantizePanel, Vec<i8>) {
    let mut panel = RequantizePanel::default();
    for i in 0..PANEL {
        panel.multiplier[i] = 1.0;
        panel.bias[i] = i as i32 - sum;
    }
    (panel, (0..PANEL as i8).collect())
}

const EXTREMES: [(i8, i8); 4] = [(-128, -127), (-128, 127), (127, -127), (127, 127)];
const EXACT: Quantized = Quantized {
    zero_point: 0,
    min: -128,
    max: 127,
};

/// The largest sums that a product can have are exact: no step in between saturates, as VPMADDUBSW would.
#[test]
fn extremes_do_not_saturate_on_the_way() {
    let (inputs, outputs) = (1030, PANEL);
    for (input, weight) in EXTREMES {
        let (panel, expected) = distances(i32::from(input) * i32::from(weight) * inputs as i32);
        let input = vec![input; inputs];
        let mut weights = vec![0; quad_weights_len(outputs, inputs)];
        for channel in 0..outputs {
            for k in 0..inputs {
                weights[quad_index(channel, k, inputs)] = weight;
            }
        }
        let call = Pointwise {
            input: &input,
            inputs,
            outputs,
            weights: &weights,
            epilogue: Epilogue {
                table: &[panel],
                output: EXACT,
            },
        };
        for kernels in available().chain([&UNSIGNED]) {
            let mut scratch = vec![0; Scratch::HERE.dense(inputs)];
            for product in [kernels.pointwise, kernels.linear] {
                let mut out = vec![0; outputs];
                product(&call, 0, &mut out, &mut scratch);
                assert_eq!(out, expected, "{}", kernels.name);
            }
        }
    }
}

/// The same of depthwise layers, which add the products of two taps in 16 bits.
#[test]
fn extremes_do_not_saturate_on_the_way_of_depthwise() {
    for side in [3, 5, 7] {
        for (input, weight) in EXTREMES {
            let sum = i32::from(input) * i32::from(weight) * (side * side) as i32;
            let (panel, expected) = distances(sum);
            let input_shape = Shape::new(side, side, PANEL);
            let call = Conv {
                input: &vec![input; input_shape.len()],
                input_shape,
                output_shape: Shape::new(1, 1, PANEL),
                window: Window {
                    kernel: [side; 2],
                    stride: [1; 2],
                    padding: Padding::VALID,
                },
                padding: 0,
                weights: &vec![weight; side * side * PANEL],
                epilogue: Epilogue {
                    table: &[panel],
                    output: EXACT,
                },
            };
            for kernels in available().chain([&UNSIGNED]) {
                let mut out = [0; PANEL];
                (kernels.depthwise)(&call, 0, &mut out);
                assert_eq!(out[..], expected, "{}", kernels.name);
            }
        }
    }
}
