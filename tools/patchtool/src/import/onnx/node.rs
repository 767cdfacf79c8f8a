//! Typed access to a node's attributes, and the errors that name it.

use graft_onnx::proto::{AttributeProto, AttributeType, NodeProto, TensorProto};

use crate::import::error::ImportError;

/// The arithmetic operators on two tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

impl Arithmetic {
    pub(super) fn of(op: &str) -> Option<Self> {
        match op {
            "Add" => Some(Self::Add),
            "Sub" => Some(Self::Sub),
            "Mul" => Some(Self::Mul),
            "Div" => Some(Self::Div),
            _ => None,
        }
    }
}

/// One node of the ONNX graph.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    proto: &'a NodeProto,
}

impl<'a> Node<'a> {
    pub(super) fn new(proto: &'a NodeProto) -> Self {
        Self { proto }
    }

    /// Operator type; the domain is part of it where it isn't the standard one.
    pub(super) fn op(&self) -> String {
        op(&self.proto.domain, &self.proto.op_type)
    }

    /// The node's name, or its first output's where it has none.
    pub(super) fn name(&self) -> &'a str {
        if self.proto.name.is_empty() {
            self.output()
        } else {
            &self.proto.name
        }
    }

    /// Inputs, with those that are left out.
    pub(super) fn input_count(&self) -> usize {
        self.proto.input.len()
    }

    /// Name of an input; `None` where an optional one is left out.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        self.proto
            .input
            .get(index)
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Names of all inputs that are not left out.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &'a str> {
        let all = self.proto.input.iter().map(String::as_str);
        all.filter(|name| !name.is_empty())
    }

    /// Names of all outputs that are not left out.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &'a str> {
        let all = self.proto.output.iter().map(String::as_str);
        all.filter(|name| !name.is_empty())
    }

    /// Name of the first output.
    pub(super) fn output(&self) -> &'a str {
        self.proto.output.first().map_or("", String::as_str)
    }

    pub(super) fn unsupported(&self, why: impl Into<String>) -> ImportError {
        ImportError::UnsupportedOperator {
            op: self.op(),
            node: self.name().to_owned(),
            why: why.into(),
        }
    }

    pub(super) fn malformed(&self, why: impl Into<String>) -> ImportError {
        ImportError::MalformedNode {
            op: self.op(),
            node: self.name().to_owned(),
            why: why.into(),
        }
    }

    pub(super) fn quantised(&self) -> ImportError {
        ImportError::Quantised {
            op: self.op(),
            node: self.name().to_owned(),
        }
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, ImportError> {
        let found = self.attribute(name, AttributeType::Int)?;
        Ok(found.map_or(default, |attribute| attribute.i))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, ImportError> {
        let found = self.attribute(name, AttributeType::Float)?;
        Ok(found.map_or(default, |attribute| attribute.f))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, ImportError> {
        let found = self.attribute(name, AttributeType::Ints)?;
        Ok(found.map(|attribute| attribute.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, ImportError> {
        let found = self.attribute(name, AttributeType::Floats)?;
        Ok(found.map(|attribute| attribute.floats.as_slice()))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ImportError> {
        self.attribute(name, AttributeType::String)?
            .map(|attribute| str::from_utf8(&attribute.s))
            .transpose()
            .map_err(|_| self.malformed(format!("attribute {name} is not text")))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, ImportError> {
        let found = self.attribute(name, AttributeType::Tensor)?;
        Ok(found.and_then(|attribute| attribute.t.as_ref()))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == name)
    }

    fn attribute(
        &self,
        name: &str,
        kind: AttributeType,
    ) -> Result<Option<&'a AttributeProto>, ImportError> {
        let Some(found) = self.proto.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        if !found.ref_attr_name.is_empty() {
            return Err(self.malformed(format!(
                "attribute {name} has the value of an attribute of a function, outside of any"
            )));
        }
        // The first ONNX files carry no type.
        if found.r#type != kind as i32 && found.r#type != AttributeType::Undefined as i32 {
            return Err(self.malformed(format!("attribute {name} is not of type {kind:?}")));
        }
        Ok(Some(found))
    }
}

/// An operator type, with its domain where that is not the standard one.
pub(super) fn op(domain: &str, name: &str) -> String {
    match domain {
        "" | "ai.onnx" => name.to_owned(),
        domain => format!("{domain}.{name}"),
    }
}
