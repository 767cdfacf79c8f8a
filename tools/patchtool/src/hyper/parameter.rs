//! The trained parameters of a generator, by name.

use half::f16;
use rand::{Rng, RngExt as _};
use rand_chacha::ChaCha8Rng;

/// The precision of the parameters in a generator's file; it computes in f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to half precision: half of the bytes.
    F16,
}

impl Precision {
    /// A value as it is stored; infinite where half precision has no such number.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
        }
    }
}

/// The values of a parameter before training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f32),
    /// Normal, of this deviation.
    Normal(f32),
}

/// A parameter's name, shape and start.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Dotted path.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Its values before training.
    pub init: Init,
}

impl Parameter {
    /// One that starts normally distributed.
    pub(super) fn normal(name: String, shape: [usize; 2], deviation: f32) -> Self {
        let init = Init::Normal(deviation);
        Self { name, shape, init }
    }

    /// One that starts with equal values.
    pub(super) fn constant(name: String, shape: [usize; 2], value: f32) -> Self {
        let init = Init::Constant(value);
        Self { name, shape, init }
    }

    /// Values to start from, row by row.
    pub fn start(&self, generator: &mut ChaCha8Rng) -> Vec<f32> {
        let length = self.shape[0] * self.shape[1];
        match self.init {
            Init::Constant(value) => vec![value; length],
            Init::Normal(deviation) => (0..length).map(|_| deviation * normal(generator)).collect(),
        }
    }
}

/// A standard normal number (Box and Muller 1958).
pub fn normal(generator: &mut impl Rng) -> f32 {
    let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * generator.random::<f64>()).cos()) as f32
}
