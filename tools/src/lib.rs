//! The library behind `patchtool`.

pub mod import;
