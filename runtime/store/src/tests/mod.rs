//! Tests of the whole store.

mod counters;
mod cuts;
mod damage;
mod fixture;
mod foreign;
mod model;
pub(crate) mod power;
mod room;
#[path = "../../tests/shared/mod.rs"]
mod shared;
mod steps;
