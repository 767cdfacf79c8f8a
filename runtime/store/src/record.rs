//! The file of a task's state: magic, format version and BLAKE3, then the state (postcard).

use graft_patches::Digest;

use crate::state::TaskState;

const MAGIC: [u8; 8] = *b"GRAFTSTA";

/// Format version that this crate reads and writes.
const VERSION: u32 = 2;

/// Bytes before the state.
const HEADER: usize = MAGIC.len() + 4 + 32;

/// Longest file that is read, and written.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// The reason why a file is no state of a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Another kind of file, or a part of one.
    #[error("it is no state of a task")]
    Magic,
    /// A format of another version of this crate.
    #[error("it has format version {found}, this program knows {expected}")]
    Version {
        /// Version in the file.
        found: u32,
        /// Version of this crate.
        expected: u32,
    },
    /// Other bytes than were written.
    #[error("its digest is {found:.12}, expected {expected:.12}")]
    Digest {
        /// Digest of the bytes.
        found: Digest,
        /// Digest in the file.
        expected: Digest,
    },
    /// The state of another task.
    #[error("it is the state of task {found:?}, expected {expected}")]
    Task {
        /// The task in the file.
        found: String,
        /// The task whose folder it is in.
        expected: String,
    },
    /// More bytes than could be read again.
    #[error("it would have {found} bytes, expected at most {expected}")]
    Length {
        /// Its bytes.
        found: u64,
        /// The most that are read.
        expected: u64,
    },
    /// Bytes that no store writes.
    #[error("{what}")]
    Contents {
        /// What is wrong.
        what: &'static str,
    },
}

impl RecordError {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Version { .. } => "use the program that wrote it",
            Self::Length { .. } => "remove old versions with patchtool store gc",
            Self::Magic | Self::Digest { .. } | Self::Task { .. } | Self::Contents { .. } => {
                "restore the file, or remove the task's folder to begin anew: its highest counter begins anew, too"
            }
        }
    }
}

impl TaskState {
    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Only a writer that refuses bytes can fail, and a vector takes them all.
        let state = postcard::to_allocvec(self).unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADER + state.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(Digest::of(&state).0);
        bytes.extend(state);
        bytes
    }

    /// The state in the bytes of a file.
    ///
    /// # Errors
    /// [`RecordError`]: bytes that [`Self::to_bytes`] does not make.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(RecordError::Magic)?;
        let (found, rest) = rest.split_first_chunk().ok_or(RecordError::Magic)?;
        let found = u32::from_le_bytes(*found);
        if found != VERSION {
            let expected = VERSION;
            return Err(RecordError::Version { found, expected });
        }
        let (expected, rest) = rest.split_first_chunk().ok_or(RecordError::Magic)?;
        let (found, expected) = (Digest::of(rest), Digest(*expected));
        if found != expected {
            return Err(RecordError::Digest { found, expected });
        }
        match postcard::take_from_bytes(rest) {
            Ok((state, [])) => check(state),
            Ok(_) | Err(_) => Err(RecordError::Contents {
                what: "it cannot be decoded",
            }),
        }
    }
}

/// Refuses what no steps lead to and the store relies on.
fn check(state: TaskState) -> Result<TaskState, RecordError> {
    let wrong = |what| Err(RecordError::Contents { what });
    let numbers = || state.versions.iter().map(|version| version.number);
    if !numbers().is_sorted_by(|a, b| a < b) || numbers().any(|n| n == 0 || n >= state.next) {
        return wrong("its version numbers do not ascend");
    }
    let named = [state.active, state.previous, state.serving()];
    if !named
        .into_iter()
        .flatten()
        .all(|number| state.version(number).is_some())
    {
        return wrong("it names a version that it does not have");
    }
    let trial = state.trial.map(|trial| trial.version);
    if trial.is_some() && trial == state.active {
        return wrong("its active version is on trial");
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Ended;

    fn state() -> TaskState {
        let mut state = TaskState::new("t", Digest([7; 32]));
        for (byte, counter) in [(1, None), (2, Some(5)), (3, Some(9))] {
            let number = state
                .install(Digest([byte; 32]), 1000, counter, true)
                .unwrap();
            state.activate(number, true).unwrap();
            state.confirm().unwrap();
        }
        state.roll_back(Ended::Asked).unwrap();
        state
    }

    fn contents(change: impl FnOnce(&mut TaskState)) -> Result<TaskState, RecordError> {
        let mut state = state();
        change(&mut state);
        TaskState::from_bytes(&state.to_bytes())
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        assert_eq!(contents(|_| ()), Ok(state()));
    }

    #[test]
    fn a_changed_or_shortened_file_is_refused() {
        let bytes = state().to_bytes();
        for at in 0..bytes.len() {
            assert!(TaskState::from_bytes(&bytes[..at]).is_err(), "{at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(TaskState::from_bytes(&changed).is_err(), "{at}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(
            TaskState::from_bytes(&longer),
            Err(RecordError::Digest { .. })
        ));
        let mut newer = bytes;
        newer[8] = 3;
        let expected = RecordError::Version {
            found: 3,
            expected: 2,
        };
        assert_eq!(TaskState::from_bytes(&newer), Err(expected));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_taken_for_another_state(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            at in 0..200_usize,
        ) {
            // Both bytes of any kind, and a state with some of them changed, under a right digest.
            let mut changed = postcard::to_allocvec(&state()).unwrap();
            let start = at.min(changed.len());
            let end = changed.len().min(start + bytes.len() % 8);
            changed[start..end].copy_from_slice(&bytes[..end - start]);
            for contents in [bytes, changed] {
                let mut file = [&MAGIC[..], &VERSION.to_le_bytes(), &Digest::of(&contents).0].concat();
                file.extend(contents);
                if let Ok(state) = TaskState::from_bytes(&file) {
                    assert_eq!(TaskState::from_bytes(&state.to_bytes()), Ok(state));
                }
            }
        }
    }

    #[test]
    fn what_no_steps_lead_to_is_refused() {
        let refused = |change: fn(&mut TaskState)| {
            let error = contents(change).unwrap_err();
            assert!(matches!(error, RecordError::Contents { .. }), "{error}");
        };
        refused(|state| state.versions.swap(0, 1));
        refused(|state| state.next = 3);
        refused(|state| state.versions[0].number = 0);
        refused(|state| state.active = Some(8));
        refused(|state| state.previous = Some(8));
        refused(|state| {
            state.trial = Some(crate::Trial {
                version: 8,
                is_served: false,
            })
        });
        refused(|state| {
            state.trial = state.active.map(|version| crate::Trial {
                version,
                is_served: true,
            })
        });
    }
}
