//! Hands out the tensors of a state dict once each, checked.

use std::collections::BTreeMap;

use super::Arch;
use super::choice::summary;
use super::tensor::Tensor;
use crate::import::error::ImportError;

/// The tensors that nothing has asked for yet.
pub(super) struct StateDict {
    arch: Arch,
    tensors: BTreeMap<String, Tensor>,
    /// Keys of tensors around the network.
    aside: Vec<String>,
    /// What it held at first, for messages.
    held: String,
}

impl StateDict {
    /// A state dict, and the keys of what its file has around the network.
    pub(super) fn new(arch: Arch, tensors: BTreeMap<String, Tensor>, aside: Vec<String>) -> Self {
        Self {
            arch,
            held: summary(tensors.keys()),
            tensors,
            aside,
        }
    }

    /// First dimension of a tensor: how many outputs a layer has.
    pub(super) fn outputs(&self, key: &str) -> Result<usize, ImportError> {
        let tensor = self
            .tensors
            .get(key)
            .ok_or_else(|| self.missing(key, "the weights of a layer"))?;
        match tensor.shape().first() {
            Some(&outputs) if outputs > 0 => Ok(outputs),
            _ => Err(wrong(key, tensor, "at least one output".to_owned())),
        }
    }

    /// The name of the only linear layer that is this module or in it.
    pub(super) fn linear(&self, module: &str) -> Result<String, ImportError> {
        let names = self.tensors.iter().filter_map(|(key, tensor)| {
            let name = key.strip_suffix(".weight")?;
            let is_inside = name
                .strip_prefix(module)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            (is_inside && tensor.shape().len() == 2).then_some(name)
        });
        let names: Vec<&str> = names.collect();
        match names[..] {
            [name] => Ok(name.to_owned()),
            [] => Err(self.missing(
                &format!("{module}.weight"),
                &format!("the weights of a linear layer in {module:?}"),
            )),
            _ => Err(ImportError::Tensor {
                name: module.to_owned(),
                found: format!("{} linear layers: {}", names.len(), names.join(", ")),
                expected: "one: what is computed between them is not in a state dict".to_owned(),
            }),
        }
    }

    /// Takes a tensor of this shape, if it is there.
    pub(super) fn take_optional(
        &mut self,
        key: &str,
        shape: &[usize],
    ) -> Result<Option<Vec<f32>>, ImportError> {
        match self.tensors.contains_key(key) {
            true => self.take(key, shape).map(Some),
            false => Ok(None),
        }
    }

    /// Takes a tensor of this shape; one in other floats is converted.
    pub(super) fn take(&mut self, key: &str, shape: &[usize]) -> Result<Vec<f32>, ImportError> {
        let expected = || format!("F32 {shape:?}");
        let tensor = self
            .tensors
            .remove(key)
            .ok_or_else(|| self.missing(key, &expected()))?;
        if tensor.shape() != shape || !tensor.is_float() {
            return Err(wrong(key, &tensor, expected()));
        }
        let damaged = |found: String| ImportError::Tensor {
            name: key.to_owned(),
            found,
            expected: "finite values".to_owned(),
        };
        let values = tensor.floats().map_err(damaged)?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(damaged("infinite values or NaN".to_owned()))
        }
    }

    /// Fails if tensors are left over.
    pub(super) fn finish(self) -> Result<(), ImportError> {
        let count = self.tensors.len() + self.aside.len();
        match self.tensors.into_keys().chain(self.aside).min() {
            Some(first) => Err(ImportError::UnusedTensors {
                arch: self.arch.name(),
                count,
                first,
            }),
            None => Ok(()),
        }
    }

    fn missing(&self, key: &str, expected: &str) -> ImportError {
        ImportError::MissingTensor {
            name: key.to_owned(),
            expected: format!("{expected} of {}; there are {}", self.arch, self.held),
        }
    }
}

fn wrong(key: &str, tensor: &Tensor, expected: String) -> ImportError {
    ImportError::Tensor {
        name: key.to_owned(),
        found: tensor.to_string(),
        expected,
    }
}
