//! The best scores of an image, as `run` prints them.

use serde_json::{Value, json};

/// The best scores of an image, best first; of equal ones the first.
pub(super) struct Ranking {
    /// Label, index and score.
    top: Vec<(String, usize, f32)>,
}

impl Ranking {
    /// So many of the best scores.
    pub(super) fn new(scores: &[f32], count: usize, label: impl Fn(usize) -> String) -> Self {
        let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(count);
        let labelled = ranked
            .into_iter()
            .map(|(index, score)| (label(index), index, score));
        Self {
            top: labelled.collect(),
        }
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let labels: Vec<String> = self
            .top
            .iter()
            .map(|(label, _, score)| format!("{label} {score:.2}"))
            .collect();
        labels.join(", ")
    }

    /// For scripts: the result of one image and patch.
    pub(super) fn json(&self, image: &str, patch: &str) -> Value {
        let top: Vec<Value> = self
            .top
            .iter()
            .map(|(label, index, score)| json!({ "label": label, "index": index, "score": score }))
            .collect();
        json!({ "image": image, "patch": patch, "top": top })
    }
}
