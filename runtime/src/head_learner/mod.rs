//! Heads that learn from labelled examples, without backpropagation: on a microcontroller as on a workstation.
//!
//! Embeddings are integers ([`Projection`]), and of each class only sums are kept: how many examples, the sum of x, the sum of
//! x x^T. Sums of integers are exact, whatever the order, and the same on every target; what was added can be subtracted again,
//! so an example or a class is forgotten as if it had never been there. From the sums, steps of gradient descent make a head:
//! the linear self-attention of von Oswald et al., "Transformers learn in-context by gradient descent" (ICML 2023), over tokens
//! that are the examples less their mean (each class counts the same, however many examples it has).
//!
//! ```
//! # std::env::set_current_dir("../tools/assets/demo").unwrap();
//! use graft_runtime::head_learner::{GD_PLUS_PLUS, HeadLearner, Projection};
//! use graft_runtime::{Backbone, LayerOutput, Session};
//!
//! let backbone = Backbone::open("int8/demo.backbone")?;
//! let projection = Projection::of(&backbone.image(), 64, 0)?;
//! let mut memory = vec![0; HeadLearner::words_len(64, 2)]; // 17.4 kB
//! let mut learner = HeadLearner::new(projection, &mut memory)?;
//! let mut session = Session::new(&backbone)?;
//! for (class, grey) in [(0, 10), (1, 250), (0, 30), (1, 200)] {
//!     let frame = vec![grey; 48 * 48 * 3];
//!     let mut added = Ok(());
//!     session.run_embedding(&backbone.identity(), &frame, |embedding| added = learner.add(class, embedding))?;
//!     added?;
//! }
//! let mut work = vec![0.0; learner.work_len(GD_PLUS_PLUS.method)];
//! let mut weights = vec![0.0; learner.weights_len()];
//! let head = learner.learn(&GD_PLUS_PLUS, &mut work, &mut weights)?;
//! assert!(head.weight(0, 0).is_finite());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod defaults;
mod descent;
mod error;
mod head;
mod patch;
mod projection;
mod sums;
#[cfg(all(test, feature = "std"))]
mod tests;

use graft_patches::head_sums::{HeadSums, HeadSumsRecord, class_words};

pub use graft_patches::head_sums::MAX_STEPS;

use crate::LayerOutput;

pub use defaults::{GD, GD_PLUS_PLUS, RIDGE};
pub use descent::{Method, Recipe, Step};
pub use error::LearnError;
pub use head::Head;
pub use patch::About;
pub use projection::Projection;

use descent::{Symmetric, solve, work_vectors};
use sums::{Sums, triangle_index};

/// The sums of labelled examples, in memory of the caller.
#[derive(Debug)]
pub struct HeadLearner<'m> {
    projection: Projection,
    /// Place of one embedding.
    x: &'m mut [i32],
    /// Of each class that there is room for.
    words: &'m mut [i32],
    classes: usize,
}

impl<'m> HeadLearner<'m> {
    /// Words of memory for so many classes: of D dimensions D + classes x (1 + D + D (D + 1) / 2).
    pub const fn words_len(dimensions: usize, classes: usize) -> usize {
        dimensions + classes * class_words(dimensions)
    }

    /// A learner that has seen nothing. The memory decides how many classes there can be.
    ///
    /// # Errors
    /// [`LearnError::Memory`] where there is none for two classes.
    pub fn new(projection: Projection, memory: &'m mut [i32]) -> Result<Self, LearnError> {
        let (found, expected) = (memory.len(), Self::words_len(projection.dimensions(), 2));
        if found < expected {
            return Err(LearnError::Memory {
                what: "words of sums",
                found,
                expected,
            });
        }
        let (x, words) = memory.split_at_mut(projection.dimensions());
        Ok(Self {
            projection,
            x,
            words,
            classes: 0,
        })
    }

    /// A learner that goes on from the sums of a patch.
    ///
    /// # Errors
    /// [`LearnError::Memory`].
    pub fn resume(sums: &HeadSums<'_>, memory: &'m mut [i32]) -> Result<Self, LearnError> {
        let (found, expected) = (
            memory.len(),
            Self::words_len(sums.dimensions(), sums.classes()),
        );
        if found < expected {
            return Err(LearnError::Memory {
                what: "words of sums",
                found,
                expected,
            });
        }
        let mut learner = Self::new(Projection::resume(sums), memory)?;
        learner.classes = sums.classes();
        for class in 0..learner.classes {
            let words = learner.class_mut(class);
            for (word, own) in words.iter_mut().zip(sums.class(class)) {
                *word = own.get();
            }
        }
        Ok(learner)
    }

    /// The way from embeddings to integers.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// Classes that it has seen.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Classes that there is memory for.
    pub fn capacity(&self) -> usize {
        self.words.len() / self.class_words()
    }

    /// Examples of a class; zero where there is no such class.
    pub fn examples(&self, class: usize) -> usize {
        match class < self.classes {
            true => self.class(class)[0] as usize,
            false => 0,
        }
    }

    /// Adds an example. Class [`HeadLearner::classes`] is a new one.
    ///
    /// # Errors
    /// [`LearnError`]; nothing is added then.
    pub fn add(&mut self, class: usize, embedding: LayerOutput<'_>) -> Result<(), LearnError> {
        let expected = self.classes.min(self.capacity() - 1);
        if class > expected {
            return Err(match class == self.classes {
                true => LearnError::Classes { capacity: class },
                false => LearnError::NoSuchClass {
                    found: class,
                    classes: self.classes,
                },
            });
        }
        self.projection.project(embedding, self.x)?;
        if class == self.classes {
            self.class_mut(class).fill(0);
        }
        let (x, mut sums) = self.split(class);
        if !sums.has_room(x) {
            return Err(LearnError::Full { class });
        }
        sums.add(x);
        self.classes = self.classes.max(class + 1);
        Ok(())
    }

    /// Takes an example away again that was added before.
    ///
    /// # Errors
    /// [`LearnError`], [`LearnError::NotAnExample`] where the sums show that it was never added; nothing is taken away then.
    pub fn subtract(&mut self, class: usize, embedding: LayerOutput<'_>) -> Result<(), LearnError> {
        self.check_class(class)?;
        self.projection.project(embedding, self.x)?;
        let (x, mut sums) = self.split(class);
        if !sums.may_have(x) {
            return Err(LearnError::NotAnExample { class });
        }
        sums.subtract(x);
        Ok(())
    }

    /// Takes a class away with all of its examples; those after it move down by one.
    ///
    /// # Errors
    /// [`LearnError::NoSuchClass`].
    pub fn forget(&mut self, class: usize) -> Result<(), LearnError> {
        self.check_class(class)?;
        let length = self.class_words();
        let start = class * length;
        self.words
            .copy_within(start + length..self.classes * length, start);
        self.classes -= 1;
        Ok(())
    }

    /// The words of all classes, as a patch keeps them.
    pub fn sums(&self) -> &[i32] {
        &self.words[..self.classes * self.class_words()]
    }

    /// The record that a patch keeps before them, with the recipe of its head.
    pub fn record(&self, recipe: &Recipe<'_>) -> HeadSumsRecord {
        self.projection.record(self.classes, recipe)
    }

    /// Numbers that [`HeadLearner::learn`] works in.
    pub const fn work_len(&self, method: Method<'_>) -> usize {
        let dimensions = self.projection.dimensions();
        triangle_index(dimensions, 0) + (2 + work_vectors(method)) * dimensions
    }

    /// Numbers of a head: of each class a weight for each dimension, and a bias.
    pub fn weights_len(&self) -> usize {
        self.classes * (self.projection.dimensions() + 1)
    }

    /// Makes a head. `weights` has the weights to start from, in units of the integers and without the confidence, where it is
    /// not zeros; the biases in it do not matter. Those of the head have the confidence.
    ///
    /// # Errors
    /// [`LearnError`]: fewer than two classes, one without examples, a recipe that is none, too little memory.
    pub fn learn<'w>(
        &self,
        recipe: &Recipe<'_>,
        work: &mut [f32],
        weights: &'w mut [f32],
    ) -> Result<Head<'w>, LearnError> {
        recipe.check()?;
        let method = recipe.method;
        if self.classes < 2 {
            return Err(LearnError::TooFewClasses {
                found: self.classes,
            });
        }
        if let Some(class) = (0..self.classes).find(|&class| self.examples(class) == 0) {
            return Err(LearnError::Empty { class });
        }
        let work = part(work, self.work_len(method), "numbers to work in")?;
        let weights = part(weights, self.weights_len(), "numbers of a head")?;
        let dimensions = self.projection.dimensions();
        let (triangle, work) = work.split_at_mut(triangle_index(dimensions, 0));
        let (mean, work) = work.split_at_mut(dimensions);
        let (b, work) = work.split_at_mut(dimensions);
        self.mean(mean);
        self.covariance(mean, triangle);
        let greatest = Symmetric {
            triangle,
            dimensions,
        }
        .greatest_eigenvalue(work);
        let scale = if greatest > 0.0 { greatest } else { 1.0 };
        for entry in &mut *triangle {
            *entry /= scale;
        }
        let a = Symmetric {
            triangle,
            dimensions,
        };
        for (class, row) in weights.chunks_exact_mut(dimensions + 1).enumerate() {
            let (row, bias) = row.split_at_mut(dimensions);
            self.target(class, mean, b);
            for weight in &mut *row {
                *weight *= scale;
            }
            solve(a, method, b, row, work);
            let mut middle = 0.0;
            for (weight, mean) in row.iter_mut().zip(&*mean) {
                *weight *= recipe.confidence / scale;
                middle += *weight * mean;
            }
            bias[0] = -middle;
        }
        let scores = self.range(weights);
        Ok(Head::new(self.projection, weights, scores, scale))
    }

    /// The mean over all classes of the mean of their embeddings.
    fn mean(&self, mean: &mut [f32]) {
        for (at, mean) in mean.iter_mut().enumerate() {
            let sums = (0..self.classes).map(|class| {
                let words = self.class(class);
                f64::from(words[1 + at]) / f64::from(words[0])
            });
            *mean = (sums.sum::<f64>() / self.classes as f64) as f32;
        }
    }

    /// The mean over all classes of the mean of x x^T, less that of `mean`.
    fn covariance(&self, mean: &[f32], triangle: &mut [f32]) {
        let share = |words: &[i32]| 1.0 / (f64::from(words[0]) * self.classes as f64);
        let mut at = 1 + mean.len();
        let mut place = 0;
        for row in 0..mean.len() {
            for column in 0..=row {
                let products = (0..self.classes).map(|class| {
                    let words = self.class(class);
                    f64::from(words[at]) * share(words)
                });
                let middle = f64::from(mean[row]) * f64::from(mean[column]);
                triangle[place] = (products.sum::<f64>() - middle) as f32;
                place += 1;
                at += 1;
            }
        }
    }

    /// The mean over all classes of y x^T of one class: its own mean less that of all, divided by the number of classes.
    fn target(&self, class: usize, mean: &[f32], b: &mut [f32]) {
        let words = self.class(class);
        let (count, classes) = (f64::from(words[0]), self.classes as f64);
        for (at, (b, mean)) in b.iter_mut().zip(mean).enumerate() {
            let own = f64::from(words[1 + at]) / count;
            *b = ((own - f64::from(*mean)) / classes) as f32;
        }
    }

    /// Least and greatest score of the mean of a class, twice as far from zero: room for single examples.
    fn range(&self, weights: &[f32]) -> [f32; 2] {
        let mut range = [0.0f32; 2];
        let dimensions = self.projection.dimensions();
        for class in 0..self.classes {
            let words = self.class(class);
            let share = 1.0 / words[0] as f32;
            for row in weights.chunks_exact(dimensions + 1) {
                let sums = row.iter().zip(&words[1..][..dimensions]);
                let score: f32 = sums
                    .map(|(weight, &sum)| weight * (sum as f32 * share))
                    .sum();
                let score = 2.0 * (score + row[dimensions]);
                range = [range[0].min(score), range[1].max(score)];
            }
        }
        range
    }

    fn class_words(&self) -> usize {
        class_words(self.projection.dimensions())
    }

    fn class(&self, class: usize) -> &[i32] {
        let length = self.class_words();
        &self.words[class * length..][..length]
    }

    fn class_mut(&mut self, class: usize) -> &mut [i32] {
        let length = self.class_words();
        &mut self.words[class * length..][..length]
    }

    /// The embedding, and the sums of a class.
    fn split(&mut self, class: usize) -> (&[i32], Sums<'_>) {
        let dimensions = self.projection.dimensions();
        let length = class_words(dimensions);
        let words = &mut self.words[class * length..][..length];
        (self.x, Sums::of(words, dimensions))
    }

    fn check_class(&self, class: usize) -> Result<(), LearnError> {
        match class < self.classes {
            true => Ok(()),
            false => Err(LearnError::NoSuchClass {
                found: class,
                classes: self.classes,
            }),
        }
    }
}

/// The first numbers of a buffer.
fn part<'w>(
    buffer: &'w mut [f32],
    expected: usize,
    what: &'static str,
) -> Result<&'w mut [f32], LearnError> {
    let found = buffer.len();
    buffer.get_mut(..expected).ok_or(LearnError::Memory {
        what,
        found,
        expected,
    })
}
