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
    /// Zero.
    pub reserved: U32,
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
        let expected = sums.classes().checked_mul(class_words(dimensions));
        if expected != Some(words.len()) {
            return Err(wrong("not as many words as its classes have"));
        }
        let is_sound = |class| {
            let [count, rest @ ..] = sums.class(class) else {
                return false;
            };
            let triangle = &rest[dimensions..];
            count.get() > 0 && (0..dimensions).all(|at| triangle[at * (at + 3) / 2].get() >= 0)
        };
        if !(0..sums.classes()).all(is_sound) {
            return Err(wrong(
                "a class without examples, or a negative sum of squares",
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
