//! The tasks of a training: one, or several that share a backbone.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;

use super::Arguments;
use crate::hint::Hint;
use crate::train::sets::HeldOut;
use graft_data::output;

/// Arguments of simultaneous training.
#[derive(Debug, Args)]
pub struct Tasks {
    /// Train several tasks together: each task's patch and head, and the weights of the backbone, which all of them share.
    /// Out comes a folder with a backbone and a trained file for each task. Several times, in place of --data. Several
    /// --resolution do the same for the images of --data: a patch for each, and one head for all. The backbone's own head and
    /// epilogues are the first task's, at the resolution that it had before. Shares of tasks with the same images are drawn for
    /// each alone: give those --task-test and --task-validation.
    #[arg(long, value_name = "NAME=DIR", value_parser = named)]
    pub task: Vec<(String, PathBuf)>,
    /// Images to test a task of --task on.
    #[arg(long, value_name = "NAME=DIR", value_parser = named)]
    pub task_test: Vec<(String, PathBuf)>,
    /// Images to choose the best epoch by for a task of --task, in place of a share of its own: the epoch with the highest
    /// mean of the tasks' validation accuracies is kept.
    #[arg(long, value_name = "NAME=DIR", value_parser = named)]
    pub task_validation: Vec<(String, PathBuf)>,
    /// Steps of a task in each round of simultaneous training, in which the others have one. An epoch has as many rounds as
    /// it takes until every image of every task was learned from.
    #[arg(long, value_name = "NAME=N", value_parser = share)]
    pub share: Vec<(String, usize)>,
    /// Start simultaneous training from untrained weights, with batch norms in batch mode: of the backbone, only the layers are
    /// used.
    #[arg(long)]
    pub from_scratch: bool,
}

/// Images that choose the best epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum Validation {
    /// A share of every class of the data, from 0 to below 1.
    Share(f32),
    /// A data set of its own.
    Path(PathBuf),
}

impl FromStr for Validation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(share) if (0.0..1.0).contains(&share) => Ok(Self::Share(share)),
            Ok(_) => Err(format!(
                "expected a share from 0 to below 1, or a folder or archive: one of this name is ./{text}"
            )),
            Err(_) => Ok(Self::Path(text.into())),
        }
    }
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => share.fmt(f),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// A task: its images, and what it is told by.
pub(super) struct Source<'a> {
    /// Its name.
    pub(super) name: String,
    /// To learn from.
    pub(super) data: &'a Path,
    /// To choose the best epoch by.
    pub(super) validation: HeldOut<'a>,
    /// To test with.
    pub(super) test: HeldOut<'a>,
    /// Side of the input, where it is not the backbone's.
    pub(super) resolution: Option<[usize; 2]>,
    /// Its steps in a round.
    pub(super) share: usize,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if is_file_name(name) && !path.is_empty() => {
            Ok((name.into(), path.into()))
        }
        _ => Err("expected NAME=DIR, where a file can have the name".into()),
    }
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
}

fn share(text: &str) -> Result<(String, usize), String> {
    let share = text.split_once('=').and_then(|(name, steps)| {
        let steps = steps
            .parse::<usize>()
            .ok()
            .filter(|steps| (1..=1000).contains(steps));
        Some((name.into(), steps?))
    });
    share.ok_or_else(|| "expected NAME=N with N from 1 to 1000".into())
}

impl Arguments {
    /// Whether several tasks are trained together.
    pub(super) fn is_joint(&self) -> bool {
        !self.tasks.task.is_empty() || self.resolution.len() > 1
    }

    /// The only task.
    pub(super) fn source(&self) -> Result<Source<'_>> {
        let tasks = &self.tasks;
        let joint = [
            ("--task-test", !tasks.task_test.is_empty()),
            ("--task-validation", !tasks.task_validation.is_empty()),
            ("--share", !tasks.share.is_empty()),
            ("--from-scratch", tasks.from_scratch),
        ];
        if let Some((flag, _)) = joint.iter().find(|(_, is_given)| *is_given) {
            bail!(Hint::new(
                format!("{flag} is for several tasks that are trained together"),
                "leave it out, or give several --task NAME=DIR or several --resolution",
            ));
        }
        Ok(Source {
            name: self.name(),
            data: self.data(),
            validation: self.validation(),
            test: self.test(),
            resolution: self.resolution.first().copied(),
            share: 1,
        })
    }

    /// All tasks that are trained together.
    pub(super) fn sources(&self) -> Result<Vec<Source<'_>>> {
        self.check_joint()?;
        let mut sources = match &self.data {
            Some(_) => self.sources_of_resolutions(),
            None => self.sources_of_tasks()?,
        };
        let names: BTreeSet<String> = sources.iter().map(|source| source.name.clone()).collect();
        if names.len() < sources.len() {
            bail!(Hint::new(
                "two tasks have one name".into(),
                "give each task a name, and each resolution, once",
            ));
        }
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let Tasks {
            task_test,
            task_validation,
            share,
            ..
        } = &self.tasks;
        let of = |named: &[(String, PathBuf)]| named.iter().map(|(name, _)| name.clone()).collect();
        check_names("--task-test", of(task_test), &known)?;
        check_names("--task-validation", of(task_validation), &known)?;
        let shares = share.iter().map(|(name, _)| name.clone()).collect();
        check_names("--share", shares, &known)?;
        for source in &mut sources {
            let own = share.iter().find(|(name, _)| *name == source.name);
            source.share = own.map_or(1, |(_, steps)| *steps);
        }
        Ok(sources)
    }

    fn sources_of_tasks(&self) -> Result<Vec<Source<'_>>> {
        let Tasks {
            task,
            task_test,
            task_validation,
            ..
        } = &self.tasks;
        let own_only = [
            ("--test", self.test.is_some(), "--task-test NAME=DIR"),
            (
                "--validation with a folder",
                matches!(self.validation, Validation::Path(_)),
                "--task-validation NAME=DIR",
            ),
        ];
        if let Some((flag, _, instead)) = own_only.iter().find(|(_, is_given, _)| *is_given) {
            bail!(Hint::new(
                format!("{flag} is of one task; of several, each has its own: {instead}"),
                "give that for every task",
            ));
        }
        if self.resolution.len() > 1 {
            bail!(Hint::new(
                "several resolutions are of one task".into(),
                "give one --resolution, or --data in place of --task",
            ));
        }
        if task.len() == 1 {
            bail!(Hint::new(
                "one task alone has none to share a backbone with".into(),
                "give another --task NAME=DIR, or train a patch: --data in place of --task",
            ));
        }
        let of = |named: &'_ [(String, PathBuf)], name: &str| {
            named.iter().position(|(other, _)| other == name)
        };
        let sources = task.iter().map(|(name, data)| Source {
            name: name.clone(),
            data,
            validation: match of(task_validation, name) {
                Some(at) => HeldOut::Path(&task_validation[at].1),
                None => self.validation(),
            },
            test: match of(task_test, name) {
                Some(at) => HeldOut::Path(&task_test[at].1),
                None => self.test(),
            },
            resolution: self.resolution.first().copied(),
            share: 1,
        });
        Ok(sources.collect())
    }

    /// One for each resolution, of the same images: each has the same validation images, which no other learns from.
    fn sources_of_resolutions(&self) -> Vec<Source<'_>> {
        let sources = self.resolution.iter().map(|&[height, width]| Source {
            name: match height == width {
                true => format!("{}-{height}", self.name()),
                false => format!("{}-{height}x{width}", self.name()),
            },
            data: self.data(),
            validation: self.validation(),
            test: self.test(),
            resolution: Some([height, width]),
            share: 1,
        });
        sources.collect()
    }

    /// Whether there is nothing among the arguments that is for one task.
    fn check_joint(&self) -> Result<()> {
        if self.kind.is_baseline() {
            bail!(Hint::new(
                format!("{} is no kind of patch", self.kind),
                "give the --kind of the patches: head, bn+head, dw+head or bn+dw+head",
            ));
        }
        let alone = [
            ("--from-layer", self.from_layer.is_some()),
            ("--start", self.start.is_some()),
            ("--average", self.average.is_some()),
            ("--sparse", self.sparse.is_some()),
            ("--probe", self.probe),
            ("--curves", self.curves.is_some()),
            ("--confusion", self.confusion.is_some()),
            ("-o -", output::is_stdout(&self.output.output)),
        ];
        if let Some((flag, _)) = alone.iter().find(|(_, is_given)| *is_given) {
            bail!(Hint::new(
                format!("{flag} is for the training of one task"),
                "leave it out: several tasks that are trained together give a folder, one file for each",
            ));
        }
        Ok(())
    }
}

/// Whether all of these are names of tasks, and none is there twice.
fn check_names(flag: &str, names: Vec<String>, known: &[&str]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !known.contains(&name.as_str()) {
            bail!(Hint::new(
                format!("{flag} names {name}, the tasks are {}", known.join(", ")),
                "give the name of a task",
            ));
        }
        if !seen.insert(name.clone()) {
            bail!(Hint::new(
                format!("{flag} names {name} twice"),
                "give it once for each task",
            ));
        }
    }
    Ok(())
}
