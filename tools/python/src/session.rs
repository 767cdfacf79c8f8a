//! The class `Session`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use graft_runtime::{Image, Session as Inner};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::array::Images;
use crate::backbone::Backbone;
use crate::error::{Class, exception, input_error, of_class};
use crate::patch::Patch;

/// Time between two looks at whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(100);

/// The memory and threads that run a backbone, with any of its patches at each call. Calls from several threads wait for each
/// other; sessions of their own run at the same time, as the GIL is released.
///
/// Pickles as its backbone and number of threads.
#[pyclass(frozen, module = "graft")]
pub(crate) struct Session {
    backbone: Py<Backbone>,
    threads: usize,
    /// The process that its threads are in: a fork has none of them.
    process: u32,
    /// None once it is closed.
    inner: Mutex<Option<Sessions>>,
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
            threads,
            process: std::process::id(),
            inner: Mutex::new(Some(Sessions {
                backbone: own,
                one,
                each: Vec::new(),
            })),
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
    /// Raises InputError for another shape or dtype, MismatchError for a patch of another backbone, ClosedError.
    fn run<'py>(
        &self,
        patch: &Bound<'py, Patch>,
        images: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut all = self.scores(std::slice::from_ref(patch), images)?;
        Ok(all.remove(0))
    }

    /// Scores of one image or of a batch with each of several patches, which share the layers that they have in common: a
    /// list with what `run` returns for each, the same bits.
    fn run_many<'py>(
        &self,
        patches: Vec<Bound<'py, Patch>>,
        images: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        PyList::new(images.py(), self.scores(&patches, images)?)
    }

    /// Gives its memory and threads back.
    fn close(&self, py: Python<'_>) {
        // Whoever runs has the lock, and may wait for the GIL.
        py.detach(|| match self.inner.lock() {
            Ok(mut inner) => *inner = None,
            Err(poisoned) => *poisoned.into_inner() = None,
        });
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

impl Session {
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
        let mut count = images.count(py, first.get().input())?;
        for patch in &patches[1..] {
            count = images.count(py, patch.get().input())?;
        }
        let values = first.get().input().len();
        let slices = images.slices()?;
        let patches: Vec<&Patch> = patches.iter().map(Bound::get).collect();
        let rows: Vec<usize> = patches.iter().map(|patch| patch.output().len()).collect();
        let row: usize = rows.iter().sum();
        let mut scores = vec![0.0; count.images() * row];
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
            let of_patch = scores.chunks(row.max(1)).flat_map(|all| &all[own.clone()]);
            arrays.push(count.array(
                py,
                of_patch.copied().collect(),
                &patch.output_dimensions(),
            )?);
            start += length;
        }
        Ok(arrays)
    }

    /// Calls `step` until it says that nothing is left: in each thread with a session of its own, for one image with a session
    /// that has all threads. Called without the GIL.
    fn run_each(
        &self,
        images: usize,
        step: impl Fn(&mut Inner<'static>) -> Result<bool, graft_runtime::Error> + Sync,
    ) -> PyResult<()> {
        if self.process != std::process::id() {
            return Err(failed(
                Class::Error,
                "the session was made in another process, of which this is a fork",
                "make a session in each process, after the fork",
            ));
        }
        let mut inner = self.inner.lock().map_err(|_| {
            failed(
                Class::Error,
                "the session failed in an earlier call",
                "make a new one, and report that failure",
            )
        })?;
        let Some(sessions) = inner.as_mut() else {
            return Err(failed(
                Class::ClosedError,
                "the session was closed",
                "make a new one",
            ));
        };
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
            let mut looked = Instant::now();
            result = run_all(own, step, stopped, || {
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    Python::attach(|py| py.check_signals())?;
                }
                Ok(())
            });
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
