//! The class `Patch`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Cursor;
use std::path::PathBuf;

use graft_data::image_file::{self, ImageFileError};
use graft_patches::geometry::Shape;
use graft_patches::plan::infer_shapes;
use graft_patches::writer;
use graft_runtime::ImageBytes;
use image::{ImageBuffer, ImageFormat, Rgb, RgbImage};
use patchtool::confidence;
use patchtool::task::{self, Task};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes};

use crate::array::{self, Count, Images, Slices};
use crate::backbone::{Backbone, absolute, check_digest, shape};
use crate::error::{exception, input_error};
use crate::signals::Signals;

/// The replacements of a task, checked and bound to a backbone: any session of that backbone runs it.
///
/// Pickles as its path, its digest and its backbone, and refuses another file under that path.
#[pyclass(frozen, module = "graft")]
pub(crate) struct Patch {
    backbone: Py<Backbone>,
    /// The file; None for the backbone's own, and of bytes.
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

    /// Pictures at the input's size, one after the other. Called without the GIL.
    fn prepared(&self, pictures: &Pictures<'_>) -> PyResult<Vec<u8>> {
        let (count, length) = (pictures.count.images(), self.input().len());
        let mut pixels = array::room(count.checked_mul(length))?;
        let mut signals = Signals::new();
        for index in 0..count {
            let picture = pictures.one(index)?;
            pixels.extend_from_slice(&self.task.preprocess.pixels(&picture));
            signals.look()?;
        }
        Ok(pixels)
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

    /// As `open`, of the content of a `.patch` file. Such a patch pickles with that content.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8], backbone: Py<Backbone>) -> PyResult<Self> {
        let bound = backbone.get();
        let own = bound.get(py)?;
        let task = py.detach(|| {
            let patch = graft_runtime::Patch::from_bytes(data, &own)?;
            let name = patch.image().map(|image| image.metadata()).transpose()?;
            let name = name.unwrap_or_default().name;
            task::patch_task(name, patch, &own, bound.metadata())
        });
        let task = task.map_err(|error| exception(py, &error))?;
        Self::new(py, (backbone, &own), None, task)
    }

    /// The content of its file, from which `from_bytes` makes it again. Raises InputError for a backbone's own, which has none.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let image = self.task.patch.image().ok_or_else(|| {
            let message = "a backbone's own head is in no patch file".into();
            input_error(py, message, "make it again with backbone.identity()")
        })?;
        Ok(PyBytes::new(py, image.bytes()))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, own) = (slf.py(), slf.get());
        let backbone = own.backbone.bind(py);
        let reduced = match (&own.path, own.task.patch.image()) {
            (Some(path), _) => {
                let arguments = (path.clone(), own.digest(), backbone);
                (slf.get_type().getattr("_reopen")?, arguments).into_pyobject(py)?
            }
            (None, Some(_)) => {
                let arguments = (own.to_bytes(py)?, backbone);
                (slf.get_type().getattr("from_bytes")?, arguments).into_pyobject(py)?
            }
            (None, None) => {
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

    /// Absolute path of the file; None for a backbone's own, and for one of bytes.
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

    /// Way from a picture to the input, as `import_onnx` takes it, such as `crop:0.875:bilinear`.
    #[getter]
    fn resize(&self, py: Python<'_>) -> PyResult<String> {
        let image = self.task.patch.image();
        let own = image.map(|image| image.metadata()).transpose();
        let own = own.map_err(|error| exception(py, &error.into()))?;
        let base = self.backbone.get().metadata().resize;
        Ok(own.map_or(base, |own| own.resize).to_string())
    }

    /// What scores are divided by before their softmax; 1 where nobody has measured it (`patchtool calibrate`).
    #[getter]
    fn temperature(&self) -> f32 {
        self.task.patch.temperature()
    }

    /// A picture at the input's size, as `patchtool run` brings it there: uint8 `[height, width, channels]`.
    ///
    /// A picture is the path of a JPEG or PNG file, the bytes in such a file, or pixels of any size: uint8 `[H, W, 3]`,
    /// `[H, W, 1]` or `[H, W]`. Several of one size, `[N, H, W, 3]` or `[N, H, W, 1]`, give `[N, height, width, channels]`.
    /// Ctrl-C ends it. Raises FileError, InputError, MemoryError.
    fn preprocess<'py>(&self, picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = picture.py();
        let one = |decode: &(dyn Fn() -> Result<RgbImage, ImageFileError> + Sync)| {
            let pixels = py.detach(|| Ok(self.task.preprocess.pixels(&decode()?)));
            let pixels = pixels.map_err(|error: ImageFileError| exception(py, &error.into()))?;
            PyResult::Ok((Count::One, pixels))
        };
        let bytes = picture.cast::<PyBytes>().map(|bytes| bytes.as_bytes());
        let (count, pixels) = match (array::path(picture), bytes) {
            (Some(path), _) => one(&|| image_file::open(&path))?,
            (None, Ok(bytes)) => one(&|| image_file::decode("<bytes>", bytes))?,
            (None, Err(_)) => {
                let images = Images::of(picture)?;
                let pictures = Pictures::of(py, &images)?;
                (pictures.count, py.detach(|| self.prepared(&pictures))?)
            }
        };
        let (height, width, channels) = self.input_shape();
        count.array(py, pixels, &[height, width, channels])
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
        path.ok_or_else(|| PyTypeError::new_err("the patch has no file"))
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

/// A picture as a PNG file: uint8 `[height, width, 3 or 1]`.
#[pyfunction]
pub(crate) fn png<'py>(picture: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = picture.py();
    let images = Images::of(picture)?;
    let pictures = Pictures::of(py, &images)?;
    if pictures.count != Count::One {
        return Err(input_error(py, "several pictures".into(), "give one"));
    }
    let mut bytes = Cursor::new(Vec::new());
    pictures
        .one(0)?
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| exception(py, &error.into()))?;
    Ok(PyBytes::new(py, bytes.get_ref()))
}

/// The content of a patch file with these class names in place of its own: as many.
#[pyfunction]
pub(crate) fn relabelled<'py>(
    py: Python<'py>,
    patch: &[u8],
    labels: Vec<String>,
) -> PyResult<Bound<'py, PyBytes>> {
    // Images are read where they are aligned, which the bytes of Python need not be.
    let patch = ImageBytes::copied(patch);
    let bytes = writer::with_labels(patch.as_slice(), &labels);
    let bytes = bytes.map_err(|error| exception(py, &error.into()))?;
    Ok(PyBytes::new(py, &bytes))
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

/// Pictures of one size, one after the other in memory.
struct Pictures<'a> {
    count: Count,
    columns: u32,
    rows: u32,
    is_rgb: bool,
    pixels: &'a [u8],
}

impl<'a> Pictures<'a> {
    fn of(py: Python<'_>, images: &'a Images<'_>) -> PyResult<Self> {
        let known = match images.slices()? {
            Slices::Pixels(pixels) => Self::known(images.shape(), pixels),
            Slices::Values(_) => None,
        };
        known.ok_or_else(|| {
            input_error(
                py,
                format!(
                    "pictures of shape {:?}, expected uint8 [H, W, 3], [H, W, 1], [H, W], or several as [N, H, W, 3 or 1]",
                    images.shape()
                ),
                "give pixels from 0 to 255",
            )
        })
    }

    /// None where the shape is none of pictures.
    fn known(shape: &[usize], pixels: &'a [u8]) -> Option<Self> {
        let (count, height, width, channels) = match *shape {
            [height, width] => (Count::One, height, width, 1),
            [height, width, channels] => (Count::One, height, width, channels),
            [count, height, width, channels] => (Count::Batch(count), height, width, channels),
            _ => return None,
        };
        let (columns, rows) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        let bytes = height.checked_mul(width)?.checked_mul(3)?;
        let is_picture = bytes > 0 && (channels == 3 || channels == 1);
        is_picture.then_some(Self {
            count,
            columns,
            rows,
            is_rgb: channels == 3,
            pixels,
        })
    }

    /// The picture of this index, with three channels.
    fn one(&self, index: usize) -> PyResult<ImageBuffer<Rgb<u8>, Cow<'a, [u8]>>> {
        let area = self.columns as usize * self.rows as usize;
        let length = if self.is_rgb { 3 * area } else { area };
        let own = &self.pixels[index * length..(index + 1) * length];
        let bytes = match self.is_rgb {
            true => Cow::Borrowed(own),
            false => {
                let mut bytes = array::room(Some(3 * area))?;
                bytes.extend(own.iter().flat_map(|&grey| [grey; 3]));
                Cow::Owned(bytes)
            }
        };
        let picture = ImageBuffer::from_raw(self.columns, self.rows, bytes);
        Ok(picture.expect("a picture has the bytes that its size says"))
    }
}
