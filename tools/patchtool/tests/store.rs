//! `patchtool store`: versions of tasks are installed, tried, kept and left.

use std::path::Path;

use serde_json::{Value, json};
use shared::Folder;

#[allow(dead_code)] // Each test needs some of it.
mod shared;

const BOARD: &str = "--store s --backbone demo.backbone";

/// A folder with the demo's backbone and two patches of one task, the second of which is signed.
fn fixture() -> Folder {
    let folder = Folder::new();
    let demo = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo"));
    for name in ["demo.backbone", "fashion.patch", "sign-digits.patch"] {
        let bytes = std::fs::read(demo.join(name)).expect("the demo has it");
        folder.write(name, &bytes);
    }
    folder.json("keygen -o fleet.key");
    folder.json("sign fashion.patch --key fleet.key --counter 5 -o signed.patch");
    folder.json("sign fashion.patch --key fleet.key --counter 4 -o older.patch");
    folder
}

/// The task's entry of the list.
fn listed(folder: &Folder, task: &str) -> Value {
    let list = folder.json("store list --store s");
    let mut tasks = list["tasks"].as_array().expect("an array").iter();
    let found = tasks.find(|found| found["task"] == task);
    found.expect("the task is there").clone()
}

#[test]
fn a_version_is_installed_tried_kept_and_left() {
    let f = fixture();
    let installed = f.json(&format!(
        "store install {BOARD} fashion.patch signed.patch sign-digits.patch fashion.patch"
    ));
    let versions = installed["installed"].as_array().expect("an array").iter();
    let versions: Vec<_> = versions
        .map(|found| [&found["version"], &found["is_new"]])
        .collect();
    let expected = [(1, true), (2, true), (1, true), (1, false)];
    let expected = expected.map(|(version, is_new)| [json!(version), json!(is_new)]);
    assert!(
        versions
            .iter()
            .copied()
            .eq(expected.each_ref().map(|[a, b]| [a, b]))
    );
    let task = installed["installed"][0]["task"].as_str().expect("a name");

    let of_task = format!("--store s --task {task}");
    let activate = format!("store activate {BOARD} --task {task}");
    assert_eq!(f.json(&format!("{activate} --version 1"))["trial"], 1);
    assert_eq!(f.json(&format!("store confirm {of_task}"))["active"], 1);
    assert_eq!(f.json(&activate)["trial"], 2);
    let text = f.run("store list --store s").stdout;
    let rows: Vec<_> = text
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(rows[1][..4], [task, "1", "good", "active"]);
    assert_eq!(rows[2][..5], [task, "2", "trial", "serving", "5"]);
    assert_eq!(rows[3][..3], ["sign-digits", "1", "written"]);
    f.json(&format!("store rollback {of_task}"));
    let listed = listed(&f, task);
    assert_eq!(
        (&listed["active"], &listed["trial"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(listed["ended"], "somebody asked");
    // Without a key nobody has checked it.
    assert_eq!(listed["highest_counter"], Value::Null);
    assert_eq!(listed["versions"][1]["counter"], 5);
    let served = f.run(&format!("store rollback {of_task}")).stdout;
    assert_eq!(
        served,
        format!("{task}: serving the backbone's own values\n")
    );
    f.refused(
        &format!("store rollback {of_task}"),
        "there is nothing to roll back to",
    );
}

#[test]
fn what_is_older_not_trusted_or_no_patch_is_refused() {
    let f = fixture();
    let install = format!("store install {BOARD}");
    f.refused("store list --store s", "there is no store in s");
    f.json(&format!("{install} signed.patch --key fleet.pub"));
    for (arguments, words) in [
        (
            format!("{install} older.patch --key fleet.pub"),
            "counter 4",
        ),
        (
            format!("{install} sign-digits.patch --key fleet.pub"),
            "not signed",
        ),
        (format!("{install} demo.backbone"), "backbone"),
        (format!("{install} fleet.pub"), "cannot install fleet.pub"),
        (
            format!("{install} nothing.patch"),
            "cannot install nothing.patch",
        ),
        (
            format!("{install} fashion.patch --max-patch-bytes 9"),
            "the store takes 9",
        ),
        (
            format!("{install} fashion.patch --max-versions 1"),
            "the store takes 1",
        ),
        (
            format!("store activate {BOARD} --task nothing"),
            "no task nothing",
        ),
        ("store confirm --store s --task ../s".into(), "has the name"),
    ] {
        f.refused(&arguments, words);
    }
    // What was installed before the one that fails stays, and is told.
    let outcome = f.run(&format!(
        "{install} --key fleet.pub signed.patch older.patch"
    ));
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stdout.contains("signed.patch"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stderr.contains("cannot install older.patch"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn garbage_is_removed_and_damage_told() {
    let f = fixture();
    f.json(&format!("store install {BOARD} fashion.patch signed.patch"));
    let task = f.json("inspect fashion.patch")["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    f.write(&format!("s/tasks/{task}/state.tmp"), b"left by a kill");
    let collected = f.json("store gc --store s --keep 0");
    assert_eq!(collected["versions"], 1);
    assert_eq!(collected["files"], 1);
    assert_eq!(listed(&f, &task)["versions"][0]["version"], 2);
    f.write(
        &format!("s/tasks/{task}/0000000002.patch"),
        b"something else",
    );
    f.refused(
        &format!("store activate {BOARD} --task {task}"),
        "is damaged",
    );
    f.write(&format!("s/tasks/{task}/state"), b"something else");
    let outcome = f.run("store list --store s");
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("cannot use the state of task"),
        "{}",
        outcome.stderr
    );
}
