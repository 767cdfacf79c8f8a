//! Images: arrays of NumPy, and what it makes one of.

use std::path::PathBuf;

use graft_patches::geometry::Shape;
use graft_runtime::Image;
use numpy::{
    PyArray1, PyArrayDyn, PyArrayMethods as _, PyReadonlyArrayDyn, PyUntypedArray,
    PyUntypedArrayMethods as _,
};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use crate::error::input_error;

/// Images in memory that NumPy owns.
pub(crate) enum Images<'py> {
    Pixels(PyReadonlyArrayDyn<'py, u8>),
    Values(PyReadonlyArrayDyn<'py, f32>),
}

/// The bytes or values of one or more images, one after the other.
#[derive(Clone, Copy)]
pub(crate) enum Slices<'a> {
    Pixels(&'a [u8]),
    Values(&'a [f32]),
}

/// One image, or a batch of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    One,
    Batch(usize),
}

impl<'py> Images<'py> {
    /// Whatever NumPy can view as an array of uint8 or float32. Values that do not lie side by side, aligned and in the order of
    /// bytes of this machine are copied.
    pub(crate) fn of(images: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = images.py();
        let numpy = py.import("numpy")?;
        let array = numpy.call_method1("asarray", (images,))?;
        let native = array
            .getattr("dtype")?
            .call_method1("newbyteorder", ("=",))?;
        let array = numpy.call_method1("require", (array, native, "CA"))?;
        if let Ok(pixels) = array.cast::<PyArrayDyn<u8>>() {
            return Ok(Self::Pixels(pixels.readonly()));
        }
        if let Ok(values) = array.cast::<PyArrayDyn<f32>>() {
            return Ok(Self::Values(values.readonly()));
        }
        let dtype = array.cast::<PyUntypedArray>()?.dtype();
        Err(input_error(
            py,
            format!("an array of {dtype}, expected uint8 or float32"),
            "give pixels from 0 to 255 as uint8, or values that are normalised already, (pixel - mean) / std, as float32",
        ))
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Pixels(pixels) => pixels.shape(),
            Self::Values(values) => values.shape(),
        }
    }

    pub(crate) fn slices(&self) -> PyResult<Slices<'_>> {
        Ok(match self {
            Self::Pixels(pixels) => Slices::Pixels(pixels.as_slice()?),
            Self::Values(values) => Slices::Values(values.as_slice()?),
        })
    }

    /// How many images of this shape they are.
    pub(crate) fn count(&self, py: Python<'_>, input: Shape) -> PyResult<Count> {
        let one = [input.height, input.width, input.channels];
        match *self.shape() {
            [height, width, channels] if [height, width, channels] == one => Ok(Count::One),
            [count, height, width, channels] if [height, width, channels] == one => {
                Ok(Count::Batch(count))
            }
            ref found => {
                let [height, width, channels] = one;
                let is_nchw = found.ends_with(&[channels, height, width]);
                Err(input_error(
                    py,
                    format!(
                        "an array of shape {}, expected {one:?} or [N, {height}, {width}, {channels}]",
                        format_args!("{found:?}"),
                    ),
                    match is_nchw {
                        true => "move the channels to the end: numpy.moveaxis(array, -3, -1)",
                        false => {
                            "bring pictures of another size to the input's with patch.preprocess(picture)"
                        }
                    },
                ))
            }
        }
    }
}

impl<'a> Slices<'a> {
    /// The image of this index, of this many values.
    pub(crate) fn image(self, index: usize, values: usize) -> Image<'a> {
        let range = index * values..(index + 1) * values;
        match self {
            Self::Pixels(pixels) => Image::Pixels(&pixels[range]),
            Self::Values(all) => Image::Values(&all[range]),
        }
    }
}

impl Count {
    pub(crate) fn images(self) -> usize {
        match self {
            Self::One => 1,
            Self::Batch(count) => count,
        }
    }

    /// Rows of these dimensions as an array: of one image `[...]`, of a batch `[N, ...]`.
    pub(crate) fn array<'py, T: numpy::Element>(
        self,
        py: Python<'py>,
        rows: Vec<T>,
        row: &[usize],
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut dimensions = row.to_vec();
        if let Self::Batch(count) = self {
            dimensions.insert(0, count);
        }
        Ok(PyArray1::from_vec(py, rows).reshape(dimensions)?.into_any())
    }
}

/// Memory for a result of so many values. Raises MemoryError.
pub(crate) fn room<T>(length: Option<usize>) -> PyResult<Vec<T>> {
    let mut values = Vec::new();
    let has_room = length.is_some_and(|length| values.try_reserve_exact(length).is_ok());
    has_room
        .then_some(values)
        .ok_or_else(|| PyMemoryError::new_err("there is not enough memory for the result"))
}

/// The path, where this is a str or an `os.PathLike`.
pub(crate) fn path(object: &Bound<'_, PyAny>) -> Option<PathBuf> {
    let is_bytes = object.is_instance_of::<pyo3::types::PyBytes>();
    (!is_bytes).then(|| object.extract().ok()).flatten()
}
