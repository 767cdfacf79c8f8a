//! Errors as exceptions of Python.

use patchtool::hint::{Hint, hint};
use patchtool::program::explanation;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use graft_data::image_file::ImageFileError;
use graft_patches::ImageError;
use graft_runtime::Error as RuntimeError;
use patchtool::file_kind::WrongKind;

/// The exceptions of `graft`, by their names in `_errors.py`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    Error,
    FileError,
    MismatchError,
    InputError,
    ClosedError,
}

/// The exception for an error, with the whole chain and the hint in its message.
pub(crate) fn exception(py: Python<'_>, error: &anyhow::Error) -> PyErr {
    let class = error.chain().find_map(class_of).unwrap_or(Class::Error);
    raised(py, class, error)
}

/// The exception for an argument that cannot be used.
pub(crate) fn input_error(py: Python<'_>, message: String, hint: &'static str) -> PyErr {
    raised(py, Class::InputError, &Hint::new(message, hint).into())
}

/// An exception of this class, with a message and what to do.
pub(crate) fn of_class(py: Python<'_>, class: Class, message: String, hint: &'static str) -> PyErr {
    raised(py, class, &Hint::new(message, hint).into())
}

fn raised(py: Python<'_>, class: Class, error: &anyhow::Error) -> PyErr {
    let hint = hint(error);
    let text = explanation(error, hint.clone());
    let made = || {
        let exception = py
            .import("graft._errors")?
            .getattr(format!("{class:?}"))?
            .call1((text.trim_end(),))?;
        exception.setattr("hint", hint)?;
        PyResult::Ok(PyErr::from_value(exception))
    };
    made().unwrap_or_else(|cause| PyRuntimeError::new_err(format!("{error}; {cause}")))
}

/// The class of an error that says more than that something went wrong.
fn class_of(cause: &(dyn std::error::Error + 'static)) -> Option<Class> {
    match cause.downcast_ref::<RuntimeError>() {
        // The fault in the file says more.
        Some(RuntimeError::InvalidFile { source, .. } | RuntimeError::Image(source)) => {
            return class_of(source);
        }
        Some(RuntimeError::OtherBackbone { .. }) => return Some(Class::MismatchError),
        Some(RuntimeError::InputLength { .. } | RuntimeError::Threads { .. }) => {
            return Some(Class::InputError);
        }
        Some(RuntimeError::File { .. }) => return Some(Class::FileError),
        Some(_) | None => {}
    }
    match cause.downcast_ref::<ImageError>() {
        Some(ImageError::WrongBackbone { .. }) => Some(Class::MismatchError),
        Some(_) => Some(Class::FileError),
        None => {
            let is_file = cause.is::<ImageFileError>() || cause.is::<WrongKind>();
            (is_file || cause.is::<std::io::Error>()).then_some(Class::FileError)
        }
    }
}
