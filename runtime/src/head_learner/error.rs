//! The errors of heads that learn.

/// The reason why a head learner refuses. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// A backbone that ends in something else, or that is all head.
    #[error("the backbone has no head behind an embedding")]
    NoHead,
    /// No way from an embedding to integers.
    #[error("{inputs} values in {dimensions} dimensions of unit {unit}")]
    Projection {
        /// Values of an embedding.
        inputs: usize,
        /// Dimensions.
        dimensions: usize,
        /// The number that an integer of 1 stands for.
        unit: f32,
    },
    /// Too little memory.
    #[error("memory for {found} {what}, expected {expected}")]
    Memory {
        /// The purpose of the memory.
        what: &'static str,
        /// The number that there is room for.
        found: usize,
        /// The number that is needed.
        expected: usize,
    },
    /// An embedding of another length.
    #[error("an embedding of {found} values, expected {expected}")]
    Length {
        /// Values given.
        found: usize,
        /// Values of the projection.
        expected: usize,
    },
    /// An embedding in other units than those before.
    #[error("an embedding in units of {found}, the sums are in {expected}")]
    Unit {
        /// Of the embedding.
        found: f32,
        /// Of the sums.
        expected: f32,
    },
    /// A class that was never seen, nor is the next new one.
    #[error("class {found}, there are {classes}")]
    NoSuchClass {
        /// The class.
        found: usize,
        /// The number of classes.
        classes: usize,
    },
    /// More classes than there is memory for.
    #[error("there is memory for {capacity} classes")]
    Classes {
        /// Most classes.
        capacity: usize,
    },
    /// A sum would overflow.
    #[error("class {class} has as many examples as its sums can hold")]
    Full {
        /// The class.
        class: usize,
    },
    /// What should be taken away was not added.
    #[error("class {class} has no such example")]
    NotAnExample {
        /// The class.
        class: usize,
    },
    /// A head of nothing to tell apart.
    #[error("examples of {found} classes, a head tells at least 2 apart")]
    TooFewClasses {
        /// The number of classes.
        found: usize,
    },
    /// A class whose examples were all taken away.
    #[error("class {class} has no example")]
    Empty {
        /// The class.
        class: usize,
    },
    /// A recipe that makes no head.
    #[error("{problem}")]
    Recipe {
        /// The problem.
        problem: &'static str,
    },
}

impl LearnError {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoHead => "give a backbone of several layers that ends in a fully connected one",
            Self::Projection { .. } => {
                "give 1 to 8192 dimensions, not more than an embedding has values, and a unit from 1e-12 to 1e12"
            }
            Self::Memory { .. } => "give more memory, fewer dimensions or fewer classes",
            Self::Length { .. } | Self::Unit { .. } => {
                "give embeddings of the backbone that the sums are of"
            }
            Self::NoSuchClass { .. } => {
                "classes are numbered from 0 in the order of their first examples"
            }
            Self::Classes { .. } => "forget a class first, or give memory for more",
            Self::Full { .. } => "learn from fewer examples, or in more dimensions",
            Self::NotAnExample { .. } => "give an example that was added, with its own class",
            Self::TooFewClasses { .. } => "give examples of another class",
            Self::Empty { .. } => "give it an example, or forget the class",
            Self::Recipe { .. } => {
                "give 1 to 6 steps of finite numbers, a lambda and a confidence above zero"
            }
        }
    }
}
