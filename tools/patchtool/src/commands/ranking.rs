//! The best scores of an image, as `run` prints them.

use serde_json::{Value, json};

use crate::confidence::probabilities;

/// The best scores of an image, best first; of equal ones the first.
pub(super) struct Ranking {
    top: Vec<Ranked>,
}

struct Ranked {
    label: String,
    index: usize,
    score: f32,
    /// As sure as training and temperature make it.
    probability: f64,
}

impl Ranking {
    /// So many of the best scores, of which a temperature makes probabilities.
    pub(super) fn new(
        scores: &[f32],
        count: usize,
        temperature: f32,
        label: impl Fn(usize) -> String,
    ) -> Self {
        let probabilities = probabilities(scores, temperature);
        let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(count);
        let labelled = ranked.into_iter().map(|(index, score)| Ranked {
            label: label(index),
            index,
            score,
            probability: probabilities[index],
        });
        Self {
            top: labelled.collect(),
        }
    }

    /// For people: each label, its probability, and its score in brackets.
    pub(super) fn line(&self) -> String {
        let labels: Vec<String> = self
            .top
            .iter()
            .map(|ranked| {
                let percent = 100.0 * ranked.probability;
                format!("{} {percent:.1} % ({:.2})", ranked.label, ranked.score)
            })
            .collect();
        labels.join(", ")
    }

    /// For scripts: the result of one image and patch.
    pub(super) fn json(&self, image: &str, patch: &str) -> Value {
        let top: Vec<Value> = self
            .top
            .iter()
            .map(|ranked| {
                json!({
                    "label": ranked.label,
                    "index": ranked.index,
                    "score": ranked.score,
                    "probability": ranked.probability,
                })
            })
            .collect();
        json!({ "image": image, "patch": patch, "top": top })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_the_softmax_of_all_scores() {
        let scores = [2.0, 1.0, 1000.0_f32.ln()];
        let ranking = Ranking::new(&scores, 2, 1.0, |index| format!("c{index}"));
        assert_eq!(ranking.line(), "c2 99.0 % (6.91), c0 0.7 % (2.00)");
        let json = ranking.json("a.png", "p");
        let sum = 1000.0 + 1.0_f64.exp() + 2.0_f64.exp();
        let top = json["top"][0]["probability"].as_f64().unwrap();
        assert!((top - 1000.0 / sum).abs() < 1e-6, "{top}");
    }
}
