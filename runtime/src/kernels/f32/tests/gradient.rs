//! The kernels of the backward pass.

use proptest::prelude::*;

use super::{PORTABLE, values};
use crate::kernels::f32::gradient::{DepthwiseGradient, GradientKernels, Outer, transpose};
use crate::kernels::f32::{Activation, Affine, available};
use crate::kernels::isa::reference::REFERENCE_F32 as REFERENCE;
use crate::kernels::tests::strategies::{activation, channels, sliding};
use graft_patches::layout::{dense_index, weights_len};

/// Runs all kernels on the same start and compares with the reference; `terms` as for forward kernels.
fn compare(start: &[f32], terms: usize, run: impl Fn(&GradientKernels, &mut [f32])) {
    let mut expected = start.to_vec();
    run(&REFERENCE.gradient, &mut expected);
    for kernels in available().chain(&PORTABLE) {
        let mut out: Box<[f32]> = start.into();
        run(&kernels.gradient, &mut out);
        for (i, (&value, &expected)) in out.iter().zip(&expected).enumerate() {
            let tolerance = (1e-5 + 1e-6 * terms as f32) * expected.abs().max(1.0);
            assert!(
                (value - expected).abs() <= tolerance,
                "{}: element {i} is {value}, expected {expected}",
                kernels.name,
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn affine(pixels in 1..=60usize, channels in channels(), activation in activation(), seed: u32) {
        let length = pixels * channels;
        let [z, gradient] = [values(length, seed), values(length, seed ^ 1)];
        let [scale, bias, a, b, c, shift] = [2, 3, 4, 5, 6, 8].map(|i| values(channels, seed ^ i));
        let call = Affine { values: &z, shift: &shift, scale: &scale, bias: &bias, activation };
        compare(&vec![0.0; length], 1, |kernels, out| (kernels.affine)(&call, out));
        let sums = values(2 * channels, seed ^ 7);
        // Rounding may put a value on the other side of a corner: the sums of all but the smooth are then far off.
        let margin = |y: f32| [-3.0, -0.5, 0.0, 0.25, 3.0, 6.0].iter().all(|corner| (y - corner).abs() > 1e-5);
        let pixels_of_all = z.chunks_exact(channels);
        let is_clear = pixels_of_all.flat_map(|z| (0..channels).map(|c| scale[c] * (z[c] - shift[c]) + bias[c])).all(margin);
        prop_assume!(is_clear);
        compare(&sums, pixels, |kernels, out| (kernels.affine_sums)(&call, &gradient, out));
        let factors = [&a[..], &b[..], &c[..]];
        compare(&vec![0.0; length], 2, |kernels, out| (kernels.affine_input)(&call, &gradient, &factors, out));
        compare(&sums, pixels, |kernels, out| (kernels.moments)(&z, &shift, out));
    }

    #[test]
    fn a_mean_far_larger_than_the_deviation_takes_nothing_from_the_sums(
        pixels in 100..=600usize, channels in channels(), seed: u32,
    ) {
        let length = pixels * channels;
        let shift: Vec<f32> = values(channels, seed ^ 2).iter().map(|mean| mean * 100.0 + 1000.0).collect();
        // What the accumulators' own rounding leaves of the deviations.
        let z: Vec<f32> = values(length, seed).iter().enumerate().map(|(i, x)| x + shift[i % channels]).collect();
        let plain: Vec<f32> = z.iter().enumerate().map(|(i, z)| z - shift[i % channels]).collect();
        let [gradient, scale, bias] = [3, 4, 5].map(|i| values(length, seed ^ i));
        let (scale, bias) = (&scale[..channels], &bias[..channels]);
        let zero = vec![0.0; channels];
        let far = Affine { values: &z, shift: &shift, scale, bias, activation: Activation::NONE };
        let near = Affine { values: &plain, shift: &zero, ..far };
        let mut expected = vec![0.0; 2 * channels];
        (REFERENCE.gradient.affine_sums)(&near, &gradient, &mut expected);
        let mut expected_input = vec![0.0; length];
        let factors = [scale; 3];
        (REFERENCE.gradient.affine_input)(&near, &gradient, &factors, &mut expected_input);
        for kernels in available().chain(&PORTABLE) {
            let mut sums = vec![0.0; 2 * channels];
            (kernels.gradient.affine_sums)(&far, &gradient, &mut sums);
            let mut input = vec![0.0; length];
            (kernels.gradient.affine_input)(&far, &gradient, &factors, &mut input);
            for (found, expected) in sums.iter().chain(&input).zip(expected.iter().chain(&expected_input)) {
                prop_assert!((found - expected).abs() < 1e-4, "{}: {} is not {}", kernels.name, found, expected);
            }
        }
    }

    #[test]
    fn outer(
        pixels in prop_oneof![1..=40usize, 180..=400usize],
        inputs in channels(),
        outputs in channels(),
        seed: u32,
    ) {
        let [input, gradient] = [values(pixels * inputs, seed), values(pixels * outputs, seed ^ 1)];
        let call = Outer { input: &input, inputs, gradient: &gradient, outputs };
        // Padded lanes have to stay zero.
        let mut start = values(weights_len(outputs, inputs), seed ^ 2);
        for n in outputs..outputs.next_multiple_of(crate::kernels::f32::PANEL) {
            (0..inputs).for_each(|k| start[dense_index(n, k, inputs)] = 0.0);
        }
        compare(&start, pixels, |kernels, out| (kernels.outer)(&call, out));
    }

    #[test]
    fn depthwise((input_shape, window, output_shape) in sliding(), seed: u32) {
        let channels = input_shape.channels;
        let taps = window.kernel[0] * window.kernel[1];
        let gradient = values(output_shape.len(), seed);
        let call = DepthwiseGradient { input_shape, output_shape, window, gradient: &gradient };
        let weights = values(weights_len(channels, taps), seed ^ 1);
        compare(&vec![0.0; input_shape.len()], taps, |kernels, out| {
            (kernels.depthwise_input)(&call, &weights, out);
        });
        let input = values(input_shape.len(), seed ^ 2);
        // Values of padded lanes, whatever they are, are not for the kernel to change.
        compare(&weights, output_shape.pixels(), |kernels, out| {
            (kernels.depthwise_filter)(&call, &input, out);
        });
    }

    #[test]
    fn rotated_filters_give_the_gradient_of_the_input((input, window, output) in sliding(), seed: u32) {
        let taps = window.kernel[0] * window.kernel[1];
        let weights = values(weights_len(input.channels, taps), seed);
        let Some((rotated, rotated_window)) = crate::kernels::f32::gradient::flip(&weights, input, output, window) else {
            prop_assert!(window.stride != [1, 1]);
            return Ok(());
        };
        prop_assert_eq!(rotated_window.output(output), Some([input.height, input.width]));
        let gradient = values(output.len(), seed ^ 1);
        let call = DepthwiseGradient { input_shape: input, output_shape: output, window, gradient: &gradient };
        let mut expected = vec![0.0; input.len()];
        (REFERENCE.gradient.depthwise_input)(&call, &weights, &mut expected);
        let table = [[1.0; 16], [0.0; 16]].concat().repeat(input.channels.div_ceil(16));
        let call = crate::kernels::f32::Conv {
            input: &gradient,
            input_shape: output,
            output_shape: input,
            window: rotated_window,
            weights: &rotated,
            epilogue: crate::kernels::f32::Epilogue { table: &table, activation: crate::kernels::f32::Activation::NONE },
        };
        let mut found = vec![0.0; input.len()];
        (REFERENCE.depthwise)(&call, 0, &mut found);
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!((found - expected).abs() < 1e-4, "{} is not {}", found, expected);
        }
    }

    #[test]
    fn transposed_twice_is_the_same(inputs in channels(), outputs in channels(), seed: u32) {
        let mut weights = vec![0.0; weights_len(outputs, inputs)];
        let plain = values(outputs * inputs, seed);
        for n in 0..outputs {
            for k in 0..inputs {
                weights[dense_index(n, k, inputs)] = plain[n * inputs + k];
            }
        }
        let mut transposed = vec![0.0; weights_len(inputs, outputs)];
        transpose(&weights, inputs, outputs, &mut transposed);
        prop_assert_eq!(transposed[dense_index(inputs - 1, 0, outputs)], plain[inputs - 1]);
        let mut again = vec![0.0; weights.len()];
        transpose(&transposed, outputs, inputs, &mut again);
        prop_assert_eq!(again, weights);
    }
}
