//! The plain kernels, which run anywhere and say what the fast ones must compute.

use super::{Kernels, conv, depthwise, elementwise, pointwise, pool};

/// Plain Rust.
pub(super) static REFERENCE: Kernels = Kernels {
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
    gradient: super::gradient::REFERENCE,
};
