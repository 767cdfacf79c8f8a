//! The sums that a head was learned from, so that learning can go on and what was learned can be forgotten, exactly.
//!
//! Embeddings are integers x of `dimensions` values. Of each class there are the number n of its examples, the sum of x and
//! the sum of x x^T, of which the lower triangle is kept, row by row: all examples together are B = sum y x^T and
//! A = sum x x^T of von Oswald et al., "Transformers learn in-context by gradient descent" (ICML 2023), with y one-hot.

use zerocopy::little_endian::{F32, I32, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ImageError;
use crate::scale::SCALES;
use crate::section::SectionKind;

/// Most dimensions of sums: the triangle of one class has 134 MB.
pub const MAX_DIMENSIONS: usize = 8192;

/// Most steps of the recipe that a head was made by.
pub const MAX_STEPS: usize = 6;

/// The start of the section; the words of all classes follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct HeadSumsRecord {
    /// Values of an embedding: the depth of the head.
    pub inputs: U32,
    /// Dimensions that they are projected to, at most as many.
    pub dimensions: U32,
    /// Of the projection's signs.
    pub seed: U32,
    /// The number that an integer of 1 stands for, above zero.
    pub unit: F32,
    /// Classes.
    pub classes: U32,
    /// Steps of the recipe; none is ridge regression.
    pub steps: U32,
    /// Eta and gamma of each step; of ridge regression lambda, then zero. Those behind them are zero.
    pub recipe: [[F32; 2]; MAX_STEPS],
    /// The factor of scores, above zero.
    pub confidence: F32,
    /// Zero.
    pub reserved: U32,
}

impl HeadSumsRecord {
    /// Whether the recipe makes a head.
    fn is_recipe(&self) -> bool {
        let is_number = |value: f32| value.is_finite() && value >= 0.0;
        let steps = self.steps.get() as usize;
        let used = steps.max(1);
        let Some((recipe, rest)) = self.recipe.split_at_checked(used) else {
            return false;
        };
        let numbers = recipe.as_flattened().iter().map(|value| value.get());
        let [lambda, second] = recipe[0].map(F32::get);
        let is_ridge = lambda > 0.0 && second == 0.0;
        numbers.clone().all(is_number)
            && (steps > 0 || is_ridge)
            && rest.as_flattened().iter().all(|value| value.get() == 0.0)
            && is_number(self.confidence.get())
            && self.confidence.get() > 0.0
    }
}

/// The words of one class: the number of its examples, the sum of their embeddings, the triangle of their products.
pub const fn class_words(dimensions: usize) -> usize {
    1 + dimensions + dimensions * (dimensions + 1) / 2
}

/// Sums of a patch, read in place.
#[derive(Clone, Copy, Debug)]
pub struct HeadSums<'a> {
    record: &'a HeadSumsRecord,
    words: &'a [I32],
}

impl<'a> HeadSums<'a> {
    /// The section, checked on its own; `None` where it is empty.
    pub(crate) fn parse(section: &'a [u8]) -> Result<Option<Self>, ImageError> {
        if section.is_empty() {
            return Ok(None);
        }
        let wrong = |problem| ImageError::Section {
            section: SectionKind::HeadSums,
            problem,
        };
        let (record, words) = HeadSumsRecord::ref_from_prefix(section)
            .ok()
            .and_then(|(record, rest)| Some((record, <[I32]>::ref_from_bytes(rest).ok()?)))
            .ok_or(wrong("not a record and whole words"))?;
        let sums = Self { record, words };
        let dimensions = sums.dimensions();
        if !(1..=MAX_DIMENSIONS.min(sums.inputs())).contains(&dimensions) {
            return Err(wrong("more dimensions than inputs, none, or too many"));
        }
        if !SCALES.contains(&record.unit.get()) || record.reserved != 0 {
            return Err(wrong("a unit that is no scale, or a reserved field is set"));
        }
        if !record.is_recipe() {
            return Err(wrong("a recipe that makes no head"));
        }
        let expected = sums.classes().checked_mul(class_words(dimensions));
        if expected != Some(words.len()) {
            return Err(wrong("not as many words as its classes have"));
        }
        let is_sound = |class| {
            let [count, rest @ ..] = sums.class(class) else {
                return false;
            };
            let (totals, triangle) = rest.split_at(dimensions);
            let is_possible = |(at, total): (usize, &I32)| {
                let squares = i64::from(triangle[at * (at + 3) / 2].get());
                let (count, total) = (i64::from(count.get()), i64::from(total.get()));
                squares >= 0 && total * total <= count * squares
            };
            count.get() > 0 && totals.iter().enumerate().all(is_possible)
        };
        if !(0..sums.classes()).all(is_sound) {
            return Err(wrong(
                "a class without examples, or sums that no examples have",
            ));
        }
        Ok(Some(sums))
    }

    /// Values of an embedding.
    pub fn inputs(&self) -> usize {
        self.record.inputs.get() as usize
    }

    /// Dimensions that embeddings are projected to.
    pub fn dimensions(&self) -> usize {
        self.record.dimensions.get() as usize
    }

    /// Seed of the projection.
    pub fn seed(&self) -> u32 {
        self.record.seed.get()
    }

    /// The number that an integer of 1 stands for.
    pub fn unit(&self) -> f32 {
        self.record.unit.get()
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        self.record.classes.get() as usize
    }

    /// Eta and gamma of each step of the recipe that the head was made by; of ridge regression none, and lambda.
    pub fn recipe(&self) -> ([[f32; 2]; MAX_STEPS], usize) {
        let steps = self.record.recipe.map(|step| step.map(F32::get));
        (steps, self.record.steps.get() as usize)
    }

    /// The factor of its scores.
    pub fn confidence(&self) -> f32 {
        self.record.confidence.get()
    }

    /// Bytes of the section.
    pub fn bytes(&self) -> usize {
        size_of_val(self.record) + size_of_val(self.words)
    }

    /// The [`class_words`] of a class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn class(&self, class: usize) -> &'a [I32] {
        let words = class_words(self.dimensions());
        &self.words[class * words..][..words]
    }

    /// Checks that it has the classes and the inputs of a head.
    pub(crate) fn check(&self, classes: usize, inputs: usize) -> Result<(), ImageError> {
        match (self.classes(), self.inputs()) == (classes, inputs) {
            true => Ok(()),
            false => Err(ImageError::Section {
                section: SectionKind::HeadSums,
                problem: "not of the classes and inputs of the head",
            }),
        }
    }
}
