//! Changes of the disk: files that are whole or not there, on the disk before anything names them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

use crate::error::Error;

/// A change of the disk. Tests stop before any of them, as a kill or a power cut does.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look at them"))]
pub(crate) enum Change<'a> {
    CreateFolder(&'a Path),
    Write(&'a Path, &'a [u8]),
    Sync(&'a Path),
    Rename(&'a Path, &'a Path),
    SyncFolder(&'a Path),
    Remove(&'a Path),
    RemoveFolder,
}

#[cfg(not(test))]
fn before(_: Change<'_>) -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
use crate::tests::power::before;

/// End of the names of files that are not whole yet.
pub(crate) const UNFINISHED: &str = "tmp";

/// The error of an action on a path.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File {
        doing,
        path: path.into(),
        source,
    }
}

/// Writes a file aside, syncs it, gives it its name, and syncs the folder. What had the name before is gone, but not
/// from those who have it open.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let unfinished = path.with_added_extension(UNFINISHED);
    let written = write(&unfinished, bytes).and_then(|()| {
        before(Change::Rename(&unfinished, path))?;
        fs::rename(&unfinished, path)
    });
    if let Err(error) = written {
        // It takes room on a disk that may be full. Where it stays, it is garbage.
        let _ = remove(&unfinished);
        return Err(failed("write", path)(error));
    }
    sync_folder_of(path).map_err(failed("write", path))
}

/// Writes a file of its own: what has the name already goes, and where it is a link its target stays as it is.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        remove(path)?;
    }
    before(Change::Write(path, bytes))?;
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    before(Change::Sync(path))?;
    file.sync_all()
}

/// Creates a folder for its user alone where it is missing, and sees to it that its name survives: a kill may have come
/// between the two.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    let create = || {
        if !path.is_dir() {
            before(Change::CreateFolder(path))?;
            match new_folder().create(path) {
                // Another process was quicker.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
                created => created?,
            }
        }
        sync_folder_of(path)
    };
    create().map_err(failed("create", path))
}

fn new_folder() -> fs::DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are Unix's"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    before(Change::Remove(path))?;
    fs::remove_file(path)
}

/// Removes a folder that is empty.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    before(Change::RemoveFolder)?;
    fs::remove_dir(path)
}

/// Reads a file, and fails where it is longer than `most`.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// Names that were given or taken must survive a power cut, too.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    before(Change::SyncFolder(folder))?;
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Folders are no files elsewhere: what a power cut leaves of a name is the system's affair.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
