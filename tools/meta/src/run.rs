//! A run of meta-training: steps and checkpoints.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Instant;

use burn_tensor::Device;
use graft_patches::Digest;
use rand::seq::IteratorRandom as _;
use serde::{Deserialize, Serialize};

use crate::classes::Classes;
use crate::continual::{self, Scenario};
use crate::episodes::{Augmentation, EpisodeError, Sampler, Setting, Turns};
use crate::learner::{self, Learner, Loss, State, Task};
use crate::sequence::Sequence;
use crate::tensors::Tensors;
use graft_data::random::{self, Purpose};
use patchtool::hyper::network::Generator;
use patchtool::hyper::{Config, Precision};
use patchtool::train::checkpoint::{self, CheckpointError};
use patchtool::train::curves::Point;
use patchtool::train::history::Score;
use patchtool::train::schedule::Schedule;

const MAGIC: [u8; 8] = *b"GRAFTMT3";
/// Steps over which the learning rate rises.
const WARMUP: usize = 500;
/// Share of the learning rate at the end.
const LAST: f32 = 0.02;
/// Steps in a row without a finite loss after which training has failed.
const LOST: usize = 100;
/// Seconds between checkpoints.
const CHECKPOINT_SECONDS: f64 = 30.0;

/// The settings that a run is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The generator.
    pub config: Config,
    /// Kinds of episodes, which alternate.
    pub episodes: Vec<Setting>,
    /// Tasks after one another, for continual generators; 1 otherwise.
    pub tasks: usize,
    /// What is changed about images that are trained on.
    pub augmentation: Augmentation,
    /// Whether every other round of `episodes` has all classes from one folder at the top, where one has enough.
    pub related: bool,
    /// The steps of continual learning.
    pub scenario: Scenario,
    /// Episodes of a step, whose gradients are averaged.
    pub batch: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// Largest learning rate of Adam.
    pub rate: f32,
    /// Of every random number.
    pub seed: u64,
}

/// Settings of a checkpoint that are others now, in words.
fn differences(saved: &Settings, now: &Settings) -> Vec<String> {
    let [saved, now] = [saved, now]
        .map(|settings| serde_json::to_value(settings).expect("plain structs have a JSON form"));
    let pairs = saved.as_object().into_iter().flatten();
    let others = pairs.filter(|(name, was)| now[name.as_str()] != **was);
    others
        .map(|(name, was)| format!("{name} was {was}, now {}", now[name.as_str()]))
        .collect()
}

impl Settings {
    /// The tasks that a step trains on, of this setting.
    pub(crate) fn sequence(&self, setting: Setting) -> Sequence {
        Sequence {
            setting,
            scenario: self.scenario,
            tasks: self.tasks,
        }
    }

    pub(crate) fn loss(&self, generator: &Generator, tensors: &Tensors, tasks: &[Task]) -> Loss {
        match tasks {
            [task] => learner::episode(generator, tensors, task),
            tasks => continual::loss(generator, tensors, tasks, self.scenario),
        }
    }
}

/// A run between two steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The settings that it was started with.
    pub settings: Settings,
    /// Steps behind it.
    pub step: usize,
    /// Time since the start in seconds, without pauses.
    pub seconds: f64,
    /// The state of the learner.
    pub learner: State,
    /// Of the images that are trained on.
    pub data: Digest,
    /// Scores since the last point of the learning curve, and of how many steps.
    pub since: (Score, usize),
    /// The learning curve so far: training episodes since the point before, and some episodes of held-out classes.
    pub history: Vec<Point>,
}

/// Reasons why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The data do not have what episodes need.
    #[error(transparent)]
    Episodes(#[from] EpisodeError),
    /// The data do not have what tasks after one another need.
    #[error("{tasks} {} of {setting} are drawn as one: {lack}", scenario.plural())]
    Sequence {
        /// Number of tasks.
        tasks: usize,
        /// Of each.
        setting: Setting,
        /// Their kind.
        scenario: Scenario,
        /// The lack of the one episode.
        lack: EpisodeError,
    },
    /// More classes in an episode than the generator knows.
    #[error("{setting}: the generator knows at most {most} classes")]
    Ways {
        /// Of the episodes.
        setting: Setting,
        /// That the generator is for.
        most: usize,
    },
    /// A checkpoint was not read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Parameters of which nothing finite can be computed any more.
    #[error("training diverged: no finite loss in the {LOST} steps up to step {step}")]
    Diverged {
        /// The last of them.
        step: usize,
    },
    /// A checkpoint of another run.
    #[error("the checkpoint is of another run: {differences}")]
    OtherRun {
        /// The differences.
        differences: String,
    },
}

impl RunError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Episodes(error) => error.hint(),
            Self::Sequence { .. } => {
                "add classes and images, hold fewer out, or ask for fewer tasks, ways, shots or queries"
            }
            Self::Ways { .. } => "ask for fewer ways",
            Self::Checkpoint(error) => error.hint(),
            Self::Diverged { .. } => "train with a smaller --lr",
            Self::OtherRun { .. } => {
                "give the same arguments and data as before, or start anew without --resume"
            }
        }
    }
}

/// The source of episodes.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Trained on.
    pub train: &'a Classes,
    /// Measured on.
    pub test: Option<&'a Classes>,
    /// Kinds of episodes that are measured, which alternate.
    pub test_episodes: &'a [Setting],
    /// Tasks, or mini-batches of one task, that are learned after one another and measured; may be 0.
    pub test_tasks: usize,
}

impl Data<'_> {
    /// The sequence that is learned and measured, if any is.
    pub(crate) fn test_sequence(&self, scenario: Scenario) -> Option<Sequence> {
        let first = self.test_episodes.first().filter(|_| self.test_tasks > 0);
        first.map(|&setting| Sequence {
            setting,
            scenario,
            tasks: self.test_tasks,
        })
    }
}

/// A run.
#[derive(Debug)]
pub struct Run<'a> {
    pub(crate) settings: Settings,
    pub(crate) data: Data<'a>,
    pub(crate) learner: Learner,
    /// Classes of each folder at the top, where episodes have related classes.
    folders: Vec<Classes>,
    step: usize,
    seconds: f64,
    since: (Score, usize),
    history: Vec<Point>,
    /// Steps without a finite loss since the last that had one.
    lost: usize,
    /// Steps after which a test stops.
    stop: Option<usize>,
}

impl<'a> Run<'a> {
    /// A run from its start.
    ///
    /// # Errors
    /// Data that have too few classes or images.
    pub fn new(settings: Settings, data: Data<'a>, device: Device) -> Result<Self, RunError> {
        for &setting in &settings.episodes {
            check_sequence(
                settings.sequence(setting),
                data.train,
                settings.augmentation,
            )?;
            check_ways(setting, &settings.config)?;
        }
        if let Some(test) = data.test {
            for &setting in data.test_episodes {
                check_sequence(settings.sequence(setting), test, Augmentation::default())?;
                check_ways(setting, &settings.config)?;
            }
            if let Some(sequence) = data.test_sequence(settings.scenario) {
                check_sequence(sequence, test, Augmentation::default())?;
            }
        }
        Ok(Self {
            learner: Learner::new(&settings.config, device, settings.seed),
            folders: match settings.related {
                true => data.train.folders(),
                false => Vec::new(),
            },
            settings,
            data,
            step: 0,
            seconds: 0.0,
            since: (Score::default(), 0),
            history: Vec::new(),
            lost: 0,
            stop: None,
        })
    }

    /// Goes on from a checkpoint of the same run.
    ///
    /// # Errors
    /// A checkpoint that cannot be read, or is of another run.
    pub fn resume(&mut self, path: &Path) -> Result<(), RunError> {
        let saved: Checkpoint = checkpoint::load(path, MAGIC)?;
        let mut differences = differences(&saved.settings, &self.settings);
        if saved.data != self.data_digest() {
            differences.push("its images are others".into());
        }
        if !differences.is_empty() {
            let differences = differences.join(", ");
            return Err(RunError::OtherRun { differences });
        }
        let restored = self.learner.restore(saved.learner);
        restored.map_err(|error| RunError::OtherRun {
            differences: error.to_string(),
        })?;
        (self.step, self.seconds) = (saved.step, saved.seconds);
        (self.since, self.history) = (saved.since, saved.history);
        Ok(())
    }

    /// Rounds the trained parameters as a file of this precision stores them: after the last step, before measuring.
    pub fn round(&mut self, precision: Precision) {
        self.learner.round(precision);
    }

    /// The generator as it is now.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// The generator as it is now, alone.
    pub fn into_learner(self) -> Learner {
        self.learner
    }

    /// Ends [`Self::train`] early, after this number of steps, as a kill would: with the checkpoint of that time.
    #[cfg(test)]
    pub(crate) fn stop_after(&mut self, steps: usize) {
        self.stop = Some(steps);
    }

    /// The settings that it was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Time since the start in seconds, without pauses.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The learning curve.
    pub fn history(&self) -> &[Point] {
        &self.history
    }

    /// Of the images that were trained on.
    pub fn data_digest(&self) -> Digest {
        self.data.train.digest()
    }

    /// Steps behind it.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Trains to the end, with a point of the learning curve every `every` steps, and a checkpoint every half a minute
    /// where there is a `path` for it.
    ///
    /// # Errors
    /// A checkpoint that cannot be written; episodes that cannot be drawn.
    pub fn train(
        &mut self,
        path: Option<&Path>,
        every: usize,
        mut report: impl FnMut(&Point, f64),
    ) -> Result<(), RunError> {
        let schedule = Schedule {
            base: self.settings.rate,
            steps: self.settings.steps,
            warmup: WARMUP.min(self.settings.steps),
            last: LAST,
        };
        let mut saved = self.seconds;
        while !self.is_over() {
            let started = Instant::now();
            let batch = self.settings.batch;
            let numbers = (self.step * batch..).take(batch);
            let tasks = numbers
                .map(|number| self.draw(number))
                .collect::<Result<Vec<_>, _>>()?;
            let rate = schedule.rate(self.step);
            let settings = &self.settings;
            let (loss, right) = self
                .learner
                .step(rate, &tasks, |generator, tensors, tasks| {
                    settings.loss(generator, tensors, tasks)
                });
            self.step += 1;
            self.count(loss, right)?;
            self.seconds += started.elapsed().as_secs_f64();
            if self.step.is_multiple_of(every) || self.step == self.settings.steps {
                let point = Point {
                    at: self.step,
                    train: self.since.0.over(self.since.1.max(1)),
                    held_out: self.quick_test()?,
                };
                report(&point, self.seconds);
                self.history.push(point);
                self.since = (Score::default(), 0);
            }
            if let Some(path) = path
                && (self.seconds - saved > CHECKPOINT_SECONDS || self.is_over())
            {
                self.save(path)?;
                saved = self.seconds;
            }
        }
        Ok(())
    }

    /// The episode of this number that is trained on.
    fn draw(&self, number: usize) -> Result<Vec<Task>, EpisodeError> {
        let settings = &self.settings;
        let (round, index) = (
            number / settings.episodes.len(),
            number % settings.episodes.len(),
        );
        let sequence = settings.sequence(settings.episodes[index]);
        let related = (round % 2 == 1)
            .then(|| self.folder(sequence, number))
            .flatten();
        let turns = match (settings.augmentation.turns, related) {
            (Turns::Each, Some(_)) => Turns::Alike,
            (turns, _) => turns,
        };
        let augmentation = Augmentation {
            turns,
            ..settings.augmentation
        };
        let numbers = [settings.seed, number as u64];
        let max_ways = settings.config.max_ways;
        sequence.draw(
            related.unwrap_or(self.data.train),
            augmentation,
            max_ways,
            numbers,
        )
    }

    /// A folder at the top with enough classes, at random: the more classes, the more often.
    fn folder(&self, sequence: Sequence, number: usize) -> Option<&Classes> {
        let is_large = |folder: &&Classes| folder.len() >= sequence.whole().ways;
        let large: Vec<&Classes> = self.folders.iter().filter(is_large).collect();
        let classes = large.iter().flat_map(|&folder| vec![folder; folder.len()]);
        let purpose = Purpose::Folder {
            number: number as u64,
        };
        classes.choose(&mut random::generator(self.settings.seed, purpose))
    }

    /// Adds what a step gave to the next point of the learning curve.
    fn count(&mut self, loss: f32, right: f32) -> Result<(), RunError> {
        if !loss.is_finite() {
            self.lost += 1;
            return match self.lost {
                LOST => Err(RunError::Diverged { step: self.step }),
                _ => Ok(()),
            };
        }
        self.lost = 0;
        let (since, taken) = &mut self.since;
        since.loss += f64::from(loss);
        since.accuracy += f64::from(right);
        *taken += 1;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.step >= self.stop.unwrap_or(self.settings.steps)
    }

    fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let record = Checkpoint {
            settings: self.settings.clone(),
            step: self.step,
            seconds: self.seconds,
            data: self.data_digest(),
            since: self.since,
            learner: self.learner.state(),
            history: self.history.clone(),
        };
        checkpoint::save(path, MAGIC, &record)
    }
}

/// Whether the classes have what every episode of a sequence needs.
fn check_sequence(
    sequence: Sequence,
    classes: &Classes,
    augmentation: Augmentation,
) -> Result<(), RunError> {
    let checked = Sampler::check(classes, sequence.whole(), augmentation);
    checked.map_err(|lack| match sequence.tasks {
        1 => RunError::Episodes(lack),
        tasks => RunError::Sequence {
            tasks,
            setting: sequence.setting,
            scenario: sequence.scenario,
            lack,
        },
    })
}

pub(crate) fn check_ways(setting: Setting, config: &Config) -> Result<(), RunError> {
    let most = config.max_ways;
    match setting.ways <= most {
        true => Ok(()),
        false => Err(RunError::Ways { setting, most }),
    }
}
