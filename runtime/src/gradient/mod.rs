//! Training: the backward pass that a patch needs (DESIGN section 5).

mod values;

pub use values::{BatchNorm, Norm, SiteParameters};
