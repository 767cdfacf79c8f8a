//! Reads a state dict and hands out its tensors once each, checked.

use std::collections::HashMap;
use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};

use super::Arch;
use crate::import::error::ImportError;

/// The tensors that nothing has asked for yet.
pub(super) struct StateDict {
    tensors: HashMap<String, Tensor>,
}

/// Prefixes that training scripts and DataParallel put before every key.
const WRAPPERS: [&str; 3] = ["state_dict.", "model.", "module."];

impl StateDict {
    /// Opens a file of `torch.save`, zip or legacy.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let wrong = |why: String| ImportError::WrongFile {
            path: path.to_owned(),
            expected: "a PyTorch state dict",
            why,
        };
        let file = std::fs::metadata(path).map_err(|source| ImportError::Read {
            path: path.to_owned(),
            source,
        })?;
        if !file.is_file() {
            return Err(wrong("it is not a regular file".to_owned()));
        }
        if file.len() == 0 {
            return Err(wrong("the file is empty".to_owned()));
        }
        let reader = PytorchReader::new(path).map_err(|error| wrong(one_line(&error)))?;
        if holds_module(path)? {
            return Err(ImportError::WholeModel {
                path: path.to_owned(),
            });
        }
        let mut tensors = reader.into_tensors();
        if tensors.is_empty() {
            return Err(wrong("it holds no tensors".to_owned()));
        }
        while let Some(wrapper) = WRAPPERS
            .iter()
            .find(|wrapper| tensors.keys().all(|key| key.starts_with(*wrapper)))
        {
            tensors = tensors
                .into_iter()
                .map(|(key, tensor)| (key[wrapper.len()..].to_owned(), tensor))
                .collect();
        }
        // A counter of training steps, not a parameter.
        tensors.retain(|key, _| !key.ends_with(".num_batches_tracked"));
        Ok(Self { tensors })
    }

    /// First dimension of a tensor: how many outputs a layer has.
    pub(super) fn outputs(&self, key: &str) -> Result<usize, ImportError> {
        let tensor = self
            .tensors
            .get(key)
            .ok_or_else(|| missing(key, "the weights of a layer"))?;
        match tensor.shape().first() {
            Some(&outputs) if outputs > 0 => Ok(outputs),
            _ => Err(wrong(key, tensor, "at least one output".to_owned())),
        }
    }

    /// Takes a tensor of this shape.
    pub(super) fn take(&mut self, key: &str, shape: &[usize]) -> Result<Vec<f32>, ImportError> {
        let expected = || format!("F32 {shape:?}");
        let tensor = self
            .tensors
            .remove(key)
            .ok_or_else(|| missing(key, &expected()))?;
        if tensor.shape() != shape || tensor.dtype() != DType::F32 {
            return Err(wrong(key, &tensor, expected()));
        }
        let damaged = |found: String| ImportError::Tensor {
            name: key.to_owned(),
            found,
            expected: "finite values".to_owned(),
        };
        let bytes = tensor.read().map_err(|error| damaged(one_line(&error)))?;
        let values: Vec<f32> = bytes
            .as_chunks()
            .0
            .iter()
            .map(|&value| f32::from_ne_bytes(value))
            .collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(damaged("infinite values or NaN".to_owned()))
        }
    }

    /// Fails if tensors are left over.
    pub(super) fn finish(self, arch: Arch) -> Result<(), ImportError> {
        let count = self.tensors.len();
        match self.tensors.into_keys().min() {
            Some(first) => Err(ImportError::UnusedTensors {
                arch: arch.name(),
                count,
                first,
            }),
            None => Ok(()),
        }
    }
}

/// Whether a pickled `nn.Module` is in there: its strides and activations are attributes of Python objects, and code.
/// The reader makes a state dict of it and tells nobody. Every module has an attribute of this name, no state dict has;
/// PyTorch does not compress.
fn holds_module(path: &Path) -> Result<bool, ImportError> {
    const ATTRIBUTE: &[u8] = b"_backward_hooks";
    let bytes = std::fs::read(path).map_err(|source| ImportError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(bytes
        .windows(ATTRIBUTE.len())
        .any(|window| window == ATTRIBUTE))
}

fn missing(key: &str, expected: &str) -> ImportError {
    ImportError::MissingTensor {
        name: key.to_owned(),
        expected: expected.to_owned(),
    }
}

fn wrong(key: &str, tensor: &Tensor, expected: String) -> ImportError {
    ImportError::Tensor {
        name: key.to_owned(),
        found: format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
        expected,
    }
}

/// The reader's errors quote the file, which may hold anything.
fn one_line(error: &impl ToString) -> String {
    let text = error.to_string();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(200).collect()
}
