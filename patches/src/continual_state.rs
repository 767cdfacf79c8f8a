//! The state of continual learning in a patch: the task that each class came with, and the number of its examples so far.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::section::SectionKind;

/// The state of continual learning (Vladymyrov, Zhmoginov, Sandler: "Continual HyperTransformer", TMLR 2024). The
/// prototypes themselves are the rows of the patch's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinualState {
    /// Support sets that the patch was made of, one after another. A patch that is rolled back to has a smaller one.
    pub counter: u64,
    /// Per class of the head, in the order of their tasks.
    pub classes: Vec<ContinualClass>,
}

/// One class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinualClass {
    /// The task that it came with, counted from 0.
    pub task: u16,
    /// Labelled examples that its prototype is the mean of, at least one.
    pub examples: u32,
}

impl ContinualState {
    /// The number of tasks that the classes came with.
    pub fn tasks(&self) -> usize {
        self.classes
            .last()
            .map_or(0, |class| usize::from(class.task) + 1)
    }

    /// Checks that it has all classes of a head of `classes` classes, that no task is left out and that every class has
    /// an example.
    ///
    /// # Errors
    /// [`ImageError::ContinualClasses`], [`ImageError::Record`].
    pub fn check(&self, classes: usize) -> Result<(), ImageError> {
        let found = self.classes.len();
        if found != classes {
            let expected = classes;
            return Err(ImageError::ContinualClasses { found, expected });
        }
        let mut tasks = 0;
        for (index, class) in self.classes.iter().enumerate() {
            let wrong = |problem| ImageError::Record {
                section: SectionKind::ContinualState,
                index,
                problem,
            };
            let task = usize::from(class.task);
            if task != tasks && task + 1 != tasks {
                return Err(wrong("classes are not in the order of their tasks"));
            }
            if class.examples == 0 {
                return Err(wrong("a class without an example"));
            }
            tasks = task + 1;
        }
        Ok(())
    }

    /// From its section: postcard, all of it.
    pub(crate) fn decode(section: &[u8]) -> Result<Self, ImageError> {
        match postcard::take_from_bytes(section) {
            Ok((state, [])) => Ok(state),
            _ => Err(ImageError::Section {
                section: SectionKind::ContinualState,
                problem: "cannot be decoded",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn state(classes: &[(u16, u32)]) -> ContinualState {
        let classes = classes.iter();
        ContinualState {
            counter: 300,
            classes: classes
                .map(|&(task, examples)| ContinualClass { task, examples })
                .collect(),
        }
    }

    #[test]
    fn classes_come_by_task_and_each_has_an_example() {
        let good = state(&[(0, 1), (0, 5), (1, 1), (2, 70_000)]);
        assert_eq!(good.check(4), Ok(()));
        assert_eq!(good.tasks(), 3);
        assert_eq!(state(&[]).tasks(), 0);
        let count = good.check(5);
        let (found, expected) = (4, 5);
        assert_eq!(count, Err(ImageError::ContinualClasses { found, expected }));
        for bad in [
            &[(1, 1)][..],
            &[(0, 1), (2, 1)],
            &[(0, 1), (1, 1), (0, 1)],
            &[(0, 1), (0, 0)],
        ] {
            let error = state(bad).check(bad.len());
            let index = bad.len() - 1;
            let is_last = matches!(error, Err(ImageError::Record { index: at, .. }) if at == index);
            assert!(is_last, "{bad:?}: {error:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_too_long_is_refused() {
        let good = state(&[(0, 1), (1, 300)]);
        let bytes = postcard::to_allocvec(&good).expect("it can be encoded");
        assert_eq!(ContinualState::decode(&bytes), Ok(good));
        for length in 0..bytes.len() {
            assert!(
                ContinualState::decode(&bytes[..length]).is_err(),
                "{length}"
            );
        }
        assert!(ContinualState::decode(&[&bytes[..], &[0]].concat()).is_err());
        // As many classes as no memory holds.
        assert!(ContinualState::decode(&[vec![1], vec![0xff; 9], vec![1]].concat()).is_err());
    }
}
