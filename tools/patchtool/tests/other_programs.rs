//! `patchtool meta-train`, `federate` and `agent` run other programs: beside it, or on the PATH.
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

/// Programs that print their arguments and end with status 7.
fn stand_in(folder: &Path) {
    for name in ["patchtool-meta-train", "patchtool-federate"] {
        let program = folder.join(name);
        fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 7\n").expect("room on the disk");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
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
            (&["federate", "--help"], "federate --help"),
            (&["-q", "agent", "--name", "a"], "agent --quiet --name a"),
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
    for (command, program, folder) in [
        ("meta-train", "patchtool-meta-train", "tools/meta"),
        ("federate", "patchtool-federate", "tools/federate"),
        ("agent", "patchtool-federate", "tools/federate"),
    ] {
        let output = run(&alone(), Path::new("/nowhere"), &[command, "--data", "x"]);
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{errors}");
        let expected = format!(
            "error: there is no program {program} beside patchtool or on the PATH\n\
             hint: cargo install --path {folder}\n"
        );
        assert_eq!(errors, expected);
    }
}
