//! A small disk of a test's own.

use std::path::Path;
use std::process::Command;

/// A file system in memory with room for a few patches; gone with its handle.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one. Where that cannot be done it says so, and the test is skipped, but not by root in CI.
    pub(crate) fn mount(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        match mount(&format!("size={bytes}"), folder.path()) {
            Ok(()) => Some(Self(folder)),
            Err(reason) if std::env::var_os("CI").is_some_and(|ci| ci == "true") && is_root() => {
                panic!("a file system cannot be mounted: {reason}")
            }
            Err(reason) => {
                println!("skipped: a file system cannot be mounted: {reason}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Refuses all writes from now on, or takes them again.
    pub(crate) fn set_read_only(&self, is_read_only: bool) {
        let access = if is_read_only { "ro" } else { "rw" };
        mount(&format!("remount,{access}"), self.path()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn mount(options: &str, folder: &Path) -> Result<(), String> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "graft-torture"])
        .arg(folder)
        .output();
    match mounted {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
