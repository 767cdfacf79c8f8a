//! Simultaneous training of several tasks ("K for the Price of 1", Mudrakarta et al. 2019, section 3): weights that all
//! tasks share, and a patch and a head of each, learn together. Every step takes a batch of one task.

use std::path::{Path, PathBuf};
use std::time::Instant;

use graft_patches::metadata::BackboneMetadata;
use graft_patches::records::What;
use graft_runtime::Backbone;

use super::backbone::with_values;
use super::checkpoint::{self, Best, Checkpoint, CheckpointError, Totals};
use super::examples::Batch;
use super::history::{Epoch, Score};
use super::learner::Learner;
use super::progress::Progress;
use super::run::{Outcome, Run, TrainError, end_epoch, is_better};
use crate::trained::{BackboneRef, TrainKind, Trained};

const MAGIC: [u8; 8] = *b"GRAFTJNT";

/// Runs of several tasks that share weights: each trains all of the network, and has a learner that shares what it may
/// ([`Learner::sharing`]).
pub struct Joint<'a> {
    /// One a task. None has a checkpoint of its own, an average or sparse updates.
    pub runs: Vec<Run<'a>>,
    /// Steps of each task in a round.
    pub shares: Vec<usize>,
    /// Kind of the patches that come out.
    pub kind: TrainKind,
    /// Name of the backbone that comes out.
    pub name: String,
    /// Path of the checkpoint.
    pub checkpoint: PathBuf,
}

/// Result of simultaneous training.
pub struct JointOutcome {
    /// The backbone's image. Its own epilogues and head are those of the first task.
    pub backbone: Vec<u8>,
    /// Of each task, whose values are those of a patch on this backbone.
    pub tasks: Vec<Outcome>,
    /// Number of values that the tasks have trained together.
    pub shared: usize,
}

/// A task in training.
struct Task {
    learner: Learner,
    at: Checkpoint,
}

/// Reads the checkpoint at `path`, which has a part for each task.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn load(path: &Path) -> Result<Vec<Checkpoint>, CheckpointError> {
    checkpoint::load(path, MAGIC)
}

impl Joint<'_> {
    /// Trains from the start or from a checkpoint.
    ///
    /// Must not be called from a thread of rayon's global pool.
    ///
    /// # Errors
    /// See [`TrainError`]; a checkpoint of before is kept.
    pub fn train(
        self,
        learners: Vec<Learner>,
        resumed: Option<Vec<Checkpoint>>,
        progress: &Progress,
    ) -> Result<JointOutcome, TrainError> {
        let mut tasks = self.start(learners, resumed)?;
        let before = tasks[0].at.seconds;
        let plan = &self.runs[0].plan;
        let mut diverged = false;
        while tasks[0].at.epoch < plan.epochs && !plan.is_stale(&history(&tasks)) {
            match self.epoch(&mut tasks, before, progress) {
                // What was good is not lost to a step that went too far.
                Err(error) if error.is_of_values() && tasks[0].at.best.is_some() => {
                    let hint = error.hint();
                    tracing::warn!("{error}: the best epoch before is kept ({hint})");
                    diverged = true;
                    break;
                }
                result => result?,
            }
        }
        progress.finish();
        self.outcome(tasks, before, diverged)
    }

    /// The tasks before their first step, once it is known that there is room for checkpoints, or where they were stopped.
    fn start(
        &self,
        learners: Vec<Learner>,
        resumed: Option<Vec<Checkpoint>>,
    ) -> Result<Vec<Task>, TrainError> {
        let is_resumed = resumed.is_some();
        let fresh = || {
            let fingerprints = self.runs.iter().map(|run| run.fingerprint.clone());
            let fresh = fingerprints.map(|fingerprint| Checkpoint {
                fingerprint,
                ..Checkpoint::default()
            });
            fresh.collect()
        };
        let ats = resumed.unwrap_or_else(fresh);
        let tasks = learners.into_iter().zip(ats);
        let mut tasks: Vec<Task> = tasks.map(|(learner, at)| Task { learner, at }).collect();
        for Task { learner, at } in &mut tasks {
            if is_resumed {
                learner.restore(std::mem::take(&mut at.learner))?;
            } else {
                at.learner = learner.state();
            }
        }
        if !is_resumed {
            let ats: Vec<&Checkpoint> = tasks.iter().map(|task| &task.at).collect();
            checkpoint::rehearse(&self.checkpoint, MAGIC, &ats)?;
        }
        Ok(tasks)
    }

    /// The task of each step of an epoch: rounds in which each has its share of steps, until all images of each were there.
    fn order(&self) -> Vec<usize> {
        let shares = self.shares.iter().enumerate();
        let round: Vec<usize> = shares
            .flat_map(|(task, &share)| std::iter::repeat_n(task, share))
            .collect();
        round.repeat(rounds(&self.runs, &self.shares))
    }

    fn epoch(
        &self,
        tasks: &mut [Task],
        before: f64,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let order = self.order();
        let (plan, epoch) = (&self.runs[0].plan, tasks[0].at.epoch);
        let schedule = plan.schedule(order.len());
        let done: usize = tasks.iter().map(|task| task.at.step).sum();
        let mut batches = self.batches(tasks, &order)?;
        // The task whose learner has the shared values of now.
        let mut last = done.checked_sub(1).map_or(tasks.len() - 1, |at| order[at]);
        let mut saved = Instant::now();
        let mut start = Instant::now();
        for (step, &task) in order.iter().enumerate().skip(done) {
            hand_over(tasks, &mut last, task);
            let batch = batches[task].next()?;
            let rate = schedule.rate(epoch * order.len() + step);
            let Task { learner, at } = &mut tasks[task];
            let examples = (batch.inputs(), batch.classes());
            self.runs[task].step(learner, at, (rate, start), examples)?;
            let told = progress.step(epoch, &totals(tasks));
            if told.is_err() || saved.elapsed() >= plan.checkpoint_every {
                self.save(tasks, before)?;
                saved = Instant::now();
            }
            told?;
            start = Instant::now();
        }
        (0..tasks.len()).for_each(|task| hand_over(tasks, &mut last, task));
        self.finish_epoch(tasks, before, progress)
    }

    /// The batches of each task, from its next one on.
    fn batches(&self, tasks: &[Task], order: &[usize]) -> Result<Vec<Batches<'_>>, TrainError> {
        let runs = self.runs.iter().zip(tasks).enumerate();
        runs.map(|(index, (run, task))| {
            let in_epoch = order.iter().filter(|&&task| task == index).count();
            Batches::from(run, task.at.epoch * in_epoch + task.at.step)
        })
        .collect()
    }

    fn finish_epoch(
        &self,
        tasks: &mut [Task],
        before: f64,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        let epoch = tasks[0].at.epoch;
        progress.validation(epoch);
        let runs = self.runs.iter().zip(&mut *tasks);
        let now = runs
            .map(|(run, Task { learner, at })| run.candidate(learner, at))
            .collect::<Result<Vec<Best>, _>>()?;
        let best = tasks.iter().map(|task| task.at.best.as_ref()?.validation);
        let best = mean(best);
        let validation = mean(now.iter().map(|now| now.validation));
        let is_best = is_better(validation, best);
        for (task, now) in tasks.iter_mut().zip(now) {
            end_epoch(&mut task.at, now, is_best);
        }
        let history = history(tasks);
        let told = progress.epoch(epoch, &history[epoch], is_best && validation.is_some());
        self.save(tasks, before)?;
        Ok(told?)
    }

    fn save(&self, tasks: &mut [Task], before: f64) -> Result<(), TrainError> {
        let seconds = before + self.runs[0].started.elapsed().as_secs_f64();
        for Task { learner, at } in &mut *tasks {
            at.learner = learner.state();
            at.seconds = seconds;
        }
        let ats: Vec<&Checkpoint> = tasks.iter().map(|task| &task.at).collect();
        Ok(checkpoint::save(&self.checkpoint, MAGIC, &ats)?)
    }

    fn outcome(
        &self,
        mut tasks: Vec<Task>,
        before: f64,
        diverged: bool,
    ) -> Result<JointOutcome, TrainError> {
        let shared = tasks[0].learner.shared();
        let runs = self.runs.iter().zip(&mut tasks);
        let trained = runs
            .map(|(run, Task { learner, at })| run.best(learner, at))
            .collect::<Result<Vec<Trained>, _>>()?;
        let names: Vec<&str> = trained.iter().map(|task| task.name.as_str()).collect();
        let first = &trained[0];
        let image = self.runs[0].backbone.image();
        let bytes = with_values(&image, &first.sites, |metadata| {
            *metadata = BackboneMetadata {
                name: self.name.clone(),
                source: format!("trained on {} together", names.join(", ")),
                tool: first.tool.clone(),
                resize: first.resize,
                labels: first.labels.clone(),
                ..std::mem::take(metadata)
            };
        })?;
        let backbone = Backbone::from_bytes(&bytes)?;
        let all = self.runs.iter().zip(tasks).zip(trained);
        let outcomes = all.map(|((run, Task { mut learner, at }), trained)| {
            let trained = self.patch(trained, &backbone);
            Ok(Outcome {
                diverged,
                ..run.outcome((&backbone, trained), &mut learner, at, before)?
            })
        });
        Ok(JointOutcome {
            tasks: outcomes.collect::<Result<_, TrainError>>()?,
            backbone: bytes,
            shared,
        })
    }

    /// A task's own values, which are those of a patch on the backbone that has the others.
    fn patch(&self, trained: Trained, backbone: &Backbone) -> Trained {
        let image = backbone.image();
        let sites = trained.sites.into_iter().map(|(index, mut values)| {
            let site = image.site(index);
            let is_own = |what| self.kind.replaces(&site, what);
            values.weights = values.weights.filter(|_| is_own(What::Weights));
            values.norm = values.norm.filter(|_| is_own(What::Epilogue));
            (index, values)
        });
        let own = sites.filter(|(_, values)| values.weights.is_some() || values.norm.is_some());
        Trained {
            kind: self.kind,
            backbone: BackboneRef {
                name: self.name.clone(),
                id: backbone.id(),
            },
            sites: own.collect(),
            ..trained
        }
    }
}

/// Rounds of an epoch in which each of these runs has its share of steps.
pub fn rounds(runs: &[Run<'_>], shares: &[usize]) -> usize {
    let rounds = runs.iter().zip(shares).map(|(run, &share)| {
        let steps = run.examples.steps(run.plan.batch);
        steps.div_ceil(share)
    });
    rounds.max().unwrap_or(0)
}

/// What is shared goes from the task that trained it last to the next one.
fn hand_over(tasks: &mut [Task], last: &mut usize, next: usize) {
    if let Ok([from, to]) = tasks.get_disjoint_mut([*last, next]) {
        to.learner.take_shared(&mut from.learner);
    }
    *last = next;
}

/// All batches of a task: after one epoch of its images the next.
struct Batches<'a> {
    run: &'a Run<'a>,
    epoch: usize,
    of_epoch: Box<dyn Iterator<Item = Batch> + 'a>,
}

impl<'a> Batches<'a> {
    /// Those after so many steps.
    fn from(run: &'a Run<'a>, steps: usize) -> Result<Self, TrainError> {
        let in_epoch = run.examples.steps(run.plan.batch);
        Self::of(run, steps / in_epoch, steps % in_epoch)
    }

    fn of(run: &'a Run<'a>, epoch: usize, first: usize) -> Result<Self, TrainError> {
        let order = (run.plan.seed, epoch);
        let of_epoch = run.examples.batches(order, (run.plan.batch, first))?;
        Ok(Self {
            run,
            epoch,
            of_epoch,
        })
    }

    fn next(&mut self) -> Result<Batch, TrainError> {
        loop {
            if let Some(batch) = self.of_epoch.next() {
                return Ok(batch);
            }
            *self = Self::of(self.run, self.epoch + 1, 0)?;
        }
    }
}

/// Sums over all tasks.
fn totals(tasks: &[Task]) -> Totals {
    tasks.iter().fold(Totals::default(), |sum, task| {
        let Totals {
            images,
            loss,
            correct,
            seconds,
        } = task.at.so_far;
        Totals {
            images: sum.images + images,
            loss: sum.loss + loss,
            correct: sum.correct + correct,
            seconds: sum.seconds + seconds,
        }
    })
}

/// Every whole epoch: means over the tasks.
fn history(tasks: &[Task]) -> Vec<Epoch> {
    let epochs = 0..tasks[0].at.epoch;
    epochs
        .map(|epoch| {
            let of_tasks = || tasks.iter().map(|task| task.at.history[epoch]);
            Epoch {
                train: mean(of_tasks().map(|epoch| Some(epoch.train))).unwrap_or_default(),
                validation: mean(of_tasks().map(|epoch| epoch.validation)),
                seconds: of_tasks().map(|epoch| epoch.seconds).sum(),
            }
        })
        .collect()
}

/// The mean of some scores; `None` where one is missing.
fn mean(scores: impl Iterator<Item = Option<Score>>) -> Option<Score> {
    let scores = scores.collect::<Option<Vec<Score>>>()?;
    let sum = |of: fn(&Score) -> f64| scores.iter().map(of).sum();
    let sum = Score {
        loss: sum(|score| score.loss),
        accuracy: sum(|score| score.accuracy),
    };
    Some(sum.over(scores.len()))
}
