//! The plain kernels, which run anywhere and say what the fast ones must compute.

use super::Candidate;
use crate::kernels::{f32, int8};

/// All machines.
pub(in crate::kernels) static F32: &[Candidate<f32::Kernels>] = &[(&REFERENCE_F32, || true)];

/// All machines.
pub(in crate::kernels) static INT8: &[Candidate<int8::Kernels>] = &[(&REFERENCE_INT8, || true)];

/// Plain Rust.
pub(in crate::kernels) static REFERENCE_F32: f32::Kernels = {
    use f32::{conv, depthwise, elementwise, pointwise, pool};
    f32::Kernels {
        name: "reference",
        conv: conv::reference::conv,
        depthwise: depthwise::reference::depthwise,
        pointwise: pointwise::reference::pointwise,
        linear: pointwise::reference::linear,
        add: elementwise::reference::add,
        multiply: elementwise::reference::multiply,
        average_pool: pool::reference::average_pool,
        max_pool: pool::reference::max_pool,
        global_average_pool: pool::reference::global_average_pool,
        #[cfg(feature = "gradient")]
        gradient: f32::gradient::REFERENCE,
    }
};

/// Plain Rust.
pub(in crate::kernels) static REFERENCE_INT8: int8::Kernels = {
    use int8::{conv, depthwise, elementwise, lookup, pointwise, pool};
    int8::Kernels {
        name: "reference",
        conv: conv::reference::conv,
        depthwise: depthwise::reference::depthwise,
        pointwise: pointwise::reference::pointwise,
        linear: pointwise::reference::linear,
        add: elementwise::reference::add,
        multiply: elementwise::reference::multiply,
        average_pool: pool::reference::average_pool,
        max_pool: pool::reference::max_pool,
        global_average_pool: pool::reference::global_average_pool,
        lookup: lookup::reference::lookup,
    }
};
