//! Convolutions and the fully connected layer.

use proptest::prelude::*;

use super::{Output, values};
use crate::kernels::f32::{Activation, Conv, Epilogue, PANEL, Pointwise};
use crate::kernels::tests::strategies::{activation, channels, part, sliding};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pointwise(
        pixels in prop_oneof![1..=40usize, 150..=300usize],
        inputs in channels(),
        outputs in channels(),
        activation in activation(),
        part in part(),
        seed: u32,
    ) {
        let input = values(pixels * inputs, seed);
        let [weights, table] = parameters(inputs, outputs, seed);
        let epilogue = Epilogue { table: &table, activation };
        let call = Pointwise { input: &input, inputs, outputs, weights: &weights, epilogue };
        let output = Output { length: pixels * outputs, unit: outputs };
        output.compare(part, inputs, |kernels, first, out| (kernels.pointwise)(&call, first, out));
    }

    #[test]
    fn linear(
        inputs in channels(),
        outputs in prop_oneof![channels(), 100..=300usize],
        activation in activation(),
        part in part(),
        seed: u32,
    ) {
        let input = values(inputs, seed);
        let [weights, table] = parameters(inputs, outputs, seed);
        let epilogue = Epilogue { table: &table, activation };
        let call = Pointwise { input: &input, inputs, outputs, weights: &weights, epilogue };
        let output = Output { length: outputs, unit: PANEL };
        output.compare(part, inputs, |kernels, first, out| (kernels.linear)(&call, first, out));
    }

    #[test]
    fn conv(
        (input_shape, window, mut output_shape) in sliding(),
        outputs in 1..=40usize,
        activation in activation(),
        part in part(),
        seed: u32,
    ) {
        output_shape.channels = outputs;
        let input = values(input_shape.len(), seed);
        let terms = window.kernel[0] * window.kernel[1] * input_shape.channels;
        let [weights, table] = parameters(terms, outputs, seed);
        let epilogue = Epilogue { table: &table, activation };
        let weights = &weights;
        let call = Conv { input: &input, input_shape, output_shape, window, weights, epilogue };
        let output = Output { length: output_shape.len(), unit: output_shape.width * outputs };
        output.compare(part, terms, |kernels, first, out| {
            (kernels.conv)(&call, first, out);
        });
    }

    #[test]
    fn depthwise(
        (input_shape, window, output_shape) in sliding(),
        activation in activation(),
        part in part(),
        seed: u32,
    ) {
        let channels = input_shape.channels;
        let input = values(input_shape.len(), seed);
        let terms = window.kernel[0] * window.kernel[1];
        let [weights, table] = parameters(terms, channels, seed);
        let epilogue = Epilogue { table: &table, activation };
        let weights = &weights;
        let call = Conv { input: &input, input_shape, output_shape, window, weights, epilogue };
        let output = Output { length: output_shape.len(), unit: output_shape.width * channels };
        output.compare(part, terms, |kernels, first, out| (kernels.depthwise)(&call, first, out));
    }
}

/// A NaN of the weights must not be clamped away.
#[test]
fn nan_stays_nan() {
    let table = values(2 * PANEL, 1);
    let weights = [f32::NAN; PANEL];
    for activation in [Activation::NONE, Activation::RELU6, Activation::HardSwish] {
        let epilogue = Epilogue {
            table: &table,
            activation,
        };
        let call = Pointwise {
            input: &[1.0],
            inputs: 1,
            outputs: 16,
            weights: &weights,
            epilogue,
        };
        for kernels in crate::kernels::f32::available().chain(&super::PORTABLE) {
            let mut out = [0.0; 16];
            (kernels.pointwise)(&call, 0, &mut out);
            assert!(out.iter().all(|x| x.is_nan()), "{}", kernels.name);
        }
    }
}

/// Weights and epilogue table of a layer, `terms` weights a channel. Both layouts of weights have this length.
fn parameters(terms: usize, channels: usize, seed: u32) -> [Box<[f32]>; 2] {
    let panels = channels.div_ceil(PANEL);
    [
        values(panels * terms * PANEL, seed ^ 1),
        values(panels * 2 * PANEL, seed ^ 2),
    ]
}
