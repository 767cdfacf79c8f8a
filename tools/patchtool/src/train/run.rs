//! A training run: epochs of steps, each validated, the best one kept and tested once, a checkpoint to go on from.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use graft_data::left_out::LeftOut;
use graft_data::output;
use graft_runtime::Backbone;

use super::average::{Average, Rule};
use super::checkpoint::{Best, Checkpoint, CheckpointError, Totals};
use super::evaluate::Evaluation;
use super::examples::{Examples, Shared};
use super::fingerprint::Fingerprint;
use super::history::{Epoch, Score};
use super::learner::{Learner, StateError};
use super::plan::Plan;
use super::probe::{self, Batch, Probe};
use super::progress::Progress;
use super::sparse_updates::SparseUpdates;
use crate::sparse::Tensor;
use crate::trained::{Metrics, Trained, TrainedError};
use crate::watch::Stopped;

/// Training images that statistics are measured on, rounded up to whole batches.
const STATISTICS_IMAGES: usize = 1024;
/// The epoch of those images, and of those that are probed: one that is never trained.
const NO_EPOCH: usize = u32::MAX as usize;

/// A training run.
pub struct Run<'a> {
    /// The backbone that is trained on.
    pub backbone: &'a Backbone,
    /// The examples that it learns from.
    pub examples: Examples,
    /// The result but for sites and metrics.
    pub template: Trained,
    /// Length and learning rate.
    pub plan: Plan,
    /// Path of the checkpoint; without one there is none.
    pub checkpoint: Option<PathBuf>,
    /// Path of the trained file that each checkpoint writes, too: what the run would end with if it ended there.
    pub anytime: Option<PathBuf>,
    /// Fingerprint that a checkpoint has to match.
    pub fingerprint: Fingerprint,
    /// When it was started: before the images were decoded.
    pub started: Instant,
}

/// Result of a run.
pub struct Outcome {
    /// The best epoch's values.
    pub trained: Trained,
    /// Of the epoch that is kept, on the test images; on the validation images where there was no test.
    pub evaluation: Option<Evaluation>,
    /// Every epoch.
    pub history: Vec<Epoch>,
    /// Steps that were made.
    pub steps: usize,
    /// Time of a step, median, in milliseconds.
    pub step_ms: f32,
    /// Files of the data that are in no set.
    pub left_out: LeftOut,
    /// Images that are in more than one set.
    pub shared: Shared,
    /// Whether it ended because the values became unusable.
    pub diverged: bool,
    /// The rule of the average, where there was one, and its memory in bytes.
    pub average: Option<(Rule, usize)>,
    /// What sparse updates took from each parameter, where there were some.
    pub sparse: Option<Vec<Tensor>>,
    /// What was probed, if something was.
    pub probe: Option<Probe>,
}

/// Reasons why a run ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is no number any more.
    #[error("training diverged in epoch {epoch}: the loss is {loss}")]
    Diverged {
        /// Counted from 1.
        epoch: usize,
        /// Of a batch.
        loss: f64,
    },
    /// A checkpoint that cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of another network.
    #[error(transparent)]
    State(#[from] StateError),
    /// Values that cannot be compiled.
    #[error(transparent)]
    Trained(#[from] TrainedError),
    /// The runtime refused.
    #[error(transparent)]
    Runtime(#[from] graft_runtime::Error),
    /// Nothing is left where the last layer is trained.
    #[error("the backbone is a single layer: it has no features for a new head")]
    OnlyAHead,
    /// It was stopped: what its last checkpoint has can be gone on from.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// No thread to prepare images.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl TrainError {
    /// Whether the values became unusable, which is no fault of the machine's.
    pub(super) fn is_of_values(&self) -> bool {
        matches!(self, Self::Diverged { .. } | Self::Trained(_))
    }

    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Diverged { .. } => "try a smaller --lr or a longer --warmup, with --force",
            Self::Checkpoint(error) => error.hint(),
            Self::Trained(error) => error.hint(),
            Self::State(_) => "train again without --resume",
            Self::OnlyAHead => "import a network that ends in a linear layer on features",
            Self::Runtime(error) => error.hint(),
            Self::Stopped(_) => "go on with --resume",
            Self::Thread(_) => "end other programs, or use fewer --threads",
        }
    }
}

impl Run<'_> {
    /// Trains a network from the start or from a checkpoint.
    ///
    /// Must not be called from a thread of rayon's global pool.
    ///
    /// # Errors
    /// See [`TrainError`]; a checkpoint of before is kept.
    pub fn train(
        self,
        mut learner: Learner,
        resumed: Option<Checkpoint>,
        progress: &Progress,
    ) -> Result<Outcome, TrainError> {
        let mut at = match resumed {
            Some(mut checkpoint) => {
                learner.restore(std::mem::take(&mut checkpoint.learner))?;
                checkpoint
            }
            None => self.start(&mut learner)?,
        };
        // A run that was not probed from the start is from here on.
        let probe = at.probe.take().unwrap_or_default();
        at.probe = self.plan.is_probed.then_some(probe);
        let fixed = self.fixed_batches()?;
        let before = at.seconds;
        let mut diverged = false;
        while at.epoch < self.plan.epochs && !self.plan.is_stale(&at.history) {
            match self.epoch(&mut learner, &mut at, &fixed, before, progress) {
                // What was good is not lost to a step that went too far.
                Err(error) if error.is_of_values() && at.best.is_some() => {
                    let hint = error.hint();
                    tracing::warn!("{error}: the best epoch before is kept ({hint})");
                    diverged = true;
                    break;
                }
                result => result?,
            }
        }
        progress.finish();
        let trained = self.best(&mut learner, &at)?;
        Ok(Outcome {
            diverged,
            ..self.outcome((self.backbone, trained), &mut learner, at, before)?
        })
    }

    /// A run before its first step, once it is known that there is room for its checkpoints.
    fn start(&self, learner: &mut Learner) -> Result<Checkpoint, TrainError> {
        let count = learner.values().len();
        let start = Checkpoint {
            fingerprint: self.fingerprint.clone(),
            average: self.plan.average.map(|rule| Average::new(rule, count)),
            sparse: self
                .plan
                .sparse
                .map(|(rule, every)| SparseUpdates::new(rule, every, &learner.parameters())),
            ..Checkpoint::default()
        };
        if let Some(path) = &self.checkpoint {
            let saved = Checkpoint {
                learner: learner.state(),
                ..start.clone()
            };
            saved.rehearse(path)?;
        }
        Ok(start)
    }

    fn epoch(
        &self,
        learner: &mut Learner,
        at: &mut Checkpoint,
        fixed: &[Batch],
        before: f64,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let plan = &self.plan;
        let in_epoch = self.examples.steps(plan.batch);
        let schedule = plan.schedule(in_epoch);
        let epoch = at.epoch;
        let probe = |learner: &mut Learner, at: &mut Checkpoint| {
            if let Some(probe) = &mut at.probe {
                probe.step(learner, fixed, (epoch, at.step, in_epoch));
            }
        };
        probe(learner, at);
        let mut saved = Instant::now();
        let mut start = Instant::now();
        self.examples.for_each(
            (plan.seed, epoch),
            (plan.batch, at.step..in_epoch),
            |inputs, classes| {
                let rate = schedule.rate(epoch * in_epoch + at.step);
                self.step(learner, at, (rate, start), (inputs, classes))?;
                let told = progress.step(epoch, &at.so_far);
                probe(learner, at);
                if told.is_err() || saved.elapsed() >= plan.checkpoint_every {
                    self.save(learner, at, before)?;
                    saved = Instant::now();
                }
                told?;
                start = Instant::now();
                Ok(())
            },
        )?;
        if let Some(probe) = &mut at.probe {
            let rate = schedule.rate((epoch + 1) * in_epoch - 1);
            probe.end_epoch(learner, fixed, rate);
        }
        self.finish_epoch(learner, at, before, progress)
    }

    /// A step on these inputs and classes, whose batch was waited for since `start`.
    pub(super) fn step(
        &self,
        learner: &mut Learner,
        at: &mut Checkpoint,
        (rate, start): (f32, Instant),
        (inputs, classes): (&[f32], &[usize]),
    ) -> Result<(), TrainError> {
        let step = Instant::now();
        let loss = learner.step(rate, inputs, classes);
        at.step_ms.push(step.elapsed().as_secs_f32() * 1e3);
        if !loss.mean.is_finite() {
            return Err(TrainError::Diverged {
                epoch: at.epoch + 1,
                loss: loss.mean,
            });
        }
        if let Some(sparse) = &mut at.sparse {
            sparse.step(&mut learner.parameters());
        }
        if let Some(average) = &mut at.average {
            average.add(&learner.values());
        }
        at.step += 1;
        at.so_far.images += classes.len();
        at.so_far.loss += loss.mean * classes.len() as f64;
        at.so_far.correct += loss.correct;
        at.so_far.seconds += start.elapsed().as_secs_f64();
        Ok(())
    }

    fn finish_epoch(
        &self,
        learner: &mut Learner,
        at: &mut Checkpoint,
        before: f64,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        progress.validation(at.epoch);
        let now = self.candidate(learner, at)?;
        let (epoch, validation) = (at.epoch, now.validation);
        let best = at.best.as_ref().and_then(|best| best.validation);
        let is_best = is_better(validation, best);
        let measured = end_epoch(at, now, is_best);
        let told = progress.epoch(epoch, &measured, is_best && validation.is_some());
        self.save(learner, at, before)?;
        Ok(told?)
    }

    /// What would be kept of an epoch that ends here, with its score.
    pub(super) fn candidate(
        &self,
        learner: &mut Learner,
        at: &Checkpoint,
    ) -> Result<Best, TrainError> {
        let (mut trained, validation) = self.kept(learner, at, |learner, trained| {
            self.examples.validate(self.backbone, learner, trained)
        })?;
        trained.metrics.best_epoch = at.epoch as u32 + 1;
        trained.metrics.validation_accuracy = validation.map(|score| score.accuracy as f32);
        trained.metrics.validation_loss = validation.map(|score| score.loss as f32);
        Ok(Best {
            epoch: at.epoch,
            validation,
            trained: trained.to_bytes(&self.backbone.image())?,
        })
    }

    /// What is kept of the values, and what `use_them` says of it: their average, if there is to be one, and an unfinished
    /// update made sparse as if it ended here. The learner has it only for as long.
    fn kept<T>(
        &self,
        learner: &mut Learner,
        at: &Checkpoint,
        use_them: impl FnOnce(&mut Learner, &Trained) -> Result<T, TrainError>,
    ) -> Result<(Trained, T), TrainError> {
        let trained = |learner: &Learner| Trained {
            sites: learner.trained(),
            ..self.template.clone()
        };
        if at.average.is_none() && at.sparse.is_none() {
            let trained = trained(learner);
            let used = use_them(learner, &trained)?;
            return Ok((trained, used));
        }
        let own = learner.state();
        if let Some(average) = &at.average {
            let averaged = average.of(&learner.values());
            learner.set_values(&averaged);
        }
        if let Some(sparse) = &at.sparse {
            sparse.reset(&mut learner.parameters());
        }
        let used = self.measure_statistics(learner).and_then(|()| {
            let trained = trained(learner);
            let used = use_them(learner, &trained)?;
            Ok((trained, used))
        });
        learner.restore(own)?;
        used
    }

    /// The mini-batches to probe with, of training images that are augmented as in training; none without a probe.
    fn fixed_batches(&self) -> Result<Vec<Batch>, TrainError> {
        let Plan { batch, seed, .. } = self.plan;
        let mut fixed = Vec::new();
        if self.plan.is_probed {
            let steps = (batch, 0..probe::BATCHES);
            self.examples
                .for_each((seed, NO_EPOCH), steps, |inputs, classes| {
                    fixed.push((inputs.to_vec(), classes.to_vec()));
                    Ok(())
                })?;
        }
        Ok(fixed)
    }

    /// Measures the statistics of batch norms that belong to the learner's values, on the same training images each time.
    fn measure_statistics(&self, learner: &mut Learner) -> Result<(), TrainError> {
        if !learner.measures_statistics() {
            return Ok(());
        }
        let Plan { batch, seed, .. } = self.plan;
        let steps = STATISTICS_IMAGES.div_ceil(batch);
        let mut batches = 0.0;
        self.examples
            .for_each((seed, NO_EPOCH), (batch, 0..steps), |inputs, _| {
                batches += 1.0;
                learner.measure_statistics(inputs, 1.0 / batches);
                Ok(())
            })
    }

    /// Writes the checkpoint, if there is to be one, and the trained file of now.
    fn save(
        &self,
        learner: &mut Learner,
        at: &mut Checkpoint,
        before: f64,
    ) -> Result<(), TrainError> {
        if let Some(path) = &self.checkpoint {
            at.learner = learner.state();
            at.seconds = before + self.started.elapsed().as_secs_f64();
            at.save(path)?;
        }
        if let Some(path) = &self.anytime {
            let trained = match &at.best {
                Some(best) => best.trained.clone(),
                None => {
                    let (trained, ()) = self.kept(learner, at, |_, _| Ok(()))?;
                    trained.to_bytes(&self.backbone.image())?
                }
            };
            output::replace(path, |file| file.write_all(&trained))
                .map_err(CheckpointError::Save)?;
        }
        Ok(())
    }

    /// The values to keep.
    pub(super) fn best(
        &self,
        learner: &mut Learner,
        at: &Checkpoint,
    ) -> Result<Trained, TrainError> {
        Ok(match &at.best {
            Some(best) => Trained::from_bytes(&best.trained)?,
            None => self.kept(learner, at, |_, _| Ok(()))?.0,
        })
    }

    /// The end of a run that keeps these values of a backbone.
    pub(super) fn outcome(
        &self,
        (backbone, mut trained): (&Backbone, Trained),
        learner: &mut Learner,
        mut at: Checkpoint,
        before: f64,
    ) -> Result<Outcome, TrainError> {
        let temperature = self.examples.temperature(backbone, &trained)?;
        let evaluation = self.examples.test(backbone, &trained)?;
        let test = evaluation.as_ref().filter(|_| self.examples.test.is_some());
        trained.metrics = Metrics {
            epochs: at.history.len() as u32,
            temperature,
            test_accuracy: test.map_or(0.0, |test| test.score.accuracy as f32),
            trainable_params: learner.trainable() as u64,
            seconds: before + self.started.elapsed().as_secs_f64(),
            ..trained.metrics
        };
        at.step_ms.sort_by(f32::total_cmp);
        Ok(Outcome {
            trained,
            evaluation,
            left_out: self.examples.left_out.clone(),
            shared: self.examples.shared,
            diverged: false,
            average: self
                .plan
                .average
                .zip(at.average.as_ref().map(Average::bytes)),
            sparse: at.sparse.map(|sparse| sparse.lost(&learner.parameters())),
            probe: at.probe,
            history: at.history,
            steps: at.step_ms.len(),
            step_ms: at
                .step_ms
                .get(at.step_ms.len() / 2)
                .copied()
                .unwrap_or_default(),
        })
    }
}

/// Whether an epoch of this score is kept in place of one of the other: also where nothing says which is better.
pub(super) fn is_better(now: Option<Score>, best: Option<Score>) -> bool {
    match (now, best) {
        (Some(now), Some(best)) => now.is_better_than(&best),
        _ => true,
    }
}

/// Notes the end of an epoch, which is kept if it is the best so far.
pub(super) fn end_epoch(at: &mut Checkpoint, now: Best, is_best: bool) -> Epoch {
    let Totals {
        images,
        loss,
        correct,
        seconds,
    } = std::mem::take(&mut at.so_far);
    let images = images.max(1) as f64;
    let measured = Epoch {
        train: Score {
            loss: loss / images,
            accuracy: correct as f64 / images,
        },
        validation: now.validation,
        seconds,
    };
    if is_best {
        at.best = Some(now);
    }
    at.history.push(measured);
    at.epoch += 1;
    at.step = 0;
    measured
}
