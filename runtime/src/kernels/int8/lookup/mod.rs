//! Every value through a table of 256: a curve after a layer.

pub(in crate::kernels) mod reference;
