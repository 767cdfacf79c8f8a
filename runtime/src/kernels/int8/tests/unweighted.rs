//! Elementwise operators, pools and the lookup.

use proptest::prelude::*;

use super::{bytes, compare, output};
use crate::kernels::int8::{Elementwise, Operand, Pool};
use crate::kernels::tests::strategies::{channels, part, sliding};

/// Multipliers that keep values in range, that saturate them, that leave nothing, and those where halves are ties.
fn multiplier() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => 0.05..2.0f32,
        1 => Just(0.5),
        1 => 0.0..1e30f32,
        1 => Just(0.0),
    ]
}

fn operand(values: &[i8], (zero_point, multiplier): (i8, f32)) -> Operand<'_> {
    Operand {
        values,
        zero_point,
        multiplier,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn elementwise(
        pixels in 1..=40usize,
        channels in channels(),
        broadcast: bool,
        scales in [(any::<i8>(), multiplier()), (any::<i8>(), multiplier())],
        output in output(),
        part in part(),
        seed: u32,
    ) {
        let length = pixels * channels;
        let left = bytes(length, seed, -128);
        let right = bytes(if broadcast { channels } else { length }, seed ^ 1, -128);
        let (left, right) = (operand(&left, scales[0]), operand(&right, scales[1]));
        let task = Elementwise { left, right, output };
        compare([length, 1], 1, part, |kernels, first, out, _| (kernels.add)(&task, first, out));
        compare([length, 1], 1, part, |kernels, first, out, _| (kernels.multiply)(&task, first, out));
    }

    #[test]
    fn pool(
        (input_shape, window, output_shape) in sliding(),
        count_padding: bool,
        zero_point: i8,
        multiplier in multiplier(),
        output in output(),
        part in part(),
        seed: u32,
    ) {
        let input = bytes(input_shape.len(), seed, -128);
        let task = Pool {
            input: &input,
            input_shape,
            output_shape,
            window,
            count_padding,
            zero_point,
            multiplier,
            output,
        };
        let rows = [output_shape.len(), output_shape.width * output_shape.channels];
        compare(rows, 1, part, |kernels, first, out, _| (kernels.average_pool)(&task, first, out));
        compare(rows, 1, part, |kernels, first, out, _| (kernels.max_pool)(&task, first, out));
        compare([input_shape.channels, 1], 1, part, |kernels, first, out, _| {
            (kernels.global_average_pool)(&task, first, out);
        });
    }

    #[test]
    fn lookup(length in 1..=1000usize, part in part(), seed: u32) {
        let values = bytes(length, seed, -128);
        let table: Vec<i8> = bytes(256, seed ^ 1, -128).into_vec();
        let table: [i8; 256] = table.try_into().expect("256 bytes");
        compare([length, 1], 1, part, |kernels, first, out, _| {
            out.copy_from_slice(&values[first..][..out.len()]);
            (kernels.lookup)(&table, out);
        });
    }
}
