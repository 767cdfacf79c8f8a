//! Measuring a run on episodes of classes held out.

use indicatif::ProgressBar;

use crate::classes::Classes;
use crate::continual::{self, Scenario, Strategy};
use crate::episodes::{Augmentation, EpisodeError, Sampler, Setting};
use crate::evaluate::{Accuracy, Method, accuracy};
use crate::learner::Task;
use crate::matrix::Matrix;
use crate::run::{Run, RunError, check_ways};
use crate::sequence::Sequence;
use crate::tensors::values;
use patchtool::train::history::Score;

/// Added to the seed for episodes that measure: their classes are others, but fine-tuned choices must not repeat, either.
const TEST_SEED: u64 = 1 << 32;

/// The episodes that are measured.
#[derive(Clone, Copy, Debug)]
pub struct Test<'a> {
    /// Held-out classes.
    pub classes: &'a Classes,
    /// Of each task.
    pub setting: Setting,
    /// Number of episodes.
    pub episodes: usize,
    /// Grows by one with each episode.
    pub bar: &'a ProgressBar,
}

impl Run<'_> {
    /// Tasks of a test: always the same ones for a number.
    fn test(
        &self,
        classes: &Classes,
        sequence: Sequence,
        number: usize,
    ) -> Result<Vec<Task>, EpisodeError> {
        let numbers = [self.settings.seed + TEST_SEED, number as u64];
        sequence.draw(
            classes,
            Augmentation::default(),
            self.settings.config.max_ways,
            numbers,
        )
    }

    /// Some episodes of held-out classes, always the same ones.
    pub(crate) fn quick_test(&self) -> Result<Option<Score>, RunError> {
        const EPISODES: usize = 30;
        let all = self.data.test_episodes;
        let Some(test) = self.data.test.filter(|_| !all.is_empty()) else {
            return Ok(None);
        };
        let tensors = self.learner.frozen();
        let mut sum = Score::default();
        for number in 0..EPISODES {
            let sequence = self.settings.sequence(all[number % all.len()]);
            let tasks = self.test(test, sequence, number)?;
            let loss = self
                .settings
                .loss(self.learner.generator(), &tensors, &tasks);
            sum.loss += f64::from(values(loss.value)[0]);
            sum.accuracy += f64::from(loss.right);
        }
        Ok(Some(sum.over(EPISODES)))
    }

    /// Whether what is learned after one another in this scenario can be measured: a run can be trained on test classes that
    /// are too few for the one, or have too few images for the other.
    pub fn can_measure(&self, scenario: Scenario) -> bool {
        let sequence = self.data.test_sequence(scenario);
        let pair = sequence.zip(self.data.test);
        pair.is_some_and(|(sequence, test)| {
            Sampler::check(test, sequence.whole(), Augmentation::default()).is_ok()
        })
    }

    /// Accuracy over all episodes, each a task of its own.
    ///
    /// # Errors
    /// Data that have too few classes or images.
    pub fn evaluate(&self, test: &Test<'_>, method: Method) -> Result<Accuracy, RunError> {
        let tensors = self.learner.frozen();
        let sequence = Sequence::one(test.setting);
        let shares = self.each(test, sequence, |tasks| {
            accuracy(&self.learner, &tensors, &tasks[0], method)
        })?;
        Ok(Accuracy::of(&shares))
    }

    /// The matrix of accuracies (see [`continual::accuracies`]) over `tasks` tasks after one another, mean over all episodes;
    /// where the task is known, and where it is not.
    ///
    /// # Errors
    /// Data that have too few classes or images.
    pub fn evaluate_continual(
        &self,
        test: &Test<'_>,
        tasks: usize,
        strategy: Strategy,
    ) -> Result<[Matrix; 2], RunError> {
        let (generator, tensors) = (self.learner.generator(), self.learner.frozen());
        let sequence = Sequence {
            setting: test.setting,
            scenario: Scenario::Tasks,
            tasks,
        };
        let all = self.each(test, sequence, |tasks| {
            continual::accuracies(generator, &tensors, tasks, strategy)
        })?;
        let (known, unknown): (Vec<_>, Vec<_>) = all.into_iter().map(|[a, b]| (a, b)).unzip();
        Ok([known, unknown].map(|matrices| Matrix::of(&matrices)))
    }

    /// Accuracies after each of `slices` mini-batches of the same classes, mean over all episodes.
    ///
    /// # Errors
    /// Data that have too few classes or images.
    pub fn evaluate_slices(
        &self,
        test: &Test<'_>,
        slices: usize,
        strategy: Strategy,
    ) -> Result<Vec<Accuracy>, RunError> {
        let (generator, tensors) = (self.learner.generator(), self.learner.frozen());
        let sequence = Sequence {
            setting: test.setting,
            scenario: Scenario::MiniBatch,
            tasks: slices,
        };
        let all = self.each(test, sequence, |tasks| {
            continual::slice_accuracies(generator, &tensors, tasks, strategy)
        })?;
        let after = |slice| all.iter().map(|shares| shares[slice]).collect::<Vec<f64>>();
        Ok((0..slices)
            .map(|slice| Accuracy::of(&after(slice)))
            .collect())
    }

    /// The findings of each episode.
    fn each<T>(
        &self,
        test: &Test<'_>,
        sequence: Sequence,
        find: impl Fn(&[Task]) -> T,
    ) -> Result<Vec<T>, RunError> {
        check_ways(test.setting, &self.settings.config)?;
        (0..test.episodes)
            .map(|number| {
                let found = find(&self.test(test.classes, sequence, number)?);
                test.bar.inc(1);
                Ok(found)
            })
            .collect()
    }
}
