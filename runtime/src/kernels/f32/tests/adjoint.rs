//! Backward kernels are the adjoints of the forward ones: `<op(x), g> = <x, back(g)>`.

use proptest::prelude::*;

use super::values;
use crate::kernels::f32::gradient::{
    DepthwiseGradient, average, gather, global_average, max, multiply_left, multiply_right,
    scatter, transpose,
};
use crate::kernels::f32::{Activation, Conv, Elementwise, Epilogue, PANEL, Pointwise, Pool, Shape};
use crate::kernels::isa::reference::REFERENCE_F32 as REFERENCE;
use crate::kernels::tests::strategies::{channels, sliding};
use graft_patches::layout::{dense_index, weights_len};

/// The products of two tensors, and of another two, have the same sum.
fn same(left: [&[f32]; 2], right: [&[f32]; 2]) -> Result<(), TestCaseError> {
    let products = |[a, b]: [&[f32]; 2]| -> Vec<f64> {
        assert_eq!(a.len(), b.len(), "tensors of one shape");
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .collect()
    };
    let (left, right) = (products(left), products(right));
    let size: f64 = left.iter().chain(&right).map(|x| x.abs()).sum();
    let (left, right) = (left.iter().sum::<f64>(), right.iter().sum::<f64>());
    prop_assert!(
        (left - right).abs() <= 1e-5 * size.max(1.0),
        "{} is not {}",
        left,
        right
    );
    Ok(())
}

/// Scales of one, biases of zero.
fn no_epilogue(channels: usize) -> Vec<f32> {
    [[1.0; PANEL], [0.0; PANEL]]
        .concat()
        .repeat(channels.div_ceil(PANEL))
}

fn dense_weights(outputs: usize, depth: usize, seed: u32) -> Vec<f32> {
    let plain = values(outputs * depth, seed);
    let mut packed = vec![0.0; weights_len(outputs, depth)];
    for (i, &weight) in plain.iter().enumerate() {
        packed[dense_index(i / depth, i % depth, depth)] = weight;
    }
    packed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn of_gather_is_scatter((input, window, output) in sliding(), seed: u32) {
        let x = values(input.len(), seed);
        let mut columns = vec![0.0; output.pixels() * window.kernel[0] * window.kernel[1] * input.channels];
        gather(input, output, window, &x, &mut columns);
        let g = values(columns.len(), seed ^ 1);
        let mut back = vec![0.0; x.len()];
        scatter(input, output, window, &g, &mut back);
        same([&columns, &g], [&x, &back])?;
    }

    #[test]
    fn of_a_convolution((input_shape, window, output) in sliding(), outputs in 1..=20usize, seed: u32) {
        let output_shape = Shape::new(output.height, output.width, outputs);
        let depth = window.kernel[0] * window.kernel[1] * input_shape.channels;
        let weights = dense_weights(outputs, depth, seed);
        let table = no_epilogue(depth.max(outputs));
        let epilogue = Epilogue { table: &table, activation: Activation::NONE };
        let [x, g] = [values(input_shape.len(), seed ^ 1), values(output_shape.len(), seed ^ 2)];
        let call = Conv { input: &x, input_shape, output_shape, window, weights: &weights, epilogue };
        let mut y = vec![0.0; output_shape.len()];
        (REFERENCE.conv)(&call, 0, &mut y);
        let mut transposed = vec![0.0; weights_len(depth, outputs)];
        transpose(&weights, depth, outputs, &mut transposed);
        let mut columns = vec![0.0; output_shape.pixels() * depth];
        let call = Pointwise { input: &g, inputs: outputs, outputs: depth, weights: &transposed, epilogue };
        (REFERENCE.pointwise)(&call, 0, &mut columns);
        let mut back = vec![0.0; x.len()];
        scatter(input_shape, output_shape, window, &columns, &mut back);
        same([&y, &g], [&x, &back])?;
    }

    #[test]
    fn of_a_depthwise_convolution((input_shape, window, output_shape) in sliding(), seed: u32) {
        let channels = input_shape.channels;
        let weights = values(weights_len(channels, window.kernel[0] * window.kernel[1]), seed);
        let table = no_epilogue(channels);
        let epilogue = Epilogue { table: &table, activation: Activation::NONE };
        let [x, g] = [values(input_shape.len(), seed ^ 1), values(output_shape.len(), seed ^ 2)];
        let call = Conv { input: &x, input_shape, output_shape, window, weights: &weights, epilogue };
        let mut y = vec![0.0; output_shape.len()];
        (REFERENCE.depthwise)(&call, 0, &mut y);
        let call = DepthwiseGradient { input_shape, output_shape, window, gradient: &g };
        let mut back = vec![0.0; x.len()];
        (REFERENCE.gradient.depthwise_input)(&call, &weights, &mut back);
        same([&y, &g], [&x, &back])?;
        // The convolution is linear in its filters too.
        let mut filters = vec![0.0; weights.len()];
        (REFERENCE.gradient.depthwise_filter)(&call, &x, &mut filters);
        same([&y, &g], [&weights, &filters])?;
    }

    #[test]
    fn of_pools((input_shape, window, output_shape) in sliding(), count_padding: bool, seed: u32) {
        let activation = Activation::NONE;
        let [x, g] = [values(input_shape.len(), seed), values(output_shape.len(), seed ^ 1)];
        let pool = Pool { input: &x, input_shape, output_shape, window, count_padding, activation };
        let mut y = vec![0.0; output_shape.len()];
        (REFERENCE.average_pool)(&pool, 0, &mut y);
        let mut back = vec![0.0; x.len()];
        average(&pool, &g, &mut back);
        same([&y, &g], [&x, &back])?;
        // Linear in the neighbourhood of x.
        (REFERENCE.max_pool)(&pool, 0, &mut y);
        back.fill(0.0);
        max(&pool, &g, &mut back);
        same([&y, &g], [&x, &back])?;
        let channels = input_shape.channels;
        let pool = Pool { output_shape: Shape::new(1, 1, channels), ..pool };
        let (mut y, g) = (vec![0.0; channels], &g[..channels]);
        (REFERENCE.global_average_pool)(&pool, 0, &mut y);
        back.fill(0.0);
        global_average(&pool, g, &mut back);
        same([&y, g], [&x, &back])?;
    }

    #[test]
    fn of_the_product(pixels in 1..=30usize, channels in channels(), is_gate: bool, seed: u32) {
        let len = pixels * channels;
        let [left, g] = [values(len, seed), values(len, seed ^ 1)];
        let right = values(if is_gate { channels } else { len }, seed ^ 2);
        let call = Elementwise { left: &left, right: &right, activation: Activation::NONE };
        let mut y = vec![0.0; len];
        (REFERENCE.multiply)(&call, 0, &mut y);
        let (mut left_back, mut right_back) = (vec![0.0; len], vec![0.0; right.len()]);
        multiply_left(&right, &g, &mut left_back);
        same([&y, &g], [&left, &left_back])?;
        multiply_right(&left, &g, &mut right_back);
        same([&y, &g], [&right, &right_back])?;
    }
}
