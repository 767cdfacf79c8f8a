//! The commands of patchtool as functions: their options in, their report out.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

use patchtool::cli::Cli;
use patchtool::watch::{Event, Watcher};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::error::{Class, exception, input_error, of_class};
use crate::signals::LOOK;

/// Events that may wait for a slow listener.
const WAITING: usize = 64;

/// Runs a command of patchtool with these arguments, and returns its report as JSON. `progress` is called with every event,
/// as JSON, in the thread of the caller; what it raises, and Ctrl-C, stop the command. Without the GIL.
#[pyfunction]
#[pyo3(signature = (arguments, progress=None))]
pub(crate) fn command(
    py: Python<'_>,
    arguments: Vec<OsString>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    check_process(py)?;
    let program = OsString::from("patchtool");
    let mut cli = Cli::read([program].into_iter().chain(arguments))
        .map_err(|error| input_error(py, error.to_string(), "see help() of this function"))?;
    let (sender, mut events) = sync_channel(WAITING);
    let stopped = Arc::new(AtomicBool::new(false));
    let has_listener = progress.is_some();
    let stop = stopped.clone();
    cli.common.quiet = true;
    cli.common.watcher = Some(Watcher::new(move |event| {
        // A listener that is gone has stopped the command.
        let is_heard = !has_listener || sender.send(json(event)).is_ok();
        is_heard && !stop.load(Ordering::Relaxed)
    }));
    // A thread of its own: this one looks at signals, which no other can.
    let work = std::thread::spawn(move || cli.report());
    let watched = watch(py, &mut events, progress.as_ref());
    stopped.store(watched.is_err(), Ordering::Relaxed);
    drop(events);
    let done = py.detach(|| work.join());
    watched?;
    let report = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let report = report.and_then(|report| match report.failure {
        Some(failure) => Err(failure),
        None => Ok(report.json),
    });
    let json = report.map_err(|error| exception(py, &error))?;
    Ok(json.to_string())
}

/// Hands events on until the work is done.
fn watch(
    py: Python<'_>,
    events: &mut Receiver<Value>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    loop {
        let receiver = &mut *events;
        let event = py.detach(move || receiver.recv_timeout(LOOK));
        py.check_signals()?;
        match (event, progress) {
            (Ok(event), Some(progress)) => {
                progress.call1((event.to_string(),))?;
            }
            // The sender is in the command, and goes with it.
            (Err(RecvTimeoutError::Disconnected), _) => return Ok(()),
            (Ok(_), None) | (Err(RecvTimeoutError::Timeout), _) => {}
        }
    }
}

/// The threads that commands share are those of the process that started them.
fn check_process(py: Python<'_>) -> PyResult<()> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    let own = std::process::id();
    if *FIRST.get_or_init(|| own) == own {
        return Ok(());
    }
    Err(of_class(
        py,
        Class::Error,
        "this process is a fork of one that has run commands, whose threads it does not have"
            .into(),
        "start processes by spawn or forkserver: multiprocessing.get_context(\"spawn\")",
    ))
}

fn json(event: &Event<'_>) -> Value {
    match *event {
        Event::Images { done, all } => json!({ "event": "images", "done": done, "all": all }),
        Event::Step {
            epoch,
            epochs,
            images,
            totals,
        } => {
            let seen = totals.images.max(1) as f64;
            json!({
                "event": "step",
                "epoch": epoch,
                "epochs": epochs,
                "done": totals.images,
                "all": images,
                "loss": totals.loss / seen,
                "accuracy": totals.correct as f64 / seen,
            })
        }
        Event::Epoch {
            epoch,
            epochs,
            measured,
            is_best,
        } => json!({
            "event": "epoch",
            "epoch": epoch,
            "epochs": epochs,
            "loss": measured.train.loss,
            "accuracy": measured.train.accuracy,
            "validation_loss": measured.validation.map(|score| score.loss),
            "validation_accuracy": measured.validation.map(|score| score.accuracy),
            "seconds": measured.seconds,
            "is_best": is_best,
        }),
    }
}
