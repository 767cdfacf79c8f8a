//! The class `Session`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, ThreadId};

use graft_patches::Digest;
use graft_runtime::{Image, Session as Inner};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::array::{self, Images};
use crate::backbone::Backbone;
use crate::error::{Class, exception, input_error, of_class};
use crate::patch::Patch;
use crate::signals::{LOOK, Signals};

/// The memory and threads that run a backbone, with any of its patches at each call. Calls from several threads wait for each
/// other; sessions of their own run at the same time, as the GIL is released.
///
/// Pickles as its backbone and number of threads.
#[pyclass(frozen, module = "graft")]
pub(crate) struct Session {
    backbone: Py<Backbone>,
    /// Of the backbone, which may be closed.
    id: Digest,
    threads: usize,
    /// The process that its threads are in: a fork has none of them.
    process: u32,
    /// Nobody who holds the lock waits, or runs a line of Python.
    state: Mutex<State>,
    /// Told when a call ends.
    ended: Condvar,
}

/// Who has the sessions behind one of Python's.
enum State {
    /// Nobody.
    Free(Box<Sessions>),
    /// A call in this thread, which drops them at its end where they were closed meanwhile.
    Running { thread: ThreadId, is_closed: bool },
    /// They are gone.
    Closed,
    /// They are gone with a call that has panicked.
    Failed,
}

/// The sessions behind one of Python's.
struct Sessions {
    backbone: graft_runtime::Backbone,
    /// Shares the layers of one image among all threads.
    one: Inner<'static>,
    /// Each runs images of its own in a thread of its own: a batch takes less time so.
    each: Vec<Inner<'static>>,
}

#[pymethods]
impl Session {
    /// A session of so many threads, 1 to 256. The threads share the layers of one image, or the images of a batch; scores
    /// are the same bits either way. Raises InputError, ClosedError.
    #[new]
    #[pyo3(signature = (backbone, threads=1))]
    fn new(py: Python<'_>, backbone: Py<Backbone>, threads: usize) -> PyResult<Self> {
        let own = backbone.get().get(py)?;
        let one = Inner::with_threads(&own, threads);
        let one = one.map_err(|error| exception(py, &error.into()))?;
        Ok(Self {
            backbone,
            id: own.id(),
            threads,
            process: std::process::id(),
            state: Mutex::new(State::Free(Box::new(Sessions {
                backbone: own,
                one,
                each: Vec::new(),
            }))),
            ended: Condvar::new(),
        })
    }

    /// Scores of one image or of a batch with a patch: float32 `[classes]`, or `[N, classes]`.
    ///
    /// Images are `[height, width, channels]` or `[N, height, width, channels]` of the patch's input, as whatever NumPy can
    /// view: uint8 pixels, or float32 values that are normalised already, `(pixel - mean) / std`. Pictures of other sizes go
    /// through `patch.preprocess` first. Do not write to the array while the call lasts. Ctrl-C ends it.
    ///
    /// A head that scores each of several places gives `[rows, columns, classes]`, or a batch of these.
    ///
    /// Raises InputError for another shape or dtype, MismatchError for a patch of another backbone, ClosedError, MemoryError, and
    /// Error in the handler of a signal that interrupts a call of this very session.
    fn run<'py>(
        &self,
        patch: &Bound<'py, Patch>,
        images: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut all = self.scores(std::slice::from_ref(patch), images)?;
        Ok(all.remove(0))
    }

    /// Scores of one image or of a batch with each of several patches, which share the layers that they have in common: a
    /// list with what `run` returns for each, the same bits. They have inputs of the same shape.
    fn run_many<'py>(
        &self,
        patches: Vec<Bound<'py, Patch>>,
        images: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        PyList::new(images.py(), self.scores(&patches, images)?)
    }

    /// Gives its memory and threads back: at once, or at the end of the call that is running.
    fn close(&self, py: Python<'_>) {
        if self.is_of_another_process() {
            return;
        }
        let mut state = self.lock();
        let before = match &mut *state {
            State::Running { is_closed, .. } => {
                *is_closed = true;
                return;
            }
            State::Free(_) | State::Closed | State::Failed => {
                std::mem::replace(&mut *state, State::Closed)
            }
        };
        drop(state);
        py.detach(|| drop(before));
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_reason))]
    fn __exit__(&self, py: Python<'_>, _reason: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyAny>, (Py<Backbone>, usize)) {
        let own = slf.get();
        let arguments = (own.backbone.clone_ref(slf.py()), own.threads);
        (slf.get_type().into_any(), arguments)
    }

    /// The backbone that it runs.
    #[getter]
    fn backbone(&self, py: Python<'_>) -> Py<Backbone> {
        self.backbone.clone_ref(py)
    }

    /// Number of threads.
    #[getter]
    fn threads(&self) -> usize {
        self.threads
    }

    fn __repr__(&self) -> String {
        format!("Session({} threads)", self.threads)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_of_another_process() {
            // Its threads are not here to be joined.
            let state = self.state.get_mut();
            let state = state.unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::replace(state, State::Closed));
        }
    }
}

/// The sessions while a call runs them. They go back at its end.
struct Running<'a> {
    session: &'a Session,
    own: Option<Box<Sessions>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        let is_closed = matches!(
            *state,
            State::Running {
                is_closed: true,
                ..
            }
        );
        *state = match self.own.take_if(|_| !is_closed && !thread::panicking()) {
            Some(own) => State::Free(own),
            None if is_closed => State::Closed,
            None => State::Failed,
        };
        drop(state);
        self.session.ended.notify_one();
    }
}

impl Session {
    /// A fork has the session without its threads, and perhaps with its lock held by one of them.
    fn is_of_another_process(&self) -> bool {
        self.process != std::process::id()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sessions for a call; waits for the call of another thread. Called without the GIL.
    fn take(&self) -> PyResult<Running<'_>> {
        if self.is_of_another_process() {
            return Err(failed(
                Class::Error,
                "the session was made in another process, of which this is a fork",
                "make a session in each process, after the fork",
            ));
        }
        let own_thread = thread::current().id();
        let mut signals = Signals::new();
        loop {
            let mut state = self.lock();
            match &*state {
                State::Free(_) => {}
                State::Closed
                | State::Running {
                    is_closed: true, ..
                } => {
                    return Err(failed(
                        Class::ClosedError,
                        "the session was closed",
                        "make a new one",
                    ));
                }
                State::Failed => {
                    return Err(failed(
                        Class::Error,
                        "the session failed in an earlier call",
                        "make a new one, and report that failure",
                    ));
                }
                State::Running { thread, .. } if *thread == own_thread => {
                    return Err(failed(
                        Class::Error,
                        "the session is running in this very thread, which was interrupted by a signal",
                        "use a session of its own in the handler",
                    ));
                }
                State::Running { .. } => {
                    drop(self.ended.wait_timeout(state, LOOK));
                    signals.look()?;
                    continue;
                }
            }
            let running = State::Running {
                thread: own_thread,
                is_closed: false,
            };
            if let State::Free(own) = std::mem::replace(&mut *state, running) {
                return Ok(Running {
                    session: self,
                    own: Some(own),
                });
            }
        }
    }

    /// The scores of images with each of these patches.
    fn scores<'py>(
        &self,
        patches: &[Bound<'py, Patch>],
        images: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = images.py();
        let images = Images::of(images)?;
        let Some(first) = patches.first() else {
            return Err(input_error(py, "no patches".into(), "give at least one"));
        };
        self.check(py, patches)?;
        let count = images.count(py, first.get().input())?;
        let values = first.get().input().len();
        let slices = images.slices()?;
        let patches: Vec<&Patch> = patches.iter().map(Bound::get).collect();
        let rows: Vec<usize> = patches.iter().map(|patch| patch.output().len()).collect();
        let row: usize = rows.iter().sum();
        let length = count.images().checked_mul(row);
        let mut scores = array::room(length)?;
        scores.resize(count.images() * row, 0.0);
        py.detach(|| {
            let bound: Vec<_> = patches.iter().map(|patch| &patch.task().patch).collect();
            let work = Mutex::new(scores.chunks_mut(row.max(1)).enumerate());
            self.run_each(count.images(), |session| {
                let Some((index, row)) = next(&work) else {
                    return Ok(false);
                };
                run_one(session, &bound, slices.image(index, values), row)?;
                Ok(true)
            })
        })?;
        let mut start = 0;
        let mut arrays = Vec::new();
        for (patch, length) in patches.iter().zip(rows) {
            let own = start..start + length;
            let mut of_patch = array::room(Some(count.images() * length))?;
            for all in scores.chunks(row.max(1)) {
                of_patch.extend_from_slice(&all[own.clone()]);
            }
            arrays.push(count.array(py, of_patch, &patch.output_dimensions())?);
            start += length;
        }
        Ok(arrays)
    }

    /// Refuses patches of another backbone, also where there is no image to run, and such as see different images.
    fn check(&self, py: Python<'_>, patches: &[Bound<'_, Patch>]) -> PyResult<()> {
        let input = patches[0].get().input();
        for patch in patches {
            let found = patch.get().task().patch.backbone_id();
            let expected = self.id;
            if found != expected {
                let error = graft_runtime::Error::OtherBackbone { found, expected };
                return Err(exception(py, &error.into()));
            }
            let own = patch.get().input();
            if own != input {
                let [first, own] = [input, own].map(|of| {
                    [of.height, of.width, of.channels]
                        .map(|side| side.to_string())
                        .join(" x ")
                });
                return Err(input_error(
                    py,
                    format!("the patches see different inputs: {first} and {own}"),
                    "run each of them on what its own preprocess makes of the pictures",
                ));
            }
        }
        Ok(())
    }

    /// Calls `step` until it says that nothing is left: in each thread with a session of its own, for one image with a session
    /// that has all threads. Called without the GIL.
    fn run_each(
        &self,
        images: usize,
        step: impl Fn(&mut Inner<'static>) -> Result<bool, graft_runtime::Error> + Sync,
    ) -> PyResult<()> {
        let mut running = self.take()?;
        let sessions = running.own.as_mut();
        let sessions = sessions.expect("they go back when this is dropped");
        let helpers = (self.threads - 1).min(images.saturating_sub(1));
        let (own, others) = sessions.of(helpers).map_err(runtime_error)?;
        let stopped = AtomicBool::new(false);
        let (step, stopped) = (&step, &stopped);
        let mut result = Ok(());
        std::thread::scope(|scope| {
            // With fewer threads than asked for it takes longer, and is the same.
            let others: Vec<_> = others
                .iter_mut()
                .filter_map(|session| {
                    let run = || run_all(session, step, stopped, || Ok(()));
                    Builder::new().spawn_scoped(scope, run).ok()
                })
                .collect();
            let mut signals = Signals::new();
            result = run_all(own, step, stopped, || signals.look());
            for other in others {
                match other.join() {
                    Ok(of_other) if result.is_ok() => result = of_other,
                    Ok(_) => {}
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        result
    }
}

impl Sessions {
    /// A session for the caller and so many for others; without others the one that has all threads.
    fn of(
        &mut self,
        helpers: usize,
    ) -> Result<(&mut Inner<'static>, &mut [Inner<'static>]), graft_runtime::Error> {
        if helpers == 0 {
            return Ok((&mut self.one, &mut []));
        }
        while self.each.len() <= helpers {
            self.each.push(Inner::new(&self.backbone)?);
        }
        let (own, others) = self.each.split_at_mut(1);
        Ok((&mut own[0], &mut others[..helpers]))
    }
}

/// Steps until nothing is left, or a thread has failed; `look` is called between two steps.
fn run_all(
    session: &mut Inner<'static>,
    step: impl Fn(&mut Inner<'static>) -> Result<bool, graft_runtime::Error>,
    stopped: &AtomicBool,
    mut look: impl FnMut() -> PyResult<()>,
) -> PyResult<()> {
    let mut run = || {
        while !stopped.load(Ordering::Relaxed) && step(session).map_err(runtime_error)? {
            look()?;
        }
        Ok(())
    };
    let result = run();
    stopped.fetch_or(result.is_err(), Ordering::Relaxed);
    result
}

/// The next image's index and the place of its scores.
fn next<T>(work: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    work.lock().ok()?.next()
}

/// Writes the scores of all patches for one image.
fn run_one(
    session: &mut Inner<'static>,
    patches: &[&graft_runtime::Patch],
    image: Image<'_>,
    row: &mut [f32],
) -> Result<(), graft_runtime::Error> {
    if let [patch] = patches {
        row.copy_from_slice(session.run(patch, image)?);
        return Ok(());
    }
    let mut rest = row;
    session.run_many(patches, image, |_, scores| {
        let (own, others) = std::mem::take(&mut rest).split_at_mut(scores.len());
        own.copy_from_slice(scores);
        rest = others;
    })
}

fn runtime_error(error: graft_runtime::Error) -> PyErr {
    Python::attach(|py| exception(py, &error.into()))
}

fn failed(class: Class, message: &str, hint: &'static str) -> PyErr {
    Python::attach(|py| of_class(py, class, message.into(), hint))
}
