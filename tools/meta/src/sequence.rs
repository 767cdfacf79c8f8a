//! Tasks that are learned after one another, drawn as one episode.

use rand::seq::index;

use crate::classes::Classes;
use crate::continual::Scenario;
use crate::episodes::{Augmentation, Episode, EpisodeError, Images, Sampler, Setting};
use crate::learner::{Labelled, Task};
use graft_data::random::{Purpose, generator};

/// A sequence of tasks; a single task is a sequence of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Of each task.
    pub(crate) setting: Setting,
    /// The kind of its steps.
    pub(crate) scenario: Scenario,
    /// Number of tasks.
    pub(crate) tasks: usize,
}

impl Sequence {
    /// One task.
    pub(crate) fn one(setting: Setting) -> Self {
        Self {
            setting,
            scenario: Scenario::Tasks,
            tasks: 1,
        }
    }

    /// The one episode that has all of it.
    pub(crate) fn whole(&self) -> Setting {
        let own = self.setting;
        match self.scenario {
            Scenario::Tasks => Setting {
                ways: own.ways.saturating_mul(self.tasks),
                ..own
            },
            Scenario::MiniBatch => Setting {
                shots: own.shots.saturating_mul(self.tasks),
                unlabelled: own.unlabelled.saturating_mul(self.tasks),
                ..own
            },
        }
    }

    /// Its episode of this number, task by task, with label ids below `max_ways`: those of a class stay, tasks choose theirs.
    ///
    /// # Errors
    /// Classes that are too few or have too few images.
    pub(crate) fn draw(
        &self,
        classes: &Classes,
        augmentation: Augmentation,
        max_ways: usize,
        [seed, number]: [u64; 2],
    ) -> Result<Vec<Task>, EpisodeError> {
        let episode = Sampler::new(classes, self.whole(), augmentation, seed)?.episode(number);
        let mut random = generator(seed, Purpose::Labels { number });
        let mut ids = || index::sample(&mut random, max_ways, self.setting.ways).into_vec();
        let all = match self.scenario {
            Scenario::Tasks => (0..self.tasks).map(|_| ids()).collect(),
            Scenario::MiniBatch => vec![ids(); self.tasks],
        };
        let tasks = all.into_iter().enumerate();
        Ok(tasks
            .map(|(task, ids)| self.part(&episode, task, ids))
            .collect())
    }

    /// One task of the episode.
    fn part(&self, episode: &Episode, task: usize, ids: Vec<usize>) -> Task {
        let Setting {
            shots, unlabelled, ..
        } = self.setting;
        let mut support = self.choose(&episode.support, task, Some(shots));
        let mut hidden = self.choose(&episode.unlabelled, task, Some(unlabelled));
        hidden.labels.fill(None);
        support.values.append(&mut hidden.values);
        support.labels.append(&mut hidden.labels);
        Task {
            ids,
            support,
            queries: self.choose(&episode.queries, task, None),
        }
    }

    /// A task's images: those of its classes; of classes that all tasks have, `each` for each task, or all for every task.
    fn choose(&self, images: &Images, task: usize, each: Option<usize>) -> Labelled {
        let ways = self.setting.ways;
        let length = images.values.len() / images.len().max(1);
        let mut seen = vec![0; self.whole().ways];
        let mut chosen = Labelled {
            values: Vec::new(),
            labels: Vec::new(),
        };
        for (values, &label) in images
            .values
            .chunks_exact(length.max(1))
            .zip(&images.labels)
        {
            let nth = seen[label];
            seen[label] += 1;
            let (is_own, label) = match (self.scenario, each) {
                (Scenario::Tasks, _) => (label / ways == task, label % ways),
                (Scenario::MiniBatch, Some(each)) => (nth / each == task, label),
                (Scenario::MiniBatch, None) => (true, label),
            };
            if is_own {
                chosen.values.extend(values);
                chosen.labels.push(Some(label));
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::tests::numbered;

    /// Classes and images of the pixels, which are numbered.
    fn seen(images: &Labelled) -> Vec<(usize, usize)> {
        let marks = images
            .values
            .chunks_exact(4)
            .map(|pixels| pixels[0] as usize);
        marks.map(|mark| (mark / 16, mark % 16)).collect()
    }

    fn draw(scenario: Scenario) -> Vec<Task> {
        let sequence = Sequence {
            setting: Setting {
                ways: 2,
                shots: 2,
                queries: 1,
                unlabelled: 1,
            },
            scenario,
            tasks: 3,
        };
        let classes = numbered(&[10; 6]);
        sequence
            .draw(&classes, Augmentation::default(), 9, [4, 2])
            .unwrap()
    }

    #[test]
    fn tasks_have_classes_of_their_own() {
        let tasks = draw(Scenario::Tasks);
        let mut classes = Vec::new();
        for task in &tasks {
            let labels = [Some(0), Some(0), Some(1), Some(1), None, None];
            assert_eq!(task.support.labels, labels);
            assert_eq!(task.queries.labels, [Some(0), Some(1)]);
            let (support, queries) = (seen(&task.support), seen(&task.queries));
            for (label, class) in [support[0].0, support[2].0].into_iter().enumerate() {
                assert_eq!(
                    [
                        support[2 * label + 1].0,
                        support[4 + label].0,
                        queries[label].0
                    ],
                    [class; 3]
                );
                classes.push(class);
            }
        }
        classes.sort_unstable();
        assert_eq!(classes, [0, 1, 2, 3, 4, 5]);
        assert!(tasks[0].ids != tasks[1].ids || tasks[0].ids != tasks[2].ids);
    }

    #[test]
    fn mini_batches_share_classes_and_queries_and_no_image() {
        let tasks = draw(Scenario::MiniBatch);
        let mut images: Vec<_> = tasks.iter().flat_map(|task| seen(&task.support)).collect();
        images.extend(seen(&tasks[0].queries));
        images.sort_unstable();
        let count = images.len();
        images.dedup();
        assert_eq!((count, images.len()), (3 * 6 + 2, 3 * 6 + 2));
        for task in &tasks[1..] {
            assert_eq!(task.ids, tasks[0].ids);
            assert_eq!(task.support.labels, tasks[0].support.labels);
            assert_eq!(seen(&task.queries), seen(&tasks[0].queries));
            let classes = |task: &Task| {
                seen(&task.support)
                    .iter()
                    .map(|image| image.0)
                    .collect::<Vec<_>>()
            };
            assert_eq!(classes(task), classes(&tasks[0]));
        }
    }
}
