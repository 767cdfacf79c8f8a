//! Fingerprint of a training run: all that decides its outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Named values, such as the seed and the digest of the data: two runs with the same ones end the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(Vec<(String, String)>);

/// A value that two runs do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// The value before; `None` where there was none.
    pub before: Option<String>,
    /// The value now; `None` where there is none.
    pub now: Option<String>,
}

impl Fingerprint {
    /// With one more value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// The differences between `self` and `now`, in the order of `self` and then of `now`.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let new = now.0.iter().filter(|(name, _)| self.get(name).is_none());
        self.0
            .iter()
            .chain(new)
            .map(|(name, _)| Difference {
                name: name.clone(),
                before: self.get(name).map(str::to_owned),
                now: now.get(name).map(str::to_owned),
            })
            .filter(|difference| difference.before != difference.now)
            .collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Difference {
    /// `seed was 1, now 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".into());
        let (before, now) = (known(&self.before), known(&self.now));
        write!(f, "{} was {before}, now {now}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let before = Fingerprint::default()
            .with("seed", 1)
            .with("lr", 0.1)
            .with("old", "x");
        let now = Fingerprint::default()
            .with("new", "y")
            .with("lr", 0.1)
            .with("seed", 2);
        let words: Vec<String> = before
            .differences(&now)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = [
            "seed was 1, now 2",
            "old was x, now not known",
            "new was not known, now y",
        ];
        assert_eq!(words, expected);
        assert_eq!(before.differences(&before), []);
    }
}
