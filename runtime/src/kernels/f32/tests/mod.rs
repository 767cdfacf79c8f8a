//! Every f32 kernel against the reference, on all shapes that a planner may emit.
//!
//! The kernels under test are those that `available` gives, so that none escapes, and the fast kernels on portable
//! vectors of each length, so that the logic of all lengths is tested on any machine.

#[cfg(feature = "gradient")]
mod adjoint;
#[cfg(feature = "gradient")]
mod gradient;
mod unweighted;
mod weighted;

use super::{Kernels, available};
use crate::kernels::isa::portable::FLOATS as PORTABLE;
use crate::kernels::isa::reference::REFERENCE_F32 as REFERENCE;
use crate::kernels::tests::Part;

/// Kernels write this nowhere.
const CANARY: f32 = -98765.43;

/// The output of a kernel: its length, and in which units it may be split between threads.
struct Output {
    length: usize,
    unit: usize,
}

impl Output {
    /// Runs all kernels on the units `part` and compares with the reference's whole output.
    ///
    /// `terms` is how many values went into each output value: rounding errors grow with it.
    fn compare(&self, part: Part, terms: usize, run: impl Fn(&Kernels, usize, &mut [f32])) {
        let mut expected = exact(self.length);
        run(&REFERENCE, 0, &mut expected);
        let units = part.of(self.length.div_ceil(self.unit));
        let [start, end] = [units.start, units.end].map(|i| (i * self.unit).min(self.length));
        let elements = start..end;
        for kernels in available().chain(&PORTABLE) {
            let out = self.run(elements.len(), |out| run(kernels, units.start, out));
            for (i, (&value, &expected)) in out.iter().zip(&expected[elements.clone()]).enumerate()
            {
                let tolerance = (1e-5 + 1e-6 * terms as f32) * expected.abs().max(1.0);
                assert!(
                    (value - expected).abs() <= tolerance,
                    "{}: element {} is {value}, expected {expected}",
                    kernels.name,
                    elements.start + i,
                );
            }
        }
    }

    /// Runs a kernel twice: with canaries around the output, then with an output that is a whole allocation, where the
    /// address sanitizer sees every step outside.
    fn run(&self, length: usize, run: impl Fn(&mut [f32])) -> Box<[f32]> {
        let margin = 64;
        let mut guarded = vec![CANARY; length + 2 * margin];
        run(&mut guarded[margin..margin + length]);
        let (before, rest) = guarded.split_at(margin);
        let (out, after) = rest.split_at(length);
        assert!(
            before.iter().chain(after).all(|&x| x == CANARY),
            "wrote outside of the output"
        );
        let mut again = exact(length);
        run(&mut again);
        assert!(out == &*again, "differs from run to run");
        again
    }
}

/// Memory for an output: an allocation of its own.
fn exact(length: usize) -> Box<[f32]> {
    vec![CANARY; length].into_boxed_slice()
}

/// Values in -1..1, each seed with its own: an allocation of its own.
fn values(length: usize, seed: u32) -> Box<[f32]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..length).map(|_| next()).collect()
}
