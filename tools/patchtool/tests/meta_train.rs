//! `patchtool meta-train` runs another program: beside it, or on the PATH.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A copy of patchtool, alone in its folder.
fn alone() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("patchtool");
    fs::copy(env!("CARGO_BIN_EXE_patchtool"), copy).expect("room on the disk");
    folder
}

/// A program that prints its arguments and ends with status 7.
fn stand_in(folder: &Path) {
    let program = folder.join("patchtool-meta-train");
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 7\n").expect("room on the disk");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

fn run(folder: &TempDir, path: &Path, arguments: &[&str]) -> Output {
    Command::new(folder.path().join("patchtool"))
        .env("PATH", path)
        .args(arguments)
        .output()
        .expect("it starts")
}

#[test]
fn arguments_and_status_pass_through() {
    let nowhere = Path::new("/nowhere");
    let beside = alone();
    stand_in(beside.path());
    let other = tempfile::tempdir().expect("a folder");
    stand_in(other.path());
    for (folder, path) in [(&beside, nowhere), (&alone(), other.path())] {
        for (given, passed) in [
            (&["meta-train"][..], ""),
            (&["meta-train", "--help"], "--help"),
            (&["meta-train", "-h"], "-h"),
            (&["meta-train", "--version"], "--version"),
            (
                &["meta-train", "--data", "a b", "--json", "-o", "x"],
                "--data a b --json -o x",
            ),
            (
                &["--json", "meta-train", "-q", "-vv", "--data", "-v"],
                "--verbose --verbose --json --quiet --data -v",
            ),
        ] {
            let output = run(folder, path, given);
            assert_eq!(output.status.code(), Some(7), "{given:?}: {output:?}");
            let printed = String::from_utf8(output.stdout).expect("UTF-8");
            assert_eq!(printed.trim_end(), passed, "{given:?}");
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_named_with_the_way_to_get_it() {
    let output = run(
        &alone(),
        Path::new("/nowhere"),
        &["meta-train", "--data", "x"],
    );
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let expected = "error: there is no program patchtool-meta-train beside patchtool or on the PATH\n\
                    hint: cargo install --path tools/meta\n";
    assert_eq!(errors, expected);
}
