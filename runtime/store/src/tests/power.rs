//! The power of the disk, of this thread: it can be cut before any change, and what was not synced is lost then.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::Change;

thread_local! {
    static POWER: RefCell<Option<Power>> = const { RefCell::new(None) };
}

/// A disk whose power is cut after some changes.
#[derive(Default)]
struct Power {
    /// Changes until then.
    left: usize,
    /// Files whose bytes are not synced.
    unsynced: Vec<PathBuf>,
    /// How to take back the names that are not synced, newest last.
    names: Vec<Name>,
}

/// A name that was given or taken: what it named before.
struct Name {
    path: PathBuf,
    before: Option<Vec<u8>>,
}

/// Runs something with power for so many changes; whether it was enough, and what of the unsynced names is lost: the
/// bits of `lost` say which. Bytes that were not synced are lost if any bit is set.
pub(crate) fn with_power_for(changes: usize, lost: u32, run: impl FnOnce()) -> bool {
    let power = Power {
        left: changes,
        ..Power::default()
    };
    POWER.set(Some(power));
    run();
    let power = POWER.take().expect("it was set");
    let was_cut = power.left == usize::MAX;
    if was_cut && lost != 0 {
        for path in &power.unsynced {
            if let Ok(file) = fs::File::options().write(true).open(path) {
                let length = file.metadata().expect("it is open").len();
                file.set_len(length / 2).expect("it shrinks");
            }
        }
        let names = power.names.into_iter().enumerate().rev();
        names
            .filter(|(index, _)| lost >> (index % 32) & 1 == 1)
            .for_each(|(_, name)| name.take_back());
    }
    !was_cut
}

impl Name {
    fn of(path: &Path) -> Self {
        Self {
            path: path.into(),
            before: fs::read(path).ok(),
        }
    }

    fn take_back(self) {
        match self.before {
            Some(bytes) => fs::write(&self.path, bytes).expect("it was there"),
            None if self.path.is_dir() => fs::remove_dir_all(&self.path).expect("it is a folder"),
            // A folder that was lost took it along.
            None => drop(fs::remove_file(&self.path)),
        }
    }
}

/// Notes a change, or fails because there is no power.
pub(crate) fn before(change: Change<'_>) -> io::Result<()> {
    POWER.with_borrow_mut(|power| match power {
        None => Ok(()),
        Some(power) => power.note(change),
    })
}

impl Power {
    fn note(&mut self, change: Change<'_>) -> io::Result<()> {
        let off = || io::Error::other("the power is off");
        match self.left {
            // Also whatever the store does about the error.
            usize::MAX => return Err(off()),
            0 => {
                self.left = usize::MAX;
                if let Change::Write(path, bytes) = change {
                    fs::write(path, &bytes[..bytes.len() / 2])?;
                }
                return Err(off());
            }
            _ => self.left -= 1,
        }
        match change {
            Change::Write(path, _) => self.unsynced.push(path.into()),
            Change::Sync(path) => self.unsynced.retain(|other| other != path),
            Change::Rename(from, to) => {
                if self.unsynced.iter().any(|path| path == from) {
                    self.unsynced.push(to.into());
                }
                self.names.push(Name::of(from));
                self.names.push(Name::of(to));
            }
            Change::CreateFolder(path) | Change::Remove(path) => self.names.push(Name::of(path)),
            Change::SyncFolder(folder) => {
                self.names.retain(|name| name.path.parent() != Some(folder))
            }
            // An empty folder comes back as it was: missing folders and empty ones are the same to the store.
            Change::RemoveFolder => {}
        }
        Ok(())
    }
}
