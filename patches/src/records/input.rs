//! The record of the input: resolution and normalisation.

use zerocopy::little_endian::{F32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::geometry::Shape;

use super::field::{MAX_SIDE, is_canonical};

/// Resolution and normalisation of the input: one record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InputRecord {
    /// Rows.
    pub height: U32,
    /// Columns.
    pub width: U32,
    /// 1 to 4.
    pub channels: U32,
    /// Zero.
    pub reserved: U32,
    /// Subtracted from a pixel (0 to 255), per channel.
    pub mean: [F32; 4],
    /// Divides the difference, per channel.
    pub std: [F32; 4],
}

/// The size of an input image, and how its 8-bit pixels become activations, `(x - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Rows, columns and channels (1 to 4).
    pub shape: Shape,
    /// Per channel, in units of a pixel (0 to 255).
    pub mean: [f32; 4],
    /// Per channel, in units of a pixel.
    pub std: [f32; 4],
}

impl Input {
    /// Whether an image may have this input.
    ///
    /// # Errors
    /// The fault, in words.
    pub fn check(&self) -> Result<(), &'static str> {
        let Shape {
            height,
            width,
            channels,
        } = self.shape;
        if ![height, width]
            .iter()
            .all(|side| (1..=MAX_SIDE).contains(side))
            || channels == 0
        {
            return Err("no input size, or one above 65,536");
        }
        if channels > 4 {
            return Err("more than 4 input channels");
        }
        if !self.mean.iter().all(|m| m.is_finite()) || !self.std.iter().all(|s| s.is_normal()) {
            return Err("normalisation that is not finite, or a zero std");
        }
        Ok(())
    }
}

impl InputRecord {
    pub(crate) fn decode(&self) -> Result<Input, &'static str> {
        let [height, width, channels] =
            [self.height, self.width, self.channels].map(|side| side.get() as usize);
        let shape = Shape::new(height, width, channels);
        let input = Input {
            shape,
            mean: self.mean.map(F32::get),
            std: self.std.map(F32::get),
        };
        input.check()?;
        is_canonical(self, &Self::from(&input))?;
        Ok(input)
    }
}

impl From<&Input> for InputRecord {
    fn from(input: &Input) -> Self {
        Self {
            height: (input.shape.height as u32).into(),
            width: (input.shape.width as u32).into(),
            channels: (input.shape.channels as u32).into(),
            reserved: 0.into(),
            mean: input.mean.map(F32::new),
            std: input.std.map(F32::new),
        }
    }
}
