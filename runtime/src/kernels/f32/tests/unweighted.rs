//! Elementwise operators and pools.

use proptest::prelude::*;

use super::{Output, values};
use crate::kernels::f32::{Elementwise, Pool};
use crate::kernels::tests::strategies::{activation, channels, part, sliding};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn elementwise(
        pixels in 1..=40usize,
        channels in channels(),
        broadcast: bool,
        activation in activation(),
        part in part(),
        seed: u32,
    ) {
        let length = pixels * channels;
        let left = values(length, seed);
        let right = values(if broadcast { channels } else { length }, seed ^ 1);
        let call = Elementwise { left: &left, right: &right, activation };
        let output = Output { length, unit: 1 };
        output.compare(part, 2, |kernels, first, out| (kernels.add)(&call, first, out));
        output.compare(part, 2, |kernels, first, out| (kernels.multiply)(&call, first, out));
    }

    #[test]
    fn pool(
        (input_shape, window, output_shape) in sliding(),
        count_padding: bool,
        activation in activation(),
        part in part(),
        seed: u32,
    ) {
        let input = values(input_shape.len(), seed);
        let input = &input;
        let call = Pool { input, input_shape, output_shape, window, count_padding, activation };
        let output = Output {
            length: output_shape.len(),
            unit: output_shape.width * output_shape.channels,
        };
        let terms = window.kernel[0] * window.kernel[1];
        output.compare(part, terms, |kernels, first, out| (kernels.average_pool)(&call, first, out));
        output.compare(part, terms, |kernels, first, out| (kernels.max_pool)(&call, first, out));
        let output = Output { length: input_shape.channels, unit: 1 };
        output.compare(part, input_shape.pixels(), |kernels, first, out| {
            (kernels.global_average_pool)(&call, first, out);
        });
    }
}
