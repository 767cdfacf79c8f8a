//! Devices that learn: what they are taught, and the heads that they make of it.

use graft_link::{Learner, Reply, Request};

use crate::client::Client;
use crate::error::DeviceError;

/// The way from what was taught to a head, by gradient descent.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Eta and gamma of each step: 1 to 6.
    pub steps: Vec<[f32; 2]>,
    /// The factor of scores.
    pub confidence: f32,
}

/// What a device was taught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taught {
    /// The state of its learner.
    pub learner: Learner,
    /// Name and examples of each class, in the order of the head.
    pub classes: Vec<(String, u32)>,
}

impl Client {
    /// Adds an image of 8-bit pixels, NHWC, to the examples of a class that the device learns. Returns how many those are, and
    /// the ticks that it took.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn teach(&mut self, label: &str, pixels: &[u8]) -> Result<(u32, u32), DeviceError> {
        self.image(pixels)?;
        self.ask(&Request::Teach(label), |reply| {
            let Reply::Taught { examples, ticks } = reply else {
                return None;
            };
            Some((examples, ticks))
        })
    }

    /// Takes a class away that the device was taught.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn forget(&mut self, label: &str) -> Result<(), DeviceError> {
        self.order(&Request::Forget(label))
    }

    /// Makes a head of what the device was taught, writes it to a slot and serves it on trial. Returns the bytes of the patch,
    /// and the ticks that making it took.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn learn(
        &mut self,
        slot: u8,
        name: &str,
        recipe: Option<&Recipe>,
    ) -> Result<(u32, u32), DeviceError> {
        let bytes: Vec<u8> = recipe
            .iter()
            .flat_map(|recipe| {
                let steps = recipe.steps.as_flattened().iter().copied();
                core::iter::once(recipe.confidence).chain(steps)
            })
            .flat_map(f32::to_le_bytes)
            .collect();
        let recipe = &bytes;
        let request = Request::Learn { slot, name, recipe };
        self.ask(&request, |reply| {
            let Reply::Learned { length, ticks } = reply else {
                return None;
            };
            Some((length, ticks))
        })
    }

    /// What the device was taught; `None` where it cannot learn.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub fn learner(&mut self) -> Result<Option<Taught>, DeviceError> {
        let asked = self.ask(&Request::Learner, |reply| {
            let Reply::Learner(learner) = reply else {
                return None;
            };
            Some(learner)
        });
        let learner = match asked {
            Err(DeviceError::CannotLearn) => return Ok(None),
            asked => asked?,
        };
        let classes = (0..learner.classes)
            .map(|class| {
                self.ask(&Request::Class(class), |reply| {
                    let Reply::Class { label, examples } = reply else {
                        return None;
                    };
                    Some((label.to_owned(), examples))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(Taught { learner, classes }))
    }
}
