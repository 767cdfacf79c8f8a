//! Elementwise operators, pools and the lookup.

use proptest::prelude::*;

use super::{UNSIGNED, bytes, compare, output};
use crate::kernels::int8::{Elementwise, Operand, Pool, Quantized, Shape, Window, available};
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
        let call = Elementwise { left, right, output };
        compare([length, 1], 1, part, |kernels, first, out, _| (kernels.add)(&call, first, out));
        compare([length, 1], 1, part, |kernels, first, out, _| (kernels.multiply)(&call, first, out));
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
        let call = Pool {
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
        compare(rows, 1, part, |kernels, first, out, _| (kernels.average_pool)(&call, first, out));
        compare(rows, 1, part, |kernels, first, out, _| (kernels.max_pool)(&call, first, out));
        compare([input_shape.channels, 1], 1, part, |kernels, first, out, _| {
            (kernels.global_average_pool)(&call, first, out);
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

/// The rules by hand, on all kernels: a half goes to the even neighbour, and operands have their own zero points.
#[test]
fn known_results() {
    let output = Quantized {
        zero_point: 10,
        min: -128,
        max: 127,
    };
    let (left, right) = (
        operand(&[5, 6, -3], (4, 0.5)),
        operand(&[0, 2, 127], (-2, 1.0)),
    );
    let call = Elementwise {
        left,
        right,
        output,
    };
    let shape = Shape::new(1, 2, 1);
    let pool = Pool {
        input: &[7, 8],
        input_shape: shape,
        output_shape: shape,
        window: Window::POINT,
        count_padding: false,
        zero_point: 3,
        multiplier: 1.0,
        output,
    };
    for kernels in available().chain([&UNSIGNED]) {
        let mut out = [0; 3];
        (kernels.add)(&call, 0, &mut out);
        assert_eq!(out, [12, 15, 127], "{}", kernels.name);
        (kernels.multiply)(&call, 0, &mut out);
        assert_eq!(out, [11, 14, -128], "{}", kernels.name);
        (kernels.global_average_pool)(&pool, 0, &mut out[..1]);
        assert_eq!(out[0], 14, "{}", kernels.name);
        (kernels.max_pool)(&pool, 0, &mut out[..2]);
        assert_eq!(out[..2], [14, 15], "{}", kernels.name);
    }
}
