//! The demo's assets, and what it measures. The story is told by [`crate::commands::demo`].

pub mod assets;
pub mod measure;
