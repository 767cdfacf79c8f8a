//! The most that a checkpoint takes of memory, whatever its file says: a few bytes may stand for many.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use pytorch_reader::{PickleValue, PytorchError, Tensor};
use zip::ZipArchive;

/// Most bytes of the pickle in a zip archive, where it may be compressed: its objects take eighty times as many.
const MAX_PICKLE: u64 = 8 << 20;

/// Most bytes that the full names of all values may have together: a name has the keys of all levels above it.
const MAX_NAMES: u64 = 64 << 20;

/// Most bytes of all tensors for each byte of the file: a tensor may repeat a few values, and tensors may share theirs.
const MAX_SHARE: u64 = 16;

fn at_most(expected: u64, found: u64, what: &str) -> Result<(), PytorchError> {
    match found <= expected {
        true => Ok(()),
        false => Err(PytorchError::InvalidFormat(format!(
            "its {what} take {found} bytes, expected at most {expected}"
        ))),
    }
}

/// Refuses a zip archive with a larger pickle; other files have theirs as it is.
pub(super) fn check_pickle(path: &Path) -> Result<(), PytorchError> {
    let Ok(archive) = ZipArchive::new(File::open(path)?) else {
        return Ok(());
    };
    (0..archive.len()).try_for_each(|index| {
        let entry = archive.by_index_data(index)?;
        match entry.name_raw().ends_with(b"data.pkl") {
            true => at_most(MAX_PICKLE, entry.size(), "pickled objects"),
            false => Ok(()),
        }
    })
}

/// Refuses longer names.
pub(super) fn check_names(root: &PickleValue) -> Result<(), PytorchError> {
    at_most(MAX_NAMES, names(root, 0), "names")
}

/// Bytes of the full names of everything in a value, whose own name has `above`.
fn names(value: &PickleValue, above: u64) -> u64 {
    /// As many as an index in a list has, or more.
    const INDEX: u64 = 9;
    let below = |key: u64, value: &PickleValue| {
        let name = above + 1 + key;
        name + names(value, name)
    };
    match value {
        PickleValue::Dict(entries) => entries
            .iter()
            .map(|(key, value)| below(key.len() as u64, value))
            .sum(),
        PickleValue::List(items) => items.iter().map(|item| below(INDEX, item)).sum(),
        PickleValue::None
        | PickleValue::Bool(_)
        | PickleValue::Int(_)
        | PickleValue::Float(_)
        | PickleValue::String(_)
        | PickleValue::Bytes(_)
        | PickleValue::Unsupported(_) => 0,
    }
}

/// Refuses tensors of many more values than the file has.
pub(super) fn check_tensors(
    tensors: &HashMap<String, Tensor>,
    path: &Path,
) -> Result<(), PytorchError> {
    let file = std::fs::metadata(path)?.len();
    let sizes = tensors.values().map(|tensor| tensor.byte_len() as u64);
    let all = sizes.fold(0, u64::saturating_add);
    at_most(file.saturating_mul(MAX_SHARE), all, "tensors")
}
