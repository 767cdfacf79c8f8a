//! Embeddings as integers, projected to fewer dimensions where they have many.

use graft_patches::BackboneImage;
use graft_patches::head_sums::{HeadSums, HeadSumsRecord, MAX_DIMENSIONS, MAX_STEPS};
use graft_patches::records::Dtype;
use graft_patches::requantize::round_ties_even;
use graft_patches::scale::SCALES;

use super::{LearnError, Method, Recipe};
use crate::LayerOutput;

/// Greatest integer of a value of an f32 embedding.
const GREATEST: f32 = 1023.0;
/// Unit of f32 embeddings of unknown range: a value of 6, where most activations end, is 255.
const UNIT: f32 = 6.0 / 255.0;

/// The way from an embedding to the integers that are added up: each value is a whole number of units, and value i counts,
/// with a sign that the seed gives, in dimension i modulo their number. Where there are as many dimensions as values, they
/// are the values themselves.
///
/// A projection by random signs (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009): inner
/// products stay what they are on average, and it costs one addition a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    inputs: usize,
    dimensions: usize,
    seed: u32,
    unit: f32,
}

impl Projection {
    /// A projection of `inputs` values to `dimensions`, at most as many. An integer of 1 stands for `unit`.
    ///
    /// # Errors
    /// [`LearnError::Projection`].
    pub fn new(inputs: usize, dimensions: usize, seed: u32, unit: f32) -> Result<Self, LearnError> {
        let most = inputs.min(MAX_DIMENSIONS);
        if !(1..=most).contains(&dimensions) || !SCALES.contains(&unit) {
            return Err(LearnError::Projection {
                inputs,
                dimensions,
                unit,
            });
        }
        Ok(Self {
            inputs,
            dimensions,
            seed,
            unit,
        })
    }

    /// A projection for the embeddings of a backbone to at most `dimensions`. Of an int8 backbone the unit is the scale of its
    /// embeddings; of an f32 one 6/255, whatever its activations are ([`Projection::with_unit`]).
    ///
    /// # Errors
    /// [`LearnError::NoHead`], [`LearnError::Projection`].
    pub fn of(
        backbone: &BackboneImage<'_>,
        dimensions: usize,
        seed: u32,
    ) -> Result<Self, LearnError> {
        let layer = backbone.embedding_layer().ok_or(LearnError::NoHead)?;
        let head = backbone.head().ok_or(LearnError::NoHead)?;
        let site = backbone.site(head);
        let unit = match backbone.dtype() {
            Dtype::I8 | Dtype::I8Half => backbone.scales()[layer + 1].get().outer.scale,
            Dtype::F32 | Dtype::F16 => UNIT,
        };
        Self::new(site.depth, dimensions.min(site.depth), seed, unit)
    }

    /// The same in other units: embeddings in f32 that are much smaller or larger than 6.
    ///
    /// # Errors
    /// [`LearnError::Projection`].
    pub fn with_unit(self, unit: f32) -> Result<Self, LearnError> {
        Self::new(self.inputs, self.dimensions, self.seed, unit)
    }

    /// That of sums, which were checked.
    pub(super) fn resume(sums: &HeadSums<'_>) -> Self {
        Self {
            inputs: sums.inputs(),
            dimensions: sums.dimensions(),
            seed: sums.seed(),
            unit: sums.unit(),
        }
    }

    pub(super) fn record(&self, classes: usize, recipe: &Recipe<'_>) -> HeadSumsRecord {
        let mut numbers = [[0.0.into(); 2]; MAX_STEPS];
        let steps = match recipe.method {
            Method::Descent(steps) => {
                for (place, step) in numbers.iter_mut().zip(steps) {
                    *place = [step.eta.into(), step.gamma.into()];
                }
                steps.len()
            }
            Method::Ridge { lambda } => {
                numbers[0][0] = lambda.into();
                0
            }
        };
        HeadSumsRecord {
            inputs: (self.inputs as u32).into(),
            dimensions: (self.dimensions as u32).into(),
            seed: self.seed.into(),
            unit: self.unit.into(),
            classes: (classes as u32).into(),
            steps: (steps as u32).into(),
            recipe: numbers,
            confidence: recipe.confidence.into(),
            reserved: 0.into(),
        }
    }

    /// Values of an embedding.
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// Dimensions of the integers.
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The number that an integer of 1 stands for.
    pub const fn unit(&self) -> f32 {
        self.unit
    }

    /// The dimension that value `input` counts in.
    pub fn dimension(&self, input: usize) -> usize {
        input % self.dimensions
    }

    /// The sign that value `input` counts with: 1 or -1.
    pub fn sign(&self, input: usize) -> f32 {
        if self.is_negative(input) { -1.0 } else { 1.0 }
    }

    /// A bit of a hash (the finaliser of MurmurHash3) of the seed and the index.
    fn is_negative(&self, input: usize) -> bool {
        if self.dimensions == self.inputs {
            return false;
        }
        let mut hash = self.seed ^ (input as u32).wrapping_mul(0x9e37_79b9);
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
        (hash ^ (hash >> 16)) & 1 == 1
    }

    /// The integers of an embedding, one a dimension.
    pub(super) fn project(
        &self,
        embedding: LayerOutput<'_>,
        out: &mut [i32],
    ) -> Result<(), LearnError> {
        let (found, expected) = (embedding.len(), self.inputs);
        if found != expected {
            return Err(LearnError::Length { found, expected });
        }
        out.fill(0);
        let mut count = |input: usize, value: i32| {
            let place = &mut out[self.dimension(input)];
            *place += if self.is_negative(input) {
                -value
            } else {
                value
            };
        };
        match embedding {
            LayerOutput::I8(_, scale) if scale.scale != self.unit => {
                return Err(LearnError::Unit {
                    found: scale.scale,
                    expected: self.unit,
                });
            }
            LayerOutput::I8(bytes, scale) => {
                for (input, &byte) in bytes.iter().enumerate() {
                    count(input, i32::from(byte) - i32::from(scale.zero_point));
                }
            }
            LayerOutput::F32(values) => {
                for (input, value) in values.iter().enumerate() {
                    let steps = (value / self.unit).clamp(-GREATEST, GREATEST);
                    count(input, round_ties_even(steps) as i32);
                }
            }
        }
        Ok(())
    }
}
