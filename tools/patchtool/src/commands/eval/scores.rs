//! The scores of labelled images.

use std::sync::Mutex;

use anyhow::Result;
use graft_runtime::{Backbone, Session};

use crate::bar;
use crate::commands::arguments::Common;
use crate::task::Task;
use crate::threads;
use graft_data::classes::map_classes;
use graft_data::dataset::Dataset;
use graft_data::left_out::LeftOut;

/// An image as a task sees it.
pub(in crate::commands) struct Seen {
    /// The right class.
    pub(in crate::commands) target: usize,
    pub(in crate::commands) pixels: Vec<u8>,
    pub(in crate::commands) scores: Vec<f32>,
}

/// Runs every image of a data set with each of the tasks, whose backbone this is, and gives what they see to `each`, in the
/// order of the images. Says what is left out.
///
/// # Errors
/// Data whose classes are not the tasks', not one image that can be read, errors of the runtime and of `each`.
pub(in crate::commands) fn for_each(
    backbone: &Backbone,
    tasks: &[Task],
    dataset: &Dataset,
    (threads, common): (usize, &Common),
    mut each: impl FnMut(Vec<Seen>) -> Result<()>,
) -> Result<LeftOut> {
    let classes = tasks
        .iter()
        .map(|task| map_classes(dataset.classes(), &task.labels, task.patch.classes()))
        .collect::<Result<Vec<_>, _>>()?;
    threads::start(threads)?;
    let sessions = Mutex::new(Vec::new());
    let work = |index: usize, image: image::RgbImage| {
        let taken = sessions.lock().ok().and_then(|mut sessions| sessions.pop());
        let mut session = taken.map_or_else(|| Session::new(backbone), Ok)?;
        let see = |(task, classes): (&Task, &Vec<usize>)| {
            let pixels = task.preprocess.pixels(&image);
            Ok(Seen {
                target: classes[dataset.items()[index].class],
                scores: session.run(&task.patch, &pixels)?.to_vec(),
                pixels,
            })
        };
        let seen = tasks.iter().zip(&classes).map(see);
        let seen = seen.collect::<Result<Vec<_>, graft_runtime::Error>>();
        if let Ok(mut sessions) = sessions.lock() {
            sessions.push(session);
        }
        seen
    };
    let bar = bar::images(dataset.len(), &common.watch());
    let all: Vec<usize> = (0..dataset.len()).collect();
    let unreadable = dataset.for_each(&all, work, |_, seen| {
        bar.inc()?;
        each(seen?)
    })?;
    bar.finish_and_clear();
    for error in &unreadable {
        tracing::warn!("left out: {}", error.reason());
    }
    let mut left_out = dataset.left_out().clone();
    left_out.add_unreadable(&unreadable);
    if unreadable.len() == dataset.len()
        && let Some(first) = unreadable.into_iter().next()
    {
        let all = format!("none of {} images can be read; the first", dataset.len());
        return Err(anyhow::Error::new(first).context(all));
    }
    Ok(left_out)
}
