//! Sparse updates: of the difference of some values to where they came from, the largest are kept or dropped, and the rest is
//! reset (Sun et al. 2024, "Learning and unlearning of fabricated knowledge in language models"; dropping the largest: Sun et
//! al. 2025, "How new data permeates LLM knowledge and how to dilute it").

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::report::Table;

/// The part of a difference that is kept. Shares are of the number of values of a tensor, rounded to the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// This share, with the largest magnitudes.
    KeepTop(Share),
    /// All but this share, with the largest magnitudes.
    DropTop(Share),
}

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share(f64);

/// Text that is no [`Rule`] or no [`Share`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Another name.
    #[error("no sparse update is called {0:?}: expected keep-top:SHARE or drop-top:SHARE")]
    Unknown(String),
    /// A number that is no share.
    #[error("a share is above 0 and below 1, as 0.1, found {0:?}")]
    Share(String),
}

impl FromStr for Share {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        match text.parse() {
            Ok(share) if 0.0 < share && share < 1.0 => Ok(Self(share)),
            Ok(_) | Err(_) => Err(RuleError::Share(text.into())),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (name, share) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "keep-top" => share.parse().map(Self::KeepTop),
            "drop-top" => share.parse().map(Self::DropTop),
            _ => Err(RuleError::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepTop(share) => write!(f, "keep-top:{share}"),
            Self::DropTop(share) => write!(f, "drop-top:{share}"),
        }
    }
}

/// What a tensor lost, once or several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Values that differed.
    pub different: u64,
    /// Values of those that were reset.
    pub reset: u64,
    /// Sum of the squares of the differences.
    squares: f64,
    /// Sum of the squares of those that were reset.
    lost: f64,
}

impl Loss {
    /// Share of the difference's norm that was reset, 0 to 1.
    pub fn share(&self) -> f64 {
        match self.squares {
            0.0 => 0.0,
            squares => (self.lost / squares).sqrt(),
        }
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.different += other.different;
        self.reset += other.reset;
        self.squares += other.squares;
        self.lost += other.lost;
    }
}

/// A tensor, and what it lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// Its site.
    pub site: usize,
    /// Its role in it: scale, bias or weights.
    pub part: &'static str,
    /// Number of its values.
    pub values: usize,
    /// What it lost.
    pub loss: Loss,
}

/// What tensors lost, for people.
pub fn table(tensors: &[Tensor]) -> Table {
    let mut table = Table::new(&["site", "part", "values", "changed", "reset", "norm lost %"]);
    for tensor in tensors {
        table.row([
            tensor.site.to_string(),
            tensor.part.to_owned(),
            tensor.values.to_string(),
            tensor.loss.different.to_string(),
            tensor.loss.reset.to_string(),
            format!("{:.1}", 100.0 * tensor.loss.share()),
        ]);
    }
    table
}

/// The same for scripts.
pub fn json(tensors: &[Tensor]) -> Vec<Value> {
    let json = |tensor: &Tensor| {
        json!({
            "site": tensor.site,
            "part": tensor.part,
            "values": tensor.values,
            "changed": tensor.loss.different,
            "reset": tensor.loss.reset,
            "norm_lost": tensor.loss.share(),
        })
    };
    tensors.iter().map(json).collect()
}

impl Rule {
    /// Resets what is not kept of `values` to `from`. The share is of `count` values: of all but padding, which is the same in
    /// both. Of equally large differences the first counts as the largest.
    ///
    /// # Panics
    /// If there are not as many of both.
    pub fn apply(self, values: &mut [f32], from: &[f32], count: usize) -> Loss {
        assert_eq!(values.len(), from.len(), "values and where they came from");
        let magnitude = |at: &usize| (f64::from(values[*at]) - f64::from(from[*at])).abs();
        let mut order: Vec<usize> = (0..values.len())
            .filter(|at| values[*at].to_bits() != from[*at].to_bits())
            .collect();
        let (Self::KeepTop(share) | Self::DropTop(share)) = self;
        let largest = ((share.0 * count as f64).round() as usize).min(order.len());
        if 0 < largest && largest < order.len() {
            let by_magnitude =
                |a: &usize, b: &usize| magnitude(b).total_cmp(&magnitude(a)).then(a.cmp(b));
            order.select_nth_unstable_by(largest, by_magnitude);
        }
        let (top, rest) = order.split_at(largest);
        let squares = |of: &[usize]| of.iter().map(|at| magnitude(at).powi(2)).sum::<f64>();
        let (kept, reset) = match self {
            Self::KeepTop(_) => (top, rest),
            Self::DropTop(_) => (rest, top),
        };
        let lost = squares(reset);
        let loss = Loss {
            different: order.len() as u64,
            reset: reset.len() as u64,
            squares: squares(kept) + lost,
            lost,
        };
        for &at in reset {
            values[at] = from[at];
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in ["keep-top:0.1", "drop-top:0.08"] {
            assert_eq!(rule(text).to_string(), text);
        }
        for text in [
            "keep-top",
            "keep-top:0",
            "drop-top:1",
            "drop-top:NaN",
            "keep-top:10%",
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains("above 0 and below 1"), "{error}");
        }
        let error = "top:0.1".parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains("keep-top:SHARE"), "{error}");
    }

    #[test]
    fn the_largest_differences_are_kept_or_dropped() {
        let from = [1.0, 2.0, 3.0, 4.0, 5.0];
        let values = [1.5, 2.0, 1.0, 4.25, 5.5];
        let applied = |text: &str| {
            let mut values = values;
            let loss = rule(text).apply(&mut values, &from, 5);
            (values, loss.reset, loss.share())
        };
        let norm = (0.25 + 4.0 + 0.0625 + 0.25_f64).sqrt();
        // Two of five: -2, and the first of two equal ones.
        let (kept, reset, share) = applied("keep-top:0.4");
        assert_eq!((kept, reset), ([1.5, 2.0, 1.0, 4.0, 5.0], 2));
        assert!((share - (0.0625 + 0.25_f64).sqrt() / norm).abs() < 1e-12);
        let (dropped, reset, share) = applied("drop-top:0.4");
        assert_eq!((dropped, reset), ([1.0, 2.0, 3.0, 4.25, 5.5], 2));
        assert!((share - 4.25_f64.sqrt() / norm).abs() < 1e-12);
        // More than differ.
        assert_eq!(applied("keep-top:0.9"), (values, 0, 0.0));
        assert_eq!(applied("drop-top:0.9"), (from, 4, 1.0));
        // Less than half a value.
        assert_eq!(applied("keep-top:0.05"), (from, 4, 1.0));
        assert_eq!(rule("keep-top:0.5").apply(&mut [], &[], 0), Loss::default());
    }

    proptest! {
        #[test]
        fn what_one_rule_resets_the_other_keeps(
            pairs in prop::collection::vec((-4i8..4, -4i8..4), 1..60),
            share in 0.01f64..0.99,
        ) {
            let from: Vec<f32> = pairs.iter().map(|&(from, _)| f32::from(from)).collect();
            let start: Vec<f32> = pairs.iter().map(|&(_, value)| f32::from(value)).collect();
            let (mut top, mut rest) = (start.clone(), start.clone());
            let kept = Rule::KeepTop(Share(share)).apply(&mut top, &from, from.len());
            let dropped = Rule::DropTop(Share(share)).apply(&mut rest, &from, from.len());
            for at in 0..from.len() {
                prop_assert_eq!(top[at] + rest[at], start[at] + from[at]);
            }
            prop_assert_eq!(kept.reset + dropped.reset, kept.different);
            let squares = kept.share().powi(2) + dropped.share().powi(2);
            prop_assert!((squares - f64::from(u8::from(kept.different > 0))).abs() < 1e-9);
            let distance = |values: &[f32]| -> Vec<f32> {
                values.iter().zip(&from).map(|(v, f)| (v - f).abs()).collect()
            };
            let smallest_kept = distance(&top).into_iter().filter(|&d| d > 0.0).fold(f32::INFINITY, f32::min);
            let largest_reset = distance(&rest).into_iter().fold(0.0, f32::max);
            prop_assert!(smallest_kept >= largest_reset);
        }
    }
}
