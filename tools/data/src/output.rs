//! Output files that are either whole or not there.
//!
//! The content goes to a temporary file in the same folder, which takes the name only when everything is on the disk. A
//! full disk, an error or a kill leaves what was there before.
//!
//! The name `-` is stdout: it gets nothing either unless the content is whole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::{Builder, NamedTempFile};

/// Reasons why an output file is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// Something is there, and overwriting was not asked for.
    #[error("{} already exists", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The output is what the command reads.
    #[error("{} is an input of this command", path.display())]
    IsInput {
        /// The output.
        path: PathBuf,
    },
    /// Two outputs have one name.
    #[error("{} is named for two outputs", path.display())]
    Twice {
        /// The outputs.
        path: PathBuf,
    },
    /// Stdout is a terminal, which would take the bytes for commands.
    #[error("the output is bytes, and stdout is a terminal")]
    Terminal,
    /// A folder has the name.
    #[error("cannot write {}: it is a folder", path.display())]
    IsFolder {
        /// The output.
        path: PathBuf,
    },
    /// The folder to write in does not exist.
    #[error("cannot write {}: the folder {} does not exist", path.display(), folder.display())]
    NoFolder {
        /// The output.
        path: PathBuf,
        /// The folder that is missing.
        folder: PathBuf,
    },
    /// The system refused, or what makes the content failed.
    #[error("cannot write {}", path.display())]
    Failed {
        /// The output.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl OutputError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "choose another name, or overwrite it with --force",
            Self::IsInput { .. } => "choose another name for the output",
            Self::Twice { .. } => "give each a name of its own",
            Self::Terminal => "send it to a file or to another command, or name a file",
            Self::IsFolder { .. } => "name a file, for example one inside that folder",
            Self::NoFolder { .. } => "create the folder first",
            Self::Failed { source, .. } => {
                use io::ErrorKind::{
                    FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
                };
                let kind = source.kind();
                if matches!(kind, StorageFull | QuotaExceeded | FileTooLarge) {
                    "free some space or write to another disk; nothing was left behind"
                } else if matches!(kind, PermissionDenied | ReadOnlyFilesystem) {
                    "check the permissions of the folder, or write to another one"
                } else {
                    "nothing was left behind; the cause above says what to change"
                }
            }
        }
    }
}

/// Whether [`write_atomically`] may and can write `path`: for long jobs to ask before they start. A folder that cannot be
/// written to and a disk that is full are found by writing a little there, which is taken away again.
pub fn check(path: &Path, force: bool) -> Result<(), OutputError> {
    const LITTLE: [u8; 4096] = [0; 4096];
    if is_stdout(path) {
        return match io::stdout().is_terminal() {
            true => Err(OutputError::Terminal),
            false => Ok(()),
        };
    }
    check_name(path, force)?;
    rehearse(path, |file| file.write_all(&LITTLE))
}

/// Writes `content` beside `path` and takes it away again: whether there is room for it. Of a device nothing is known.
pub fn rehearse(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), OutputError> {
    if is_device(path) {
        return Ok(());
    }
    let written =
        temporary(folder_of(&target_of(path))).and_then(|file| filled(file.as_file(), content));
    written.map_err(|source| OutputError::Failed {
        path: path.to_owned(),
        source,
    })
}

/// Whether the name is free, or may be taken by force.
fn check_name(path: &Path, force: bool) -> Result<(), OutputError> {
    let (path, folder) = (path.to_owned(), folder_of(path).to_owned());
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(OutputError::IsFolder { path }),
        Ok(found) if found.is_file() && !force => Err(OutputError::Exists { path }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_dir() => {
            Err(OutputError::NoFolder { path, folder })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OutputError::Failed { path, source }),
    }
}

/// Whether writing `path` would leave the file `input` as it is: with `--force` a slip could replace a model by what
/// is made from it.
pub fn check_apart(path: &Path, input: &Path) -> Result<(), OutputError> {
    match (fs::canonicalize(path), fs::canonicalize(input)) {
        (Ok(output), Ok(same)) if output == same && output.is_file() => Err(OutputError::IsInput {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Before work whose results go to several files: whether each can be written, is no input, and is no other output.
pub fn check_all(outputs: &[&Path], inputs: &[&Path], force: bool) -> Result<(), OutputError> {
    for (index, path) in outputs.iter().enumerate() {
        check(path, force)?;
        inputs
            .iter()
            .try_for_each(|input| check_apart(path, input))?;
        let is_same = |other: &&Path| other == path || (is_stdout(other) && is_stdout(path));
        if outputs[..index].iter().any(is_same) {
            let path = path.to_path_buf();
            return Err(OutputError::Twice { path });
        }
    }
    Ok(())
}

/// Writes the file `path` with `content`, all or nothing; an existing file is replaced only if `force` is set.
///
/// A device or pipe (`/dev/null`) is written directly: it cannot be replaced.
pub fn write_atomically<T>(
    path: &Path,
    force: bool,
    content: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>,
) -> Result<T, OutputError> {
    let failed = |source| OutputError::Failed {
        path: path.to_owned(),
        source,
    };
    if is_stdout(path) {
        return fill_stdout(content).map_err(failed);
    }
    check_name(path, force)?;
    if is_device(path) {
        return fill_device(path, content).map_err(failed);
    }
    let target = target_of(path);
    let file = temporary(folder_of(&target)).map_err(failed)?;
    let value = filled(file.as_file(), content).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    publish(file, &target, force)?;
    Ok(value)
}

/// Replaces the file `path` as [`write_atomically`] does, by way of [`unfinished`]: for a file that is written again and
/// again, of which a kill may leave a part once, not each time.
pub fn replace(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), OutputError> {
    check_name(path, true)?;
    let failed = |source| OutputError::Failed {
        path: path.to_owned(),
        source,
    };
    if is_device(path) {
        return fill_device(path, content).map_err(failed);
    }
    let (unfinished, target) = (unfinished(path), target_of(path));
    let written = File::create(&unfinished).and_then(|file| {
        filled(&file, content)?;
        file.sync_all()?;
        fs::rename(&unfinished, &target)
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(failed(error));
    }
    sync_folder(&target);
    Ok(())
}

/// File that [`replace`] writes first: `PATH.tmp`, beside the file that a link points to.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = target_of(path).into_os_string();
    name.push(".tmp");
    name.into()
}

/// The file that is replaced: where a link points to, not the link.
fn target_of(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether the name means stdout: `-`, or a name that the system has for it. Sent to a file, that one is no device.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path == Path::new(name))
}

/// Set as soon as a file goes to stdout.
static STDOUT_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether a file went to stdout in this process: what else there is to say must go elsewhere, then.
pub fn stdout_is_taken() -> bool {
    STDOUT_IS_TAKEN.load(Ordering::Relaxed)
}

/// By way of a file without a name: the content may seek, and stdout gets all of it or nothing.
fn fill_stdout<T>(content: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>) -> io::Result<T> {
    let mut file = tempfile::tempfile()?;
    let value = filled(&file, content)?;
    file.rewind()?;
    STDOUT_IS_TAKEN.store(true, Ordering::Relaxed);
    let mut stdout = io::stdout().lock();
    io::copy(&mut file, &mut stdout)?;
    stdout.flush()?;
    Ok(value)
}

/// Whether something is there that can be written to, but not replaced: a device or a pipe.
fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

fn fill_device<T>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>,
) -> io::Result<T> {
    filled(&OpenOptions::new().write(true).open(path)?, content)
}

fn filled<T>(
    file: &File,
    content: impl FnOnce(&mut BufWriter<&File>) -> io::Result<T>,
) -> io::Result<T> {
    let mut writer = BufWriter::new(file);
    let value = content(&mut writer)?;
    writer.flush()?;
    Ok(value)
}

/// First and last letters of the names of temporary files.
const TEMPORARY: [&str; 2] = [".patchtool-", ".tmp"];

/// Whether a file of this name is one that a kill left of [`write_atomically`].
pub fn is_temporary(name: &OsStr) -> bool {
    let [first, last] = TEMPORARY.map(str::as_bytes);
    let name = name.as_encoded_bytes();
    name.starts_with(first) && name.ends_with(last)
}

/// A hidden file in `folder`, gone with its handle, readable by those the umask allows.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
        .prefix(TEMPORARY[0])
        .suffix(TEMPORARY[1])
        .tempfile_in(folder)
}

fn publish(file: NamedTempFile, target: &Path, force: bool) -> Result<(), OutputError> {
    let path = target.to_owned();
    // Without `force` another process may still have been quicker.
    let published = if force {
        file.persist(target)
    } else {
        file.persist_noclobber(target)
    };
    match published.map_err(|failure| failure.error) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(OutputError::Exists { path })
        }
        Err(source) => Err(OutputError::Failed { path, source }),
        Ok(_) => {
            sync_folder(target);
            Ok(())
        }
    }
}

/// The new name must survive a power failure too. Not every file system can promise that; the file is whole.
fn sync_folder(path: &Path) {
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
