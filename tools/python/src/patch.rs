//! The class `Patch`.

use std::ffi::OsString;
use std::path::PathBuf;

use graft_data::image_file;
use graft_patches::geometry::Shape;
use graft_patches::plan::infer_shapes;
use image::RgbImage;
use numpy::PyArrayMethods as _;
use patchtool::confidence;
use patchtool::task::{self, Task};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::array::{self, Count, Images, Slices};
use crate::backbone::{Backbone, absolute, check_digest, shape};
use crate::error::{exception, input_error};

/// The replacements of a task, checked and bound to a backbone: any session of that backbone runs it.
///
/// Pickles as its path, its digest and its backbone, and refuses another file under that path.
#[pyclass(frozen, module = "graft")]
pub(crate) struct Patch {
    backbone: Py<Backbone>,
    /// None for the backbone's own.
    path: Option<PathBuf>,
    task: Task,
    /// Of the scores: one pixel, unless the head scores each of several places.
    output: Shape,
}

impl Patch {
    /// A task of a backbone, which is this one in the runtime.
    pub(crate) fn new(
        py: Python<'_>,
        (backbone, own): (Py<Backbone>, &graft_runtime::Backbone),
        path: Option<PathBuf>,
        task: Task,
    ) -> PyResult<Self> {
        let image = own.image();
        let mut shapes = vec![Shape::default(); image.layer_count() + 1];
        infer_shapes(&image, task.patch.input().shape, &mut shapes)
            .map_err(|error| exception(py, &error.into()))?;
        let last = shapes[image.layer_count()];
        Ok(Self {
            backbone,
            path,
            output: Shape::new(last.height, last.width, task.patch.classes()),
            task,
        })
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    pub(crate) fn input(&self) -> Shape {
        self.task.patch.input().shape
    }

    /// The scores of one image.
    pub(crate) fn output(&self) -> Shape {
        self.output
    }

    /// The dimensions of the array that they are.
    pub(crate) fn output_dimensions(&self) -> Vec<usize> {
        let Shape {
            height,
            width,
            channels,
        } = self.output;
        match self.output.pixels() {
            1 => vec![channels],
            _ => vec![height, width, channels],
        }
    }

    fn image_digest(&self) -> Option<String> {
        let image = self.task.patch.image();
        image.map(|image| image.digest().to_string())
    }
}

#[pymethods]
impl Patch {
    /// Opens a `.patch` file, checks all of it, and binds it to a backbone. Raises FileError, and MismatchError where it was
    /// made for another backbone.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, backbone: Py<Backbone>) -> PyResult<Self> {
        let path = absolute(py, &path)?;
        let bound = backbone.get();
        let own = bound.get(py)?;
        let task = py.detach(|| task::open_task(&path, &own, bound.metadata()));
        let task = task.map_err(|error| exception(py, &error))?;
        Self::new(py, (backbone, &own), Some(path), task)
    }

    #[staticmethod]
    fn _reopen(
        py: Python<'_>,
        path: PathBuf,
        digest: &str,
        backbone: Py<Backbone>,
    ) -> PyResult<Self> {
        let opened = Self::open(py, path.clone(), backbone)?;
        check_digest(py, &path, &opened.digest(), digest)?;
        Ok(opened)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, own) = (slf.py(), slf.get());
        let backbone = own.backbone.bind(py);
        let reduced = match &own.path {
            Some(path) => {
                let arguments = (path.clone(), own.digest(), backbone);
                (slf.get_type().getattr("_reopen")?, arguments).into_pyobject(py)?
            }
            None => {
                let identity = backbone.get_type().getattr("identity")?;
                (identity, (backbone,)).into_pyobject(py)?
            }
        };
        Ok(reduced.into_any())
    }

    /// The backbone that it is bound to.
    #[getter]
    fn backbone(&self, py: Python<'_>) -> Py<Backbone> {
        self.backbone.clone_ref(py)
    }

    /// Absolute path of the file; None for a backbone's own.
    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    /// Digest (BLAKE3) of the whole file, in hexadecimal; of a backbone's own that of the backbone.
    #[getter]
    fn digest(&self) -> String {
        let own = self.image_digest();
        own.unwrap_or_else(|| self.backbone.get().digest().to_owned())
    }

    /// File name, or the name of the backbone.
    #[getter]
    fn name(&self) -> &str {
        &self.task.name
    }

    /// Kinds that it combines, such as `bn+head`; `none` for a backbone's own.
    #[getter]
    fn kinds(&self) -> String {
        self.task.patch.receipt().kinds.to_string()
    }

    /// Number of scores.
    #[getter]
    fn classes(&self) -> usize {
        self.task.patch.classes()
    }

    /// Names of the classes, by index of the score; `class 3` where the file has none.
    #[getter]
    fn labels(&self) -> Vec<String> {
        let classes = 0..self.task.patch.classes();
        classes.map(|index| self.task.label(index)).collect()
    }

    /// Height, width and channels of the input.
    #[getter]
    fn input_shape(&self) -> (usize, usize, usize) {
        shape(&self.task.patch.input())
    }

    /// Subtracted from each channel of pixels, on the scale 0 to 255.
    #[getter]
    fn mean(&self) -> Vec<f32> {
        let input = self.task.patch.input();
        input.mean[..input.shape.channels].to_vec()
    }

    /// Divisor of each channel after that, on the same scale.
    #[getter]
    fn std(&self) -> Vec<f32> {
        let input = self.task.patch.input();
        input.std[..input.shape.channels].to_vec()
    }

    /// What scores are divided by before their softmax; 1 where nobody has measured it (`patchtool calibrate`).
    #[getter]
    fn temperature(&self) -> f32 {
        self.task.patch.temperature()
    }

    /// A picture at the input's size, as `patchtool run` brings it there: uint8 `[height, width, channels]`.
    ///
    /// A picture is the path of a JPEG or PNG file, or pixels of any size: uint8 `[H, W, 3]`, `[H, W, 1]` or `[H, W]`.
    /// Raises FileError, InputError.
    fn preprocess<'py>(&self, picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = picture.py();
        let pixels = match array::path(picture) {
            Some(path) => py
                .detach(|| Ok(self.task.preprocess.pixels(&image_file::open(&path)?)))
                .map_err(|error| exception(py, &error))?,
            None => {
                let picture = rgb(py, &Images::of(picture)?)?;
                py.detach(|| self.task.preprocess.pixels(&picture))
            }
        };
        let (height, width, channels) = self.input_shape();
        let flat = numpy::PyArray1::from_vec(py, pixels);
        Ok(flat.reshape([height, width, channels])?.into_any())
    }

    /// Probabilities of scores, `[classes]` or `[N, classes]`, as float64 of the same shape: the softmax at the patch's
    /// temperature, as `patchtool run` prints it (of a single class its sigmoid). Raises InputError.
    fn probabilities<'py>(&self, scores: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = scores.py();
        let classes = self.classes();
        let images = Images::of(scores)?;
        let (count, Slices::Values(values)) = (rows(images.shape(), classes), images.slices()?)
        else {
            return Err(scores_expected(py, classes));
        };
        let count = count.ok_or_else(|| scores_expected(py, classes))?;
        let temperature = self.temperature();
        let rows = values.chunks_exact(classes.max(1));
        let all = rows.flat_map(|row| confidence::probabilities(row, temperature));
        count.array(py, all.collect(), &[classes])
    }

    fn __fspath__(&self) -> PyResult<OsString> {
        let path = self.path.clone().map(OsString::from);
        path.ok_or_else(|| PyTypeError::new_err("a backbone's own patch has no file"))
    }

    fn __repr__(&self) -> String {
        let kinds = self.kinds();
        format!(
            "Patch({:?}, {kinds}, {} classes)",
            self.task.name,
            self.classes()
        )
    }
}

fn rows(shape: &[usize], classes: usize) -> Option<Count> {
    match *shape {
        [found] if found == classes => Some(Count::One),
        [count, found] if found == classes => Some(Count::Batch(count)),
        _ => None,
    }
}

fn scores_expected(py: Python<'_>, classes: usize) -> PyErr {
    input_error(
        py,
        format!("expected float32 scores of shape [{classes}] or [N, {classes}]"),
        "give what session.run returns for this patch",
    )
}

/// Pixels as a picture of three channels.
fn rgb(py: Python<'_>, images: &Images<'_>) -> PyResult<RgbImage> {
    let wrong = || {
        input_error(
            py,
            format!(
                "a picture of shape {:?}, expected uint8 [H, W, 3], [H, W, 1] or [H, W]",
                images.shape()
            ),
            "give one picture at a time, as pixels from 0 to 255",
        )
    };
    let Slices::Pixels(pixels) = images.slices()? else {
        return Err(wrong());
    };
    let (height, width, bytes) = match *images.shape() {
        [height, width, 3] => (height, width, pixels.to_vec()),
        [height, width, 1] | [height, width] => (
            height,
            width,
            pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
        ),
        _ => return Err(wrong()),
    };
    let is_empty = height == 0 || width == 0;
    let (Ok(width), Ok(height), false) = (width.try_into(), height.try_into(), is_empty) else {
        return Err(wrong());
    };
    RgbImage::from_raw(width, height, bytes).ok_or_else(wrong)
}
