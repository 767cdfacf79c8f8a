//! Inputs and outputs of the ONNX model of a generator.

use graft_onnx::build::Dim;

use crate::hyper::config::{Config, Generates};
use crate::hyper::convolution::EARLIER;
use crate::hyper::network::Values;
use crate::hyper::ops::Ops;

/// Images of the support set.
const IMAGES: &str = "images";
/// Classes in use.
const CLASSES: &str = "classes";
/// `[classes, features]`
const HEAD_WEIGHT: &str = "head.weight";
/// `[1, classes]`
const HEAD_BIAS: &str = "head.bias";

/// Weights of a convolution, `[outputs, inputs * 9]`.
fn weights(index: usize) -> String {
    format!("conv.{index}")
}

/// First half of its epilogue, `[1, outputs]`.
fn scale(index: usize) -> String {
    format!("scale.{index}")
}

/// Second half of its epilogue, `[1, outputs]`.
fn bias(index: usize) -> String {
    format!("bias.{index}")
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::hyper) struct Port {
    pub(in crate::hyper) name: String,
    pub(super) doc: &'static str,
    pub(super) dims: Vec<Dim>,
}

impl Port {
    fn new(name: impl Into<String>, doc: &'static str, dims: impl Into<Vec<Dim>>) -> Self {
        Self {
            name: name.into(),
            doc,
            dims: dims.into(),
        }
    }

    /// Its dimensions for `images` images and `classes` classes.
    pub(in crate::hyper) fn shape(&self, images: usize, classes: usize) -> Vec<usize> {
        let size = |dim: &Dim| match *dim {
            Dim::Of(size) => size,
            Dim::Any(IMAGES) => images,
            Dim::Any(_) => classes,
        };
        self.dims.iter().map(size).collect()
    }
}

/// The inputs of a generator.
pub(in crate::hyper) fn inputs(config: &Config) -> Vec<Port> {
    let images = Dim::Any(IMAGES);
    let columns = Dim::Of(config.max_ways + 1);
    let side = config.target.side;
    let first = Port::new(
        IMAGES,
        "Pixels, normalised as the input of the target network.",
        [images, Dim::Of(1), Dim::Of(side), Dim::Of(side)],
    );
    let labels = Port::new(
        "labels",
        "One-hot: the class of each image; the last column where it is not known.",
        [images, columns],
    );
    let classes = Port::new(
        CLASSES,
        "One-hot: the classes in use.",
        [Dim::Any(CLASSES), columns],
    );
    let start = |(index, [outputs, weights]): (usize, [usize; 2])| {
        let doc = "The convolution before this support set: weights in columns (input, row, column), then 1 if there was a \
                   patch before and 0 if not, then scale and bias.";
        let shape = [outputs, weights + EARLIER];
        Port::new(format!("start.{index}"), doc, shape.map(Dim::Of))
    };
    let continual = config.continual.then(|| shapes(config));
    let starts = continual.into_iter().flatten().enumerate().map(start);
    [first, labels, classes].into_iter().chain(starts).collect()
}

/// The outputs of a generator. Weights of convolutions are among them only where it generates them.
pub(in crate::hyper) fn outputs(config: &Config) -> Vec<Port> {
    let mut ports = Vec::new();
    for (index, shape) in shapes(config).into_iter().enumerate() {
        if config.generates == Generates::All {
            let doc = "Weights of a convolution; columns are (input, row, column).";
            ports.push(Port::new(weights(index), doc, shape.map(Dim::Of)));
        }
        let row = [Dim::Of(1), Dim::Of(shape[0])];
        ports.push(Port::new(scale(index), "Factors of its epilogue.", row));
        ports.push(Port::new(bias(index), "Summands of its epilogue.", row));
    }
    let classes = Dim::Any(CLASSES);
    let features = Dim::Of(config.target.features);
    ports.push(Port::new(
        HEAD_WEIGHT,
        "Weights of the head.",
        [classes, features],
    ));
    ports.push(Port::new(
        HEAD_BIAS,
        "Bias of the head.",
        [Dim::Of(1), classes],
    ));
    ports
}

/// Generated values by the names of [`outputs`], as far as they are among these.
pub(in crate::hyper) fn named<O: Ops>(
    config: &Config,
    values: Values<O>,
) -> Vec<(String, O::Matrix)> {
    let mut all = vec![
        (HEAD_WEIGHT.to_owned(), values.head_weights),
        (HEAD_BIAS.to_owned(), values.head_bias),
    ];
    for (index, values) in values.convolutions.into_iter().enumerate() {
        all.push((weights(index), values.weights));
        all.push((scale(index), values.scale));
        all.push((bias(index), values.bias));
    }
    let outputs = outputs(config);
    all.retain(|(name, _)| outputs.iter().any(|port| port.name == *name));
    all
}

/// `[outputs, inputs * 9]` of each convolution of the target network.
fn shapes(config: &Config) -> Vec<[usize; 2]> {
    let convolutions = config.target.convolutions().into_iter();
    convolutions
        .map(|[outputs, inputs]| [outputs, inputs * 9])
        .collect()
}
