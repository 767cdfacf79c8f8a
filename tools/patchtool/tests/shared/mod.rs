//! A temporary folder, and patchtool running in it.

pub(crate) mod colours;
pub(crate) mod images;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A folder that is gone after the test.
pub(crate) struct Folder(TempDir);

/// Outcome of a command.
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("room on the disk");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("it was written")
    }

    /// patchtool in the folder, with its cache there.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_patchtool"));
        command
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .args(arguments.split_whitespace());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Outcome {
        let output = self.command(arguments).output().expect("it starts");
        Outcome {
            status: output.status.code().expect("it exits"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Runs a command that must succeed; its report.
    pub(crate) fn json(&self, arguments: &str) -> Value {
        let outcome = self.run(&format!("{arguments} --json"));
        assert_eq!(outcome.status, 0, "{arguments}: {}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).expect("one JSON object")
    }

    /// Runs a command that must fail with status 2, a cause that has `words`, and a hint; its stderr.
    pub(crate) fn refused(&self, arguments: &str, words: &str) -> String {
        let Outcome {
            status,
            stdout,
            stderr,
        } = self.run(arguments);
        assert_eq!(status, 2, "{arguments}: {stdout}{stderr}");
        assert_eq!(stdout, "", "{arguments}");
        assert!(
            stderr.contains(words),
            "{arguments}: {words:?} is not in {stderr}"
        );
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("hint: "), "{arguments}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments}: {stderr}");
        stderr
    }
}
