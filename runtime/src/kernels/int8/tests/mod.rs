//! Every int8 kernel against the reference, to the bit, on all shapes that a planner may emit.

mod unweighted;
mod weighted;

use proptest::prelude::*;

use super::{Kernels, Quantized, available};
use crate::kernels::isa::portable::UNSIGNED;
use crate::kernels::tests::Part;

/// Kernels write this nowhere beside their output.
const CANARY: i8 = 0x55;

/// Runs all kernels on the units `part` of an output and compares with the reference's whole output.
fn compare(
    [length, unit]: [usize; 2],
    scratch_bytes: usize,
    part: Part,
    run: impl Fn(&Kernels, usize, &mut [i8], &mut [u8]),
) {
    let reference = available()
        .find(|kernels| kernels.name == "reference")
        .expect("it runs anywhere");
    let mut scratch = vec![0xaa; scratch_bytes].into_boxed_slice();
    let mut expected = vec![CANARY; length];
    run(reference, 0, &mut expected, &mut scratch);
    let units = part.of(length.div_ceil(unit));
    let elements = (units.start * unit).min(length)..(units.end * unit).min(length);
    for kernels in available().chain([&UNSIGNED]) {
        let margin = 64;
        let mut guarded = vec![CANARY; elements.len() + 2 * margin];
        let out = &mut guarded[margin..margin + elements.len()];
        run(kernels, units.start, out, &mut scratch);
        assert!(
            *out == expected[elements.clone()],
            "{}: {out:?}, expected {:?}",
            kernels.name,
            &expected[elements.clone()]
        );
        let (before, rest) = guarded.split_at(margin);
        assert!(
            before
                .iter()
                .chain(&rest[elements.len()..])
                .all(|&byte| byte == CANARY),
            "{} wrote outside of the output",
            kernels.name
        );
        // An allocation of its own, where the address sanitizer sees every step outside.
        let mut exact = vec![CANARY; elements.len()].into_boxed_slice();
        run(kernels, units.start, &mut exact, &mut scratch);
        assert!(*exact == expected[elements.clone()], "{}", kernels.name);
    }
}

/// Random bytes; every fourth is an extreme.
fn bytes(length: usize, seed: u32, least: i8) -> Box<[i8]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        match state >> 28 {
            0..2 => i8::MAX,
            2..4 => least,
            _ => ((state >> 8) as i8).max(least),
        }
    };
    (0..length).map(|_| next()).collect()
}

fn output() -> impl Strategy<Value = Quantized> {
    let bounds = prop_oneof![Just((-128, 127)), (any::<i8>(), any::<i8>())];
    (any::<i8>(), bounds).prop_map(|(zero_point, (a, b))| Quantized {
        zero_point,
        min: a.min(b),
        max: a.max(b),
    })
}
