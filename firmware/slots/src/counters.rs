//! The highest counter that was seen of each task.

use crate::error::Error;
use crate::slot::{MAX_TASKS, Stamp};

/// The highest counters: in the first places, the rest of which is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters(pub(crate) [Stamp; MAX_TASKS]);

impl Counters {
    pub(crate) const NONE: Self = Self(
        [Stamp {
            task: [0; 8],
            counter: 0,
        }; MAX_TASKS],
    );

    /// All that are kept.
    pub(crate) fn kept(&self) -> impl Iterator<Item = Stamp> {
        self.0.into_iter().take_while(|stamp| stamp.task != [0; 8])
    }

    /// Whether a patch is no older than the newest one of its task.
    pub(crate) fn check<E>(&self, stamp: Stamp) -> Result<(), Error<E>> {
        match self.kept().find(|kept| kept.task == stamp.task) {
            Some(kept) if stamp.counter < kept.counter => Err(Error::Older {
                found: stamp.counter,
                expected: kept.counter,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes the counter of a patch, of one of at most `tasks` tasks.
    pub(crate) fn raise<E>(&mut self, stamp: Stamp, tasks: u8) -> Result<(), Error<E>> {
        self.check(stamp)?;
        let place = self
            .0
            .iter_mut()
            .take(tasks.into())
            .find(|kept| [stamp.task, [0; 8]].contains(&kept.task))
            .ok_or(Error::NoCounter { tasks })?;
        *place = stamp;
        Ok(())
    }
}
