//! The check of a patch before it is served.

use graft_runtime::{Backbone, Patch, Session};

use crate::error::Error;

/// Runs a patch on an image that ramps through all bytes; its scores must be finite.
pub(crate) fn run(patch: &Patch, backbone: &Backbone) -> Result<(), Error> {
    let image: Vec<u8> = (0..=u8::MAX)
        .cycle()
        .take(patch.input().shape.len())
        .collect();
    let mut session = Session::new(backbone)?;
    let scores = session.run(patch, &image)?;
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(class) => Err(Error::SelfCheck {
            reason: format!("the score of class {class} is {}", scores[class]),
        }),
    }
}
