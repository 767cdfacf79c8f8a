//! The class `Backbone`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use graft_patches::metadata::BackboneMetadata;
use graft_patches::records::Input;
use patchtool::{input, task};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{Class, exception, of_class};
use crate::patch::Patch;

/// A frozen network. Its file is mapped: all processes of a machine that open it share one copy in memory, so it must not be
/// written to in place (`patchtool` replaces files by renaming others, which is safe).
///
/// Pickles as its path and digest, and refuses another file under that path.
#[pyclass(frozen, module = "graft")]
pub(crate) struct Backbone {
    path: PathBuf,
    digest: String,
    metadata: BackboneMetadata,
    own: Mutex<Option<graft_runtime::Backbone>>,
}

impl Backbone {
    /// The backbone of the runtime, which shares its memory.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<graft_runtime::Backbone> {
        let own = self.own.lock().ok().and_then(|own| own.clone());
        own.ok_or_else(|| {
            let message = format!("the backbone {} was closed", self.path.display());
            of_class(
                py,
                Class::ClosedError,
                message,
                "open it again with graft.Backbone.open",
            )
        })
    }

    pub(crate) fn metadata(&self) -> &BackboneMetadata {
        &self.metadata
    }
}

/// An absolute path, by which another process finds the same file.
pub(crate) fn absolute(py: Python<'_>, path: &Path) -> PyResult<PathBuf> {
    std::path::absolute(path).map_err(|error| exception(py, &error.into()))
}

/// Refuses a file that is not the one that was opened.
pub(crate) fn check_digest(
    py: Python<'_>,
    path: &Path,
    found: &str,
    expected: &str,
) -> PyResult<()> {
    if found == expected {
        return Ok(());
    }
    let path = path.display();
    Err(of_class(
        py,
        Class::MismatchError,
        format!(
            "{path} is another file than the one that was opened: digest {found}, expected {expected}"
        ),
        "open the file that is there now, or bring the other one back under this path",
    ))
}

#[pymethods]
impl Backbone {
    /// Opens a `.backbone` file and checks all of it. Raises FileError.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let path = absolute(py, &path)?;
        let opened = py.detach(|| {
            let backbone = input::backbone(&path)?;
            let metadata = backbone.image().metadata()?;
            anyhow::Ok((backbone, metadata))
        });
        let (backbone, metadata) = opened.map_err(|error| exception(py, &error))?;
        Ok(Self {
            digest: backbone.image().digest().to_string(),
            path,
            metadata,
            own: Mutex::new(Some(backbone)),
        })
    }

    #[staticmethod]
    fn _reopen(py: Python<'_>, path: PathBuf, digest: &str) -> PyResult<Self> {
        let opened = Self::open(py, path)?;
        check_digest(py, &opened.path, &opened.digest, digest)?;
        Ok(opened)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (PathBuf, String))> {
        let own = slf.get();
        let again = slf.get_type().getattr("_reopen")?;
        Ok((again, (own.path.clone(), own.digest.clone())))
    }

    /// Lets go of the file. Patches and sessions that are open keep it until they are gone, too.
    fn close(&self) {
        if let Ok(mut own) = self.own.lock() {
            *own = None;
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_reason))]
    fn __exit__(&self, _reason: &Bound<'_, PyTuple>) {
        self.close();
    }

    /// The backbone's own head and epilogues, as a patch like any other.
    fn identity(slf: &Bound<'_, Self>) -> PyResult<Patch> {
        let py = slf.py();
        let backbone = slf.get().get(py)?;
        let task = task::own_task(&backbone, slf.get().metadata());
        let task = task.map_err(|error| exception(py, &error))?;
        Patch::new(py, (slf.clone().unbind(), &backbone), None, task)
    }

    /// Absolute path of the file.
    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Digest (BLAKE3) of the whole file, in hexadecimal.
    #[getter]
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Id that patches name: the digest of the frozen part, in hexadecimal.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.get(py)?.id().to_string())
    }

    /// Name, such as `efficientnet-lite0`.
    #[getter]
    fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Names of the backbone's own classes, by index; may be empty.
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.metadata.labels.clone()
    }

    /// Dtype that it computes in: `f32` or `int8`.
    #[getter]
    fn dtype(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.get(py)?.image().dtype().to_string())
    }

    /// Height, width and channels of its own input.
    #[getter]
    fn input_shape(&self, py: Python<'_>) -> PyResult<(usize, usize, usize)> {
        Ok(shape(&self.get(py)?.image().input()))
    }

    /// Names of the layers, by index.
    #[getter]
    fn layers(&self) -> Vec<String> {
        self.metadata.layers.clone()
    }

    fn __repr__(&self) -> String {
        format!(
            "Backbone({:?}, digest {}...)",
            self.path,
            &self.digest[..12]
        )
    }

    fn __fspath__(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

pub(crate) fn shape(input: &Input) -> (usize, usize, usize) {
    (input.shape.height, input.shape.width, input.shape.channels)
}
