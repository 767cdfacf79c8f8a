//! `patchtool store list`.

use anyhow::Result;
use graft_store::{Ended, State, StoreFolder, TaskState, Version};
use serde_json::{Value, json};

use crate::report::{Report, Table};

/// Shows tasks and versions. A task whose state cannot be read is named, the others have their rows all the same.
pub(super) fn run(store: &StoreFolder) -> Result<Report> {
    let mut table = Table::new(&[
        "task", "version", "state", "use", "counter", "bytes", "digest",
    ]);
    let mut tasks = Vec::new();
    let mut failure = None;
    for task in store.tasks()? {
        match store.task(&task) {
            Ok(state) => {
                for version in state.versions() {
                    table.row(row(&task, &state, version));
                }
                tasks.push(task_json(&task, &state));
            }
            Err(error) => failure = Some(error.into()),
        }
    }
    Ok(Report {
        failure,
        ..Report::new(table.to_string(), json!({ "tasks": tasks }))
    })
}

fn row(task: &str, state: &TaskState, version: &Version) -> [String; 7] {
    let number = Some(version.number);
    let use_of = if state.active() == number {
        "active"
    } else if state.serving() == number {
        "serving"
    } else if state.previous() == number {
        "previous"
    } else {
        ""
    };
    [
        task.into(),
        version.number.to_string(),
        word(state.state(version)).into(),
        use_of.into(),
        version
            .counter
            .map_or(String::new(), |counter| counter.to_string()),
        version.bytes.to_string(),
        format!("{:.12}", version.digest),
    ]
}

fn task_json(task: &str, state: &TaskState) -> Value {
    let versions = state.versions().iter().map(|version| {
        json!({
            "version": version.number,
            "state": word(state.state(version)),
            "digest": version.digest.to_string(),
            "counter": version.counter,
            "bytes": version.bytes,
        })
    });
    json!({
        "task": task,
        "backbone": state.backbone().to_string(),
        "serving": state.serving(),
        "active": state.active(),
        "previous": state.previous(),
        "trial": state.trial().map(|trial| trial.version),
        "ended": state.ended().map(Ended::words),
        "highest_counter": state.highest_counter(),
        "versions": versions.collect::<Vec<_>>(),
    })
}

fn word(state: State) -> &'static str {
    match state {
        State::Written => "written",
        State::Trial => "trial",
        State::Good => "good",
    }
}
