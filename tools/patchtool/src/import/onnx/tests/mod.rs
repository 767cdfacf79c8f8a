//! Small models built in code: what each rule makes of them.

mod accepted;
mod affine;
mod crossed;
mod folded;
mod hostile;
mod model;
mod quantised;
mod refused;
mod spellings;
