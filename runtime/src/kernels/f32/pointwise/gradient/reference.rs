//! Plain sum of outer products.

use graft_patches::layout::dense_index;

use super::{Outer, check};

/// Adds the outer products to the packed `sums`.
pub(in crate::kernels) fn outer(call: &Outer, sums: &mut [f32]) {
    check(call, sums);
    let pixels = call.input.chunks_exact(call.inputs);
    for (x, d) in pixels.zip(call.gradient.chunks_exact(call.outputs)) {
        for (n, d) in d.iter().enumerate() {
            for (k, x) in x.iter().enumerate() {
                sums[dense_index(n, k, call.inputs)] += x * d;
            }
        }
    }
}
