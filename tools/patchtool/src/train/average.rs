//! Averages of a trajectory: better values than the last ones, at a learning rate that never falls.
//!
//! At a constant rate the values go around the best ones at a distance that the rate decides; an average lies closer to
//! them, as if the rate were smaller (Sandler et al. 2023, "Training trajectories, mini-batch losses and the curious role
//! of the learning rate").

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The rule by which a trajectory is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// The mean of the values now and of those at least this many steps before: as many exactly after each multiple of
    /// them, and less than twice as many in between. The first are those of this step, so that up to it there is no
    /// average, and up to twice as many steps a closer one.
    TwoPoint(NonZeroU64),
    /// A mean that forgets: this share of it stays at each step. It starts without a trace of the first values.
    Ema(f32),
    /// A mean over the last half to three quarters of all steps (stochastic weight averaging, Izmailov et al. 2018, whose
    /// start moves along with the run).
    Swa,
}

/// Text that is no [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Another name.
    #[error("no average is called {0:?}: expected two-point:STEPS, ema:DECAY or swa")]
    Unknown(String),
    /// Steps that are no whole number above zero.
    #[error(
        "two points are a whole number of steps apart, above zero, as two-point:200, found {0:?}"
    )]
    Steps(String),
    /// A decay that is none.
    #[error("a decay is above 0 and below 1, as ema:0.99, found {0:?}")]
    Decay(String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "two-point" => value
                .parse()
                .map(Self::TwoPoint)
                .map_err(|_| RuleError::Steps(value.into())),
            "ema" => match value.parse() {
                Ok(decay) if 0.0 < decay && decay < 1.0 => Ok(Self::Ema(decay)),
                Ok(_) | Err(_) => Err(RuleError::Decay(value.into())),
            },
            "swa" if text == name => Ok(Self::Swa),
            _ => Err(RuleError::Unknown(text.into())),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoPoint(steps) => write!(f, "two-point:{steps}"),
            Self::Ema(decay) => write!(f, "ema:{decay}"),
            Self::Swa => f.write_str("swa"),
        }
    }
}

/// The average of a trajectory so far, in one copy of the values (EMA) or two (the others).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Average {
    rule: Rule,
    /// Steps so far.
    steps: u64,
    /// Two points: the values of the last two multiples of its steps. SWA: the means over the steps from one power of two to the
    /// next, of the last two such. The newer comes first.
    copies: Vec<Vec<f32>>,
}

impl Average {
    /// An average of no steps yet, of `count` values.
    pub fn new(rule: Rule, count: usize) -> Self {
        let copies = match rule {
            Rule::Ema(_) => 1,
            Rule::TwoPoint(_) | Rule::Swa => 2,
        };
        Self {
            rule,
            steps: 0,
            copies: vec![vec![0.0; count]; copies],
        }
    }

    /// Memory of the copies, in bytes.
    pub fn bytes(&self) -> usize {
        self.copies.iter().map(|copy| size_of_val(&copy[..])).sum()
    }

    /// Takes the values after a step.
    ///
    /// # Panics
    /// If they are not as many as [`Self::new`] was told.
    pub fn add(&mut self, values: &[f32]) {
        self.steps += 1;
        match self.rule {
            Rule::TwoPoint(apart) => {
                if self.steps.is_multiple_of(apart.get()) {
                    self.copies.swap(0, 1);
                    self.copies[0].copy_from_slice(values);
                }
            }
            Rule::Ema(decay) => {
                let decay = f64::from(decay);
                // The weight of the newest among all so far, which sum to 1.
                let share = (1.0 - decay) / (1.0 - decay.powf(self.steps as f64));
                mix(&mut self.copies[0], values, share as f32);
            }
            Rule::Swa => {
                if self.steps.is_power_of_two() {
                    self.copies.swap(0, 1);
                }
                let [count, _] = self.counts();
                mix(&mut self.copies[0], values, 1.0 / count as f32);
            }
        }
    }

    /// The average, given the values after the last step.
    pub fn of(&self, values: &[f32]) -> Vec<f32> {
        let (other, share) = match self.rule {
            Rule::TwoPoint(apart) => match self.steps / apart {
                0 => return values.to_vec(),
                1 => (&self.copies[0], 0.5),
                _ => (&self.copies[1], 0.5),
            },
            Rule::Ema(_) if self.steps > 0 => return self.copies[0].clone(),
            Rule::Swa if self.steps > 0 => {
                let [newer, older] = self.counts();
                let mut mean = self.copies[0].clone();
                mix(
                    &mut mean,
                    &self.copies[1],
                    older as f32 / (newer + older) as f32,
                );
                return mean;
            }
            Rule::Ema(_) | Rule::Swa => return values.to_vec(),
        };
        let mut mean = values.to_vec();
        mix(&mut mean, other, share);
        mean
    }

    /// Steps in each of the two means of SWA: since the last power of two, and between it and the one before.
    fn counts(&self) -> [u64; 2] {
        let start = 1 << self.steps.ilog2();
        [self.steps - start + 1, start / 2]
    }
}

/// Moves `mean` towards `values` by this share of the way.
fn mix(mean: &mut [f32], values: &[f32], share: f32) {
    assert_eq!(mean.len(), values.len(), "as many values as at the start");
    for (mean, &value) in mean.iter_mut().zip(values) {
        *mean = *mean * (1.0 - share) + value * share;
    }
}

#[cfg(test)]
mod tests;
