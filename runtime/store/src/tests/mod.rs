//! Tests of the whole store.

mod cuts;
mod model;
pub(crate) mod power;
#[path = "../../tests/shared/mod.rs"]
mod shared;
mod steps;
