//! ONNX models, read node by node.
//!
//! The nodes are walked in execution order without any optimiser in between, so a layer keeps its node's name, a weight
//! its initialiser's name, and a BatchNormalization its raw parameters. What the runtime computes inside a layer
//! (bias, batch norm, activation, padding) is fused into the layer before or behind; arithmetic on shapes is evaluated;
//! everything else is refused with the operator and the node. Of a quantised model the scales are kept beside the floats
//! that its integers stand for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use graft_onnx::Message as _;
use graft_onnx::proto::{GraphProto, ModelProto};

use self::node::Node;
use self::walk::Walk;
use super::error::ImportError;
use super::graph::Graph;
use super::int8::Quantization;

mod affine;
mod builder;
mod constant;
mod convolution;
mod elementwise;
mod expression;
mod folding;
mod hidden;
mod interface;
mod layout;
mod linear;
mod node;
mod normalization;
mod order;
mod pool;
mod quantised;
mod scales;
mod shape;
mod value;
mod walk;
mod window;

#[cfg(test)]
mod tests;

/// An imported ONNX model.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, in floats.
    pub graph: Graph,
    /// Of a quantised model: what makes the network the int8 one that the model describes.
    pub quantized: Option<Quantization>,
    /// The function of its scores at the end of the model, which the network leaves out.
    pub ending: Option<Ending>,
    /// Step of that function's values where the model quantises them.
    pub ending_step: Option<f32>,
    /// Whether the model reads pixels as bytes, which nothing can be subtracted from before.
    pub reads_bytes: bool,
    /// Preprocessing that was part of the model.
    pub input_affine: Option<InputAffine>,
    /// The model's `metadata_props`.
    pub properties: BTreeMap<String, String>,
    /// Remarks on the import, for the user.
    pub notes: Vec<String>,
}

impl From<Graph> for Imported {
    /// A network of which no more is known.
    fn from(graph: Graph) -> Self {
        Self {
            graph,
            quantized: None,
            ending: None,
            ending_step: None,
            reads_bytes: false,
            input_affine: None,
            properties: BTreeMap::new(),
            notes: Vec::new(),
        }
    }
}

/// The function of its scores at the end of a model that classifies. None of them changes their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Probabilities of classes of which one applies.
    Softmax,
    /// Logarithms of these.
    LogSoftmax,
    /// Probabilities of classes that apply or not, each for itself.
    Sigmoid,
}

/// Preprocessing inside a model: `scale * pixel + offset`, one pair a channel. The network of [`Imported`] starts
/// behind it: as a normalisation its mean is `-offset / scale` and its standard deviation `1 / scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct InputAffine {
    /// Factors.
    pub scale: Vec<f32>,
    /// Summands.
    pub offset: Vec<f32>,
}

impl InputAffine {
    /// Puts this behind a normalisation: `scale * (x - mean) / std + offset`, written as `(x - mean') / std'`.
    pub fn compose(&self, mean: &mut [f32; 4], std: &mut [f32; 4]) {
        let affine = self.scale.iter().zip(&self.offset);
        for ((scale, offset), (mean, std)) in affine.zip(mean.iter_mut().zip(std)) {
            *mean -= offset * *std / scale;
            *std /= scale;
        }
    }

    /// `scale * before + offset`.
    fn then(before: Option<Self>, scale: Vec<f32>, offset: Vec<f32>) -> Self {
        let Some(mut before) = before else {
            return Self { scale, offset };
        };
        for (channel, (scale, offset)) in scale.into_iter().zip(offset).enumerate() {
            before.scale[channel] *= scale;
            before.offset[channel] = before.offset[channel] * scale + offset;
        }
        before
    }
}

/// Imports a model; `resolution` (rows, columns) replaces the one in the model and is needed where it is dynamic.
pub fn load(path: &Path, resolution: Option<[usize; 2]>) -> Result<Imported, ImportError> {
    let unreadable = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |why| ImportError::WrongFile {
        path: path.to_owned(),
        expected: "an ONNX model",
        why,
    };
    // A pipe or device might never end.
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() && !found.is_dir() {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let model = decode(&bytes).map_err(wrong)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let imported = import(&model, folder, resolution)?;
    for note in &imported.notes {
        tracing::warn!("{note}");
    }
    Ok(imported)
}

fn decode(bytes: &[u8]) -> Result<ModelProto, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let model = ModelProto::decode(bytes).map_err(|error| error.to_string())?;
    match &model.graph {
        Some(_) => Ok(model),
        None => Err("it holds no graph".to_owned()),
    }
}

fn import(
    model: &ModelProto,
    folder: &Path,
    resolution: Option<[usize; 2]>,
) -> Result<Imported, ImportError> {
    let empty = GraphProto::default();
    let graph = model.graph.as_ref().unwrap_or(&empty);
    let initialisers: HashMap<&str, _> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    hidden::refuse_sparse(graph)?;
    let nodes: Vec<Node<'_>> = graph.node.iter().map(Node::new).collect();
    let output = interface::output(graph)?;
    let order = order::order(&nodes, output)?;
    hidden::refuse_functions(model, &order.nodes)?;
    let names: HashSet<&str> = initialisers.keys().copied().collect();
    let input = interface::input(graph, &names, &order.nodes, resolution)?;
    let mut walk = Walk::new(&input, folder, initialisers, order.reads, opset(model))?;
    for node in order.nodes {
        walk.run(node)?;
    }
    let properties = model.metadata_props.iter();
    let properties = properties.map(|entry| (entry.key.clone(), entry.value.clone()));
    let mut imported = walk.finish(output)?;
    imported.properties = properties.collect();
    imported.reads_bytes = input.is_bytes;
    imported.notes.extend(hidden::annotations(graph));
    Ok(imported)
}

/// Version of the standard operator set.
fn opset(model: &ModelProto) -> i64 {
    let standard = model
        .opset_import
        .iter()
        .find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    standard.map_or(1, |set| set.version)
}
