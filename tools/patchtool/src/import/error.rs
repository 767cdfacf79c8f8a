//! The errors of an import: found, expected and, in [`ImportError::hint`], the remedy. Names come from the file, so they are quoted: an error stays one line.

use std::path::PathBuf;

use graft_onnx::tensor::TensorError;

/// A model that was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is not {expected}: {why}", path.display())]
    WrongFile {
        /// The file.
        path: PathBuf,
        /// The kind of file that it should be.
        expected: &'static str,
        /// The finding of its reader.
        why: String,
    },
    /// A pickled model in place of its state dict.
    #[error(
        "{} holds a whole model, expected a state dict: strides and activations are in the model's Python code, which is not read",
        path.display()
    )]
    WholeModel {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint with an object that holds tensors, or a list or dictionary of a class of its own.
    #[error(
        "{} holds a Python object that only its own code can read, expected a state dict: {why}",
        path.display()
    )]
    PythonObject {
        /// The file.
        path: PathBuf,
        /// The finding of its reader.
        why: String,
    },
    /// An operator, or a use of it, that no layer of the runtime computes.
    #[error("operator {op} at node {node:?} is not supported: {why}")]
    UnsupportedOperator {
        /// Operator type.
        op: String,
        /// Node name, or its output's name if it has none.
        node: String,
        /// The use that is not supported.
        why: String,
    },
    /// The model was quantised before import, into operators of their own.
    #[error(
        "operator {op} at node {node:?} belongs to a quantised model of another format than QDQ, expected a float model \
         or one in the QDQ format"
    )]
    Quantised {
        /// Operator type.
        op: String,
        /// Node name, or its output's name if it has none.
        node: String,
    },
    /// A quantised model with a float part.
    #[error(
        "the {what} of layer {layer:?} {problem}, expected int8 throughout the quantised model"
    )]
    PartlyQuantised {
        /// Weights or output.
        what: &'static str,
        /// Name of the layer, that is of its node.
        layer: String,
        /// The way in which they are float.
        problem: &'static str,
    },
    /// A node that breaks the rules of ONNX.
    #[error("operator {op} at node {node:?} is malformed: {why}")]
    MalformedNode {
        /// Operator type.
        op: String,
        /// Node name, or its output's name if it has none.
        node: String,
        /// The broken rule.
        why: String,
    },
    /// A graph that breaks the rules of ONNX.
    #[error("the graph is malformed: {why}")]
    MalformedGraph {
        /// The broken rule.
        why: String,
    },
    /// A tensor with the wrong shape, type or values.
    #[error("tensor {name:?}: found {found}, expected {expected}")]
    Tensor {
        /// Initialiser name or state-dict key.
        name: String,
        /// Contents of the file.
        found: String,
        /// Contents that it should have.
        expected: String,
    },
    /// A tensor that is not in the file.
    #[error("tensor {name:?} is missing, expected {expected}")]
    MissingTensor {
        /// Initialiser name or state-dict key.
        name: String,
        /// Contents that it should have.
        expected: String,
    },
    /// External data whose file is not there.
    #[error("tensor {tensor:?}: its external data file {} is missing", file.display())]
    MissingExternalData {
        /// Initialiser name.
        tensor: String,
        /// Place of the data, as the model says it.
        file: PathBuf,
    },
    /// A model input or output of the wrong number or shape.
    #[error("found {found}, expected {expected}")]
    Interface {
        /// Interface of the model.
        found: String,
        /// Interface that it should have.
        expected: &'static str,
    },
    /// The model leaves its resolution open.
    #[error("input {input:?}: found the dynamic shape {found}, expected a fixed height and width")]
    DynamicResolution {
        /// Name of the model's input.
        input: String,
        /// Its shape.
        found: String,
    },
    /// The state dict holds more than the architecture uses.
    #[error("{count} tensors are not part of {arch}, the first is {first:?}")]
    UnusedTensors {
        /// The architecture asked for.
        arch: &'static str,
        /// The number of them.
        count: usize,
        /// The first in alphabetical order.
        first: String,
    },
    /// No state dict of the architecture in the file.
    #[error(
        "found no state dict of {arch}: no key is or ends in \"{keys}\" among {found}{}",
        other.map_or_else(String::new, |other| format!("; those are of {other}"))
    )]
    NoStateDict {
        /// The architecture asked for.
        arch: &'static str,
        /// The keys that were looked for, in quotes.
        keys: String,
        /// The number of tensors, and the first names.
        found: String,
        /// An architecture whose state dict is in the file.
        other: Option<&'static str>,
    },
    /// A checkpoint with several state dicts, of which none was chosen.
    #[error("found the state dicts {found}, expected {}", match key {
        Some(key) => format!("one at {key:?}"),
        None => "one, or one and its moving average".to_owned(),
    })]
    StateDictChoice {
        /// The key asked for.
        key: Option<String>,
        /// The keys there are, in quotes.
        found: String,
    },
    /// No such architecture.
    #[error("found the architecture {found:?}, expected one of {expected}")]
    UnknownArchitecture {
        /// The name asked for.
        found: String,
        /// The names there are.
        expected: String,
    },
}

impl From<TensorError> for ImportError {
    fn from(error: TensorError) -> Self {
        match error {
            TensorError::Wrong {
                name,
                found,
                expected,
            } => Self::Tensor {
                name,
                found,
                expected: expected.to_owned(),
            },
            TensorError::MissingFile { name, file } => {
                Self::MissingExternalData { tensor: name, file }
            }
        }
    }
}

impl ImportError {
    /// The remedy that a user has.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { .. } => "give the path of a readable file",
            Self::WrongFile { .. } => {
                "give an ONNX model (MODEL.onnx), or a PyTorch state dict with --torch FILE.pth --arch NAME; if it is one, \
                 it is truncated or damaged: copy or export it again"
            }
            Self::WholeModel { .. } => {
                "save torch.save(model.state_dict(), FILE) if it is the architecture that --arch names; else export it to ONNX"
            }
            Self::PythonObject { .. } => {
                "save the state dict alone: torch.save(torch.load(FILE, weights_only=False)[\"model\"], NEW_FILE), or \
                 whatever its key is"
            }
            Self::UnsupportedOperator { .. } => {
                "Graft runs MobileNet-style networks (convolution, depthwise, pointwise, linear, add, multiply, pooling; \
                 clamp, hard-swish, hard-sigmoid): export the model in inference mode and without that operator"
            }
            Self::Quantised { .. } => {
                "import the float model, then run `patchtool quantize`; or quantise it in the QDQ format, as onnxruntime \
                 does with quant_format=QuantFormat.QDQ"
            }
            Self::PartlyQuantised { .. } => {
                "quantise all nodes, with weights symmetric in int8 and without reaching -128, as onnxruntime does by \
                 default with weight_type=QuantType.QInt8; or import the float model, then run `patchtool quantize`"
            }
            Self::MalformedNode { .. } | Self::MalformedGraph { .. } => {
                "check the model with `onnx.checker.check_model`, or export it again"
            }
            Self::Tensor { .. } | Self::MissingTensor { .. } => {
                "the file is damaged or holds another architecture (see --arch); get it or export it again"
            }
            Self::NoStateDict {
                other: Some(arch), ..
            } => return Some(format!("choose --arch {arch}")),
            Self::NoStateDict { .. } => {
                "save torch.save(model.state_dict(), FILE) of an architecture that --arch knows; export others to ONNX"
            }
            Self::StateDictChoice { .. } => "choose one of them with --key",
            Self::UnusedTensors { .. } => {
                "choose the --arch that the weights were trained with; where another module computes with them, export the \
                 whole to ONNX"
            }
            Self::UnknownArchitecture { .. } => "choose one of these with --arch",
            Self::MissingExternalData { .. } => {
                "put the data file where the model names it, next to the .onnx file"
            }
            Self::Interface { .. } => {
                "export the model with one float image batch of 1 as input and its scores as output"
            }
            Self::DynamicResolution { .. } => {
                "choose one with --resolution, as in --resolution 224"
            }
        };
        Some(hint.to_owned())
    }
}
