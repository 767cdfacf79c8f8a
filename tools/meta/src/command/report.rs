//! The measurements of a run of meta-training, and its report.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::ValueEnum as _;
use serde_json::{Value, json};

use patchtool::bar;
use patchtool::hyper::Generates;
use patchtool::report::{Report, Table};

use super::Arguments;
use crate::classes::Classes;
use crate::continual::{Scenario, Strategy};
use crate::episodes::Setting;
use crate::measure::Test;
use crate::run::Run;

/// Measures a run and says what came out.
///
/// # Errors
/// Data that have too few classes or images.
pub(super) fn of(
    arguments: &Arguments,
    run: &Run<'_>,
    test: &Classes,
    is_quiet: bool,
) -> Result<Report> {
    let mut text = String::new();
    let mut json = json!({"steps": run.step(), "seconds": run.seconds(), "history": run.history()});
    let is_measured = !test.is_empty() && arguments.test_episodes > 0;
    if is_measured && arguments.continual == 1 {
        let (table, rows) = episodes(arguments, run, test, is_quiet)?;
        text += &table.to_string();
        json["test"] = rows;
    }
    if is_measured && arguments.test_tasks() > 0 {
        let (tables, rows) = continual(arguments, run, test, is_quiet)?;
        text += &tables;
        json["continual"] = rows;
    }
    text += &format!("{} steps in {:.0} s\n", run.step(), run.seconds());
    Ok(Report::new(text, json))
}

/// Accuracy of every kind of episode by every method.
fn episodes(
    arguments: &Arguments,
    run: &Run<'_>,
    classes: &Classes,
    is_quiet: bool,
) -> Result<(Table, Value)> {
    let episodes = arguments.test_episodes;
    let folders = match arguments.test_related {
        true => classes.folders(),
        false => Vec::new(),
    };
    let settings = || arguments.test_settings();
    let mixed = settings().map(|setting| (None, classes, setting));
    let related = folders.iter().flat_map(|folder| {
        settings().map(move |setting| {
            let ways = setting.ways.min(folder.len());
            let name = folder.top_folders().concat();
            (Some(name), folder, Setting { ways, ..setting })
        })
    });
    let kinds: Vec<_> = mixed.chain(related).collect();
    let rows = kinds.len() * arguments.methods().len();
    let bar = bar::episodes(rows * episodes, is_quiet);
    let mut table = Table::new(&["episodes", "method", "accuracy %"]);
    let mut rows = Vec::new();
    for (folder, classes, setting) in kinds {
        let test = Test {
            classes,
            setting,
            episodes,
            bar: &bar,
        };
        for &method in arguments.methods() {
            let accuracy = run.evaluate(&test, method)?;
            let name = method
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().into());
            let Setting {
                ways,
                shots,
                unlabelled,
                ..
            } = setting;
            let mut kind = setting.to_string();
            if unlabelled > 0 {
                kind += &format!(" and {unlabelled} unlabelled");
            }
            if let Some(folder) = &folder {
                kind += &format!(" of {folder}");
            }
            table.row([kind, name, accuracy.to_string()]);
            rows.push(json!({
                "folder": folder,
                "ways": ways,
                "shots": shots,
                "unlabelled": unlabelled,
                "method": method,
                "accuracy": accuracy,
            }));
        }
    }
    bar.finish_and_clear();
    Ok((table, rows.into()))
}

/// Matrices of task after task, and accuracies after mini-batches of one.
fn continual(
    arguments: &Arguments,
    run: &Run<'_>,
    classes: &Classes,
    is_quiet: bool,
) -> Result<(String, Value)> {
    let config = &run.settings().config;
    let [strategies, of_slices] = match (config.continual, config.generates) {
        (true, _) => [
            &[Strategy::Continual, Strategy::Naive][..],
            &[Strategy::Continual, Strategy::Naive, Strategy::Merged],
        ],
        (false, Generates::Prototypes) => [&[Strategy::Constant, Strategy::FineTuned][..]; 2],
        (false, _) => [&[Strategy::Naive][..], &[Strategy::Merged]],
    };
    let setting = arguments.test_settings().next();
    let setting = setting.context("no kind of episodes")?;
    let (tasks, episodes) = (arguments.test_tasks(), arguments.test_episodes);
    let [strategies, of_slices] = [
        (strategies, Scenario::Tasks),
        (of_slices, Scenario::MiniBatch),
    ]
    .map(|(strategies, scenario)| match run.can_measure(scenario) {
        true => strategies,
        false => &[],
    });
    let bar = bar::episodes((strategies.len() + of_slices.len()) * episodes, is_quiet);
    let test = Test {
        classes,
        setting,
        episodes,
        bar: &bar,
    };
    let (mut text, mut rows) = (String::new(), Vec::new());
    let line = |cells: &[f64]| {
        let cells: Vec<String> = cells
            .iter()
            .map(|share| format!("{:5.1}", 100.0 * share))
            .collect();
        format!("  {}\n", cells.join(" "))
    };
    for &strategy in strategies {
        let matrices = run.evaluate_continual(&test, tasks, strategy)?;
        for (scenario, matrix) in ["task", "class"].into_iter().zip(matrices) {
            text += &format!(
                "{strategy:?}, {scenario}-incremental, {tasks} tasks of {setting}, rows: after task\n"
            );
            matrix.accuracy.iter().for_each(|row| text += &line(row));
            text += &format!(
                "  mean {}, backward transfer {}\n",
                matrix.mean, matrix.backward_transfer
            );
            rows.push(json!({"strategy": strategy, "scenario": scenario, "matrix": matrix}));
        }
    }
    for &strategy in of_slices {
        let slices = run.evaluate_slices(&test, tasks, strategy)?;
        text += &format!("{strategy:?}, {tasks} mini-batches of {setting}, after each\n");
        text += &line(&slices.iter().map(|share| share.mean).collect::<Vec<_>>());
        rows.push(json!({"strategy": strategy, "scenario": "mini-batch", "accuracy": slices}));
    }
    bar.finish_and_clear();
    Ok((text, rows.into()))
}

/// The accuracies that the generator's file tells.
pub(super) fn accuracy(arguments: &Arguments, report: &Value) -> BTreeMap<String, f64> {
    let rows = |name: &str| report[name].as_array().into_iter().flatten();
    let alone = rows("test")
        .filter(|row| {
            row["method"] == "generated" && row["unlabelled"] == 0 && row["folder"].is_null()
        })
        .filter_map(|row| {
            let name = format!("{}-way {}-shot", row["ways"], row["shots"]);
            Some((name, row["accuracy"]["mean"].as_f64()?))
        });
    let tasks = arguments.test_tasks();
    let kind = arguments.test_settings().next();
    let kind = kind.map_or_else(String::new, |kind| kind.to_string());
    let in_sequence = rows("continual")
        .filter(|row| row["strategy"] == "continual")
        .filter_map(|row| {
            let scenario = row["scenario"].as_str()?;
            if scenario == "mini-batch" {
                let last = row["accuracy"].as_array()?.last()?;
                let name = format!("{tasks} mini-batches of {kind}");
                return Some((name, last["mean"].as_f64()?));
            }
            let name = format!("{tasks} tasks of {kind}, {scenario}-incremental");
            Some((name, row["matrix"]["mean"]["mean"].as_f64()?))
        });
    alone.chain(in_sequence).collect()
}
