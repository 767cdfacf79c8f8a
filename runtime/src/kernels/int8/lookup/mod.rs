//! Every value through a table of 256: a curve after a layer.

pub(super) mod reference;
#[cfg(target_arch = "x86_64")]
pub(super) mod vbmi;
