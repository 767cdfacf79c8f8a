//! Everything that a training run needs to go on after it was stopped, in one file beside its output.
//!
//! The file is a header (magic, format version, length and BLAKE3 digest of the rest) and a postcard record. It is
//! replaced as a whole: a kill, a power failure or a full disk leaves the checkpoint of before.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::average::Average;
use super::fingerprint::{Difference, Fingerprint};
use super::history::{Epoch, Score};
use super::learner::State;
use super::probe::Probe;
use super::sparse_updates::SparseUpdates;
use graft_data::output::{self, OutputError};

const MAGIC: [u8; 8] = *b"GRAFTCKP";
const VERSION: u32 = 4;
/// Magic, version, length, digest.
const HEADER: usize = 8 + 4 + 8 + 32;

/// A run between two steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Settings that the run was started with.
    pub fingerprint: Fingerprint,
    /// Whole epochs behind it.
    pub epoch: usize,
    /// Steps behind it in the epoch after those.
    pub step: usize,
    /// Sums of these steps.
    pub so_far: Totals,
    /// State of the learner.
    pub learner: State,
    /// The average of its values so far, where that is what is kept.
    pub average: Option<Average>,
    /// Its sparse updates so far, where they are.
    pub sparse: Option<SparseUpdates>,
    /// What was probed so far, if something is.
    pub probe: Option<Probe>,
    /// Time of each step, in milliseconds.
    pub step_ms: Vec<f32>,
    /// Time since the start of the run, in seconds, without the time between a stop and the resumption.
    pub seconds: f64,
    /// The epoch to keep so far.
    pub best: Option<Best>,
    /// Every whole epoch.
    pub history: Vec<Epoch>,
}

/// Sums over the steps of an unfinished epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Images seen.
    pub images: usize,
    /// Sum of their losses.
    pub loss: f64,
    /// Images classified right.
    pub correct: usize,
    /// Time, in seconds.
    pub seconds: f64,
}

/// The epoch to keep so far: the best, or where nothing says which that is, the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Counted from 0.
    pub epoch: usize,
    /// Its score on the validation images, if there are any.
    pub validation: Option<Score>,
    /// The trained parameters as the output file would hold them.
    pub trained: Vec<u8>,
}

/// Reasons why a checkpoint is not written or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It could not be written.
    #[error("the checkpoint could not be saved; the one of before, if there was one, is kept")]
    Save(#[source] OutputError),
    /// There is no room for one, or no way to write there: before there was any.
    #[error("no checkpoint can be saved beside the output")]
    Unwritable(#[source] OutputError),
    /// Another process trains to the same output.
    #[error("another run is writing {} now", output.display())]
    Running {
        /// The output.
        output: PathBuf,
    },
    /// The output is stdout.
    #[error("a run whose output goes to stdout has no checkpoint to go on from")]
    Stdout,
    /// There is none.
    #[error("there is no checkpoint {}", path.display())]
    NotFound {
        /// The path that it would have.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot read the checkpoint {}", path.display())]
    Unreadable {
        /// The checkpoint.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another kind of file.
    #[error("{} is not a checkpoint", path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// Written by another version.
    #[error("{} is a checkpoint of format {found}, expected {VERSION}", path.display())]
    Version {
        /// The checkpoint.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not as long as it says.
    #[error("the checkpoint {} has {found} bytes, expected {expected}", path.display())]
    Length {
        /// The checkpoint.
        path: PathBuf,
        /// Bytes after the header.
        found: u64,
        /// Bytes that the header promises.
        expected: u64,
    },
    /// Changed since it was written.
    #[error("the checkpoint {} is damaged: its digest is wrong", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
    },
    /// Of a run that could go on.
    #[error("{} is the checkpoint of a run that was stopped", path.display())]
    Left {
        /// The checkpoint.
        path: PathBuf,
    },
    /// Of a run with other settings.
    #[error("the checkpoint {} is of another run: {}", path.display(), listed(differences))]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// The differences.
        differences: Vec<Difference>,
    },
}

/// Whether a run with this output may start: without --resume or --force it would replace a checkpoint, and from stdout
/// there is nothing to resume.
///
/// # Errors
/// [`CheckpointError::Left`] and [`CheckpointError::Stdout`].
pub fn check_free(output: &Path, resume: bool, force: bool) -> Result<(), CheckpointError> {
    match path_for(output) {
        None if resume => Err(CheckpointError::Stdout),
        Some(path) if path.exists() && !resume && !force => Err(CheckpointError::Left { path }),
        _ => Ok(()),
    }
}

fn listed(differences: &[Difference]) -> String {
    let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
    words.join(", ")
}

impl CheckpointError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Save(OutputError::Failed { source, .. }) if is_full(source) => {
                "free some space, then go on with --resume"
            }
            Self::Save(_) => "see the cause above, then go on with --resume",
            Self::Unwritable(error) => error.hint(),
            Self::Running { .. } => "wait until it ends, or give this one another output",
            Self::Stdout => {
                "name a file with -o for runs that can be resumed, or leave out --resume"
            }
            Self::NotFound { .. } => "leave out --resume to start from the beginning",
            Self::Unreadable { .. } => "check the permissions",
            Self::NotACheckpoint { .. } | Self::Length { .. } | Self::Damaged { .. } => {
                "remove the file and leave out --resume to start from the beginning"
            }
            Self::Version { .. } => {
                "go on with the version of patchtool that wrote it, or leave out --resume to start from the beginning"
            }
            Self::Left { .. } => "go on with --resume, or start again with --force",
            Self::OtherRun { .. } => {
                "resume with the settings and data of that run, or leave out --resume to start from the beginning"
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Path of the checkpoint of a run with this output: `T.safetensors.checkpoint`. `None` for stdout: there is no place beside
/// it where the next run would look.
pub fn path_for(output: &Path) -> Option<PathBuf> {
    let mut name = output.as_os_str().to_owned();
    name.push(".checkpoint");
    (!output::is_stdout(output)).then(|| name.into())
}

impl Checkpoint {
    /// Writes it to `path` instead of what is there, all or nothing; it is on the disk afterwards.
    ///
    /// # Errors
    /// [`CheckpointError::Save`], and what was there is still there.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        save(path, MAGIC, self)
    }

    /// Whether there is room for it at `path`, where it leaves nothing.
    ///
    /// # Errors
    /// [`CheckpointError::Unwritable`].
    pub fn rehearse(&self, path: &Path) -> Result<(), CheckpointError> {
        rehearse(path, MAGIC, self)
    }

    /// Reads the checkpoint at `path`.
    ///
    /// # Errors
    /// Whatever is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        load(path, MAGIC)
    }

    /// Whether the checkpoint, which was at `path`, is of a run that was started with `expected`.
    ///
    /// # Errors
    /// [`CheckpointError::OtherRun`], with the differences.
    pub fn check(&self, path: &Path, expected: &Fingerprint) -> Result<(), CheckpointError> {
        let differences = self.fingerprint.differences(expected);
        if differences.is_empty() {
            return Ok(());
        }
        Err(CheckpointError::OtherRun {
            path: path.to_owned(),
            differences,
        })
    }
}

/// Removes the checkpoint of a finished run, if there is one, and what a kill left of the next.
///
/// # Errors
/// The system's error.
pub fn remove(path: &Path) -> io::Result<()> {
    for path in [path.to_owned(), output::unfinished(path)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes a record of the kind that `magic` names to `path` instead of what is there, all or nothing.
pub fn save(path: &Path, magic: [u8; 8], record: &impl Serialize) -> Result<(), CheckpointError> {
    let failed = |source| OutputError::Failed {
        path: path.to_owned(),
        source,
    };
    let record = record_of(record).map_err(|error| CheckpointError::Save(failed(error)))?;
    output::replace(path, |file| write(file, magic, &record)).map_err(CheckpointError::Save)
}

/// Whether there is room at `path` for what [`save`] would write, where it leaves nothing.
pub fn rehearse(
    path: &Path,
    magic: [u8; 8],
    record: &impl Serialize,
) -> Result<(), CheckpointError> {
    let record = record_of(record).map_err(|source| OutputError::Failed {
        path: path.to_owned(),
        source,
    });
    record
        .and_then(|record| output::rehearse(path, |file| write(file, magic, &record)))
        .map_err(CheckpointError::Unwritable)
}

fn record_of(record: &impl Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(record).map_err(io::Error::other)
}

/// Header and record.
fn write(file: &mut impl Write, magic: [u8; 8], record: &[u8]) -> io::Result<()> {
    file.write_all(&magic)?;
    file.write_all(&VERSION.to_le_bytes())?;
    file.write_all(&(record.len() as u64).to_le_bytes())?;
    file.write_all(blake3::hash(record).as_bytes())?;
    file.write_all(record)
}

/// Reads the record that [`save`] wrote to `path`.
pub fn load<T: DeserializeOwned>(path: &Path, magic: [u8; 8]) -> Result<T, CheckpointError> {
    let bytes = read(path)?;
    let record = record(path, magic, &bytes)?;
    postcard::from_bytes(record).map_err(|_| CheckpointError::Damaged {
        path: path.to_owned(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let owned = || path.to_owned();
    let failed = |source: io::Error| {
        let path = owned();
        if source.kind() == io::ErrorKind::NotFound {
            CheckpointError::NotFound { path }
        } else {
            CheckpointError::Unreadable { path, source }
        }
    };
    // A device may have no end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(CheckpointError::NotACheckpoint { path: owned() });
    }
    fs::read(path).map_err(failed)
}

/// The record of a file whose header is right.
fn record<'a>(
    path: &Path,
    expected: [u8; 8],
    bytes: &'a [u8],
) -> Result<&'a [u8], CheckpointError> {
    let path = || path.to_owned();
    let Some((header, record)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(CheckpointError::NotACheckpoint { path: path() });
    };
    let (magic, rest) = header.split_at(MAGIC.len());
    let (version, rest) = rest.split_at(4);
    let (length, digest) = rest.split_at(8);
    if magic != expected {
        return Err(CheckpointError::NotACheckpoint { path: path() });
    }
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    };
    if number(version) != u64::from(VERSION) {
        return Err(CheckpointError::Version {
            path: path(),
            found: number(version) as u32,
        });
    }
    if number(length) != record.len() as u64 {
        return Err(CheckpointError::Length {
            path: path(),
            found: record.len() as u64,
            expected: number(length),
        });
    }
    if blake3::hash(record).as_bytes() != digest {
        return Err(CheckpointError::Damaged { path: path() });
    }
    Ok(record)
}

#[cfg(test)]
mod tests;
