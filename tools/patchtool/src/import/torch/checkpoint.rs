//! Files of tensors: of `torch.save`, zip or legacy, and safetensors.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pytorch_reader::{OpCode, PickleError, PickleValue, PytorchError, PytorchReader};
use safetensors::SafeTensors;

use super::bounds;
use super::tensor::{Tensor, one_line};
use crate::import::error::ImportError;

/// The tensors that are values of one dictionary, under its keys.
#[derive(Default)]
pub(super) struct Dictionary {
    /// Keys that lead to it, joined by dots.
    pub(super) path: String,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

impl Dictionary {
    /// The full name of one of its keys.
    pub(super) fn name(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

/// Joins keys of a dictionary and of one in it.
pub(super) fn join(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        _ => format!("{path}.{key}"),
    }
}

/// Opens a file: all dictionaries that hold tensors.
pub(super) fn open(path: &Path) -> Result<Vec<Dictionary>, ImportError> {
    let unreadable = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |why: String| wrong(path.to_owned(), why);
    let file = std::fs::metadata(path).map_err(unreadable)?;
    if !file.is_file() {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    if file.len() == 0 {
        return Err(wrong("the file is empty".to_owned()));
    }
    let dictionaries = if is_safetensors(path).map_err(unreadable)? {
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| wrong(one_line(&error)))?;
        let tensors = tensors.iter();
        vec![Dictionary {
            path: String::new(),
            tensors: tensors
                .map(|(key, view)| (key.to_owned(), view.into()))
                .collect(),
        }]
    } else {
        unpickle(path).map_err(|error| refusal(path, &error))?
    };
    if dictionaries.iter().all(|found| found.tensors.is_empty()) {
        return Err(wrong("it holds no tensors".to_owned()));
    }
    Ok(dictionaries)
}

/// Whether a file begins as safetensors do: with the length of its JSON, then a brace.
fn is_safetensors(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(9).read_to_end(&mut head)?;
    let length = head.first_chunk().map(|&length| u64::from_le_bytes(length));
    Ok(length.is_some_and(|length| length < 1 << 32) && head.get(8) == Some(&b'{'))
}

fn refusal(path: &Path, error: &PytorchError) -> ImportError {
    let path = path.to_owned();
    let why = one_line(error);
    if let PytorchError::Pickle(PickleError::UnsupportedType(class)) = error
        && class.starts_with("__torch__")
    {
        // TorchScript: strides and activations are in its code, too.
        return ImportError::WholeModel { path };
    }
    let is_object = matches!(
        error,
        PytorchError::Pickle(
            PickleError::UnsupportedType(_)
                | PickleError::UnexpectedOpCode(
                    OpCode::SetItem | OpCode::SetItems | OpCode::Append | OpCode::Appends
                )
        )
    );
    match is_object {
        true => ImportError::PythonObject { path, why },
        false => wrong(path, why),
    }
}

fn wrong(path: PathBuf, why: String) -> ImportError {
    ImportError::WrongFile {
        path,
        expected: "a PyTorch state dict",
        why,
    }
}

fn unpickle(path: &Path) -> Result<Vec<Dictionary>, PytorchError> {
    bounds::check_pickle(path)?;
    let root = PytorchReader::read_pickle_data(path, None)?;
    bounds::check_names(&root)?;
    // The reader joins the keys of all levels and makes dictionaries of modules; its other view has the levels.
    let mut tensors = PytorchReader::new(path)?.into_tensors();
    bounds::check_tensors(&tensors, path)?;
    let mut dictionaries = Vec::new();
    collect(root, String::new(), &mut tensors, &mut dictionaries);
    Ok(dictionaries)
}

fn collect(
    value: PickleValue,
    path: String,
    tensors: &mut HashMap<String, pytorch_reader::Tensor>,
    dictionaries: &mut Vec<Dictionary>,
) {
    let entries: BTreeMap<String, PickleValue> = match value {
        PickleValue::Dict(entries) => entries.into_iter().collect(),
        PickleValue::List(items) => {
            let items = items.into_iter().enumerate();
            items.map(|(i, item)| (i.to_string(), item)).collect()
        }
        PickleValue::None
        | PickleValue::Bool(_)
        | PickleValue::Int(_)
        | PickleValue::Float(_)
        | PickleValue::String(_)
        | PickleValue::Bytes(_)
        | PickleValue::Unsupported(_) => return,
    };
    let mut found = Dictionary {
        path,
        ..Dictionary::default()
    };
    for (key, value) in entries {
        let name = found.name(&key);
        match tensors.remove(&name) {
            Some(tensor) => drop(found.tensors.insert(key, tensor.into())),
            None => collect(value, name, tensors, dictionaries),
        }
    }
    if !found.tensors.is_empty() {
        dictionaries.push(found);
    }
}
