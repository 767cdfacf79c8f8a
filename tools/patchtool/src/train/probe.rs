//! Losses of fixed mini-batches along the path of a training and along the direction of one step (Sandler et al. 2023,
//! "Training trajectories, mini-batch losses and the curious role of the learning rate"): how close to a quadratic they are, and
//! what one long step leaves of them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::learner::Learner;

mod picture;
mod quadratic;

pub use picture::draw;
use quadratic::r2;

/// Mini-batches that are probed.
pub const BATCHES: usize = 4;
/// Parts of an epoch between two points of the path.
const PARTS: usize = 16;
/// Points along the direction of a step.
const ALONG: usize = 9;
/// Steps are tried up to this many times twice as long, or half as long.
const DOUBLINGS: i32 = 24;

/// A mini-batch: inputs and classes.
pub type Batch = (Vec<f32>, Vec<usize>);

/// What was probed so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Points of the path.
    points: Vec<Point>,
    /// After each epoch, the direction of a step for each mini-batch.
    lines: Vec<Vec<Line>>,
    /// The values at the last point.
    last: Vec<f32>,
}

/// A point of the path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Point {
    /// Steps before it.
    step: usize,
    /// Epoch that it ends or is in, counted from 0.
    epoch: usize,
    /// Distance travelled, from point to point.
    distance: f64,
    /// Loss of each mini-batch.
    losses: Vec<f64>,
}

/// The loss of a mini-batch along the direction of its own gradient step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Line {
    /// The loss before the step.
    before: f64,
    /// The lowest loss along it.
    after: f64,
    /// The learning rate that reaches it.
    rate: f64,
    /// Losses at [`ALONG`] rates from 0 to twice that, evenly.
    losses: Vec<f64>,
}

impl Probe {
    /// Notes the losses after so many steps of an epoch of `in_epoch`, where a point of the path is due. Neither this nor
    /// [`Self::end_epoch`] changes the training.
    pub fn step(
        &mut self,
        learner: &mut Learner,
        batches: &[Batch],
        (epoch, step, in_epoch): (usize, usize, usize),
    ) {
        let is_first = self.points.is_empty();
        let is_due = step.is_multiple_of(in_epoch.div_ceil(PARTS)) && step > 0;
        if !(is_first || is_due || step == in_epoch) {
            return;
        }
        // The end of an epoch is the start of the next one, where a run is resumed.
        let step = epoch * in_epoch + step;
        if self.points.last().is_some_and(|point| point.step == step) {
            return;
        }
        let values = learner.values();
        let travelled = values.iter().zip(&self.last);
        let travelled: f64 = travelled.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let before = self.points.last().map_or(0.0, |point| point.distance);
        self.last = values;
        self.points.push(Point {
            step,
            epoch,
            distance: before + travelled.sqrt(),
            losses: batches
                .iter()
                .map(|(inputs, classes)| learner.loss(inputs, classes))
                .collect(),
        });
    }

    /// Notes the losses along the direction of a step, after an epoch that ended at this learning rate.
    pub fn end_epoch(&mut self, learner: &mut Learner, batches: &[Batch], rate: f32) {
        let lines = batches.iter().map(|batch| line(learner, batch, rate));
        self.lines.push(lines.collect());
    }

    /// Its figures: everything, and medians over mini-batches and epochs.
    pub fn json(&self) -> Value {
        let lines = |lines: &Vec<Line>| -> Vec<Value> {
            let one = |line: &Line| {
                json!({
                    "before": line.before, "after": line.after, "rate": line.rate,
                    "losses": line.losses, "r2": line.r2(),
                })
            };
            lines.iter().map(one).collect()
        };
        json!({
            "path_r2": self.path_r2(),
            "step_r2": self.step_r2(),
            "after_long_step": self.after_long_step(),
            "points": self.points.iter().map(|point| json!({
                "step": point.step, "epoch": point.epoch + 1, "distance": point.distance,
                "losses": point.losses,
            })).collect::<Vec<_>>(),
            "steps": self.lines.iter().map(lines).collect::<Vec<_>>(),
        })
    }

    /// In words.
    pub fn text(&self) -> String {
        let number =
            |value: Option<f64>| value.map_or("none".into(), |value| format!("{value:.3}"));
        format!(
            "probe: a quadratic fits the losses of {BATCHES} mini-batches with R2 {} along the path of an epoch and {} along the \
             direction of a step (medians); one long step leaves {} of their loss\n",
            number(self.path_r2()),
            number(self.step_r2()),
            number(self.after_long_step()),
        )
    }

    /// Median R2 of a quadratic in the distance travelled, over the points of each epoch.
    fn path_r2(&self) -> Option<f64> {
        let epochs = self.points.last().map_or(0, |point| point.epoch + 1);
        let of_one = |(epoch, batch): (usize, usize)| {
            // It begins where the one before ends.
            let first = self.points.iter().position(|point| point.epoch == epoch)?;
            let first = first.saturating_sub(usize::from(epoch > 0));
            let points = self.points[first..].iter();
            let points: Vec<(f64, f64)> = points
                .take_while(|point| point.epoch <= epoch)
                .map(|point| (point.distance, point.losses[batch]))
                .collect();
            r2(&points)
        };
        let all = (0..epochs).flat_map(|epoch| (0..BATCHES).map(move |batch| (epoch, batch)));
        median(all.filter_map(of_one).collect())
    }

    fn step_r2(&self) -> Option<f64> {
        median(self.lines.iter().flatten().filter_map(Line::r2).collect())
    }

    /// Median share of the loss that the best length of one step leaves.
    fn after_long_step(&self) -> Option<f64> {
        let lines = self.lines.iter().flatten();
        let lines = lines.filter(|line| line.before > 0.0);
        median(lines.map(|line| line.after / line.before).collect())
    }
}

impl Line {
    fn r2(&self) -> Option<f64> {
        let points = self.losses.iter().enumerate();
        let points: Vec<(f64, f64)> = points.map(|(at, &loss)| (at as f64, loss)).collect();
        r2(&points)
    }
}

/// The losses of a batch along the direction of its step, around the rate that suits it best.
fn line(learner: &mut Learner, (inputs, classes): &Batch, rate: f32) -> Line {
    let start = learner.values();
    let (before, direction) = learner.direction(inputs, classes);
    let mut loss_at = |rate: f64| {
        let moved = start.iter().zip(&direction);
        let moved: Vec<f32> = moved
            .map(|(value, along)| (f64::from(*value) - rate * f64::from(*along)) as f32)
            .collect();
        learner.set_values(&moved);
        let loss = learner.loss(inputs, classes);
        // Too far.
        if loss.is_finite() {
            loss
        } else {
            f64::INFINITY
        }
    };
    // Longer as long as that is better, or shorter.
    let mut best = (f64::from(rate), loss_at(f64::from(rate)));
    let factor: f64 = if best.1 < before { 2.0 } else { 0.5 };
    for power in 1..=DOUBLINGS {
        let next = f64::from(rate) * factor.powi(power);
        let loss = loss_at(next);
        if loss < best.1 {
            best = (next, loss);
        } else if best.1 < before {
            break;
        }
    }
    let share = 2.0 * best.0 / (ALONG - 1) as f64;
    let losses: Vec<f64> = (0..ALONG).map(|at| loss_at(share * at as f64)).collect();
    learner.set_values(&start);
    let (at, after) = losses
        .iter()
        .copied()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, before));
    Line {
        before,
        after,
        rate: share * at as f64,
        losses,
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => Some(values[middle]),
        _ => Some(0.5 * (values.get(middle.checked_sub(1)?)? + values.get(middle)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_none_some_and_more() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn an_epoch_begins_where_the_one_before_ends() {
        // Losses are a quadratic in the distance within each epoch, and not over both.
        let point = |step: usize, epoch, loss: f64| Point {
            step,
            epoch,
            distance: step as f64,
            losses: vec![loss; BATCHES],
        };
        let falling = (0..=8).map(|at| point(at, 0, (8.0 - at as f64).powi(2)));
        let rising = (9..=16).map(|at| point(at, 1, 50.0 * (at as f64 - 8.0)));
        let probe = Probe {
            points: falling.chain(rising).collect(),
            ..Probe::default()
        };
        assert!((probe.path_r2().unwrap() - 1.0).abs() < 1e-9);
    }
}
