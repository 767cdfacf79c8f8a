//! The generator: from a support set to the values of a patch, layer by layer (HyperTransformer, section 3).
//!
//! The difference from the released code of the paper: batch norm comes before ReLU and pool, so that it is the epilogue
//! of the convolution; its statistics are the support set's, in training and on the device; the transformers standardize before
//! each branch, not after; weight tokens start from trained values (the frozen weights of the target network), where the paper
//! has zeros; the head is class means, since a head that was generated was hardly better. Of continual generators see
//! [`super::convolution`].

use super::config::{Config, Generates};
use super::convolution::{Convolution, ConvolutionGenerator};
use super::layers::Conv;
use super::ops::{Ops, Window};
use super::parameter::Parameter;

/// Squared distances of features to class means are scores after this times their mean over features, before training.
const SHARPNESS: f32 = 8.0;

/// Inputs of a generator.
#[derive(Clone, Debug)]
pub struct Inputs<O: Ops> {
    /// Normalised pixels of the images.
    pub images: O::Maps,
    /// One-hot, `[images, max_ways + 1]`: the class of each image, the last column where it is not known.
    pub labels: O::Matrix,
    /// One-hot, `[classes, max_ways + 1]`: the classes in use.
    pub classes: O::Matrix,
}

/// Everything that is generated.
#[derive(Clone, Debug)]
pub struct Values<O: Ops> {
    /// In the order of the layers.
    pub convolutions: Vec<Convolution<O>>,
    /// `[classes, features]`
    pub head_weights: O::Matrix,
    /// `[1, classes]`
    pub head_bias: O::Matrix,
}

/// A generator, without the values of its parameters.
#[derive(Clone, Debug)]
pub struct Generator {
    config: Config,
    shared: Vec<Conv>,
    convolutions: Vec<ConvolutionGenerator>,
}

impl Generator {
    /// The generator of these sizes.
    pub fn new(config: &Config) -> Self {
        Self {
            shared: match config.generates {
                Generates::All => shared(config),
                Generates::Prototypes => Vec::new(),
            },
            convolutions: ConvolutionGenerator::all(config),
            config: config.clone(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every trained parameter, in a fixed order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = Vec::new();
        self.shared
            .iter()
            .for_each(|conv| conv.parameters(&mut all));
        for convolution in &self.convolutions {
            convolution.parameters(self.config.embedding, &mut all);
        }
        if self.config.generates == Generates::All {
            let shape = [self.config.max_ways + 1, self.config.embedding];
            all.push(Parameter::normal("labels".into(), shape, 1.0));
        }
        if !self.config.continual {
            let factor = SHARPNESS / self.config.target.features as f32;
            all.push(Parameter::constant("factor".into(), [1, 1], factor));
        }
        all
    }

    /// Generates from a support set. `previous`, for continual generators, are the convolutions of an earlier patch, each
    /// `[outputs, inputs * 9 + EARLIER]` (see [`super::convolution::EARLIER`]). Without them, the target CNN's own weights are
    /// where weights start.
    pub fn generate<O: Ops>(
        &self,
        ops: &O,
        inputs: &Inputs<O>,
        previous: Option<&[O::Matrix]>,
    ) -> Values<O> {
        let pixels = &inputs.images;
        let shared = self.shared_features(ops, pixels);
        let samples =
            shared.map(|shared| [ops.matmul(&inputs.labels, &ops.parameter("labels")), shared]);
        let mut x = pixels.clone();
        let mut convolutions = Vec::new();
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let before = previous.map(|all| &all[index]);
            let values = convolution.generate(ops, samples.as_ref(), &x, before);
            x = values.apply(ops, &x);
            convolutions.push(values);
        }
        let (weights, bias) = prototypes(ops, inputs, &ops.mean(&x));
        let (head_weights, bias) = self.sharpened(ops, weights, bias);
        Values {
            convolutions,
            head_weights,
            head_bias: ops.transpose(&bias),
        }
    }

    fn shared_features<O: Ops>(&self, ops: &O, pixels: &O::Maps) -> Option<O::Matrix> {
        let apply = |x: O::Maps, conv: &Conv| ops.relu_maps(&conv.apply(ops, &x));
        let last = self.shared.iter().fold(pixels.clone(), apply);
        (!self.shared.is_empty()).then(|| ops.mean(&last))
    }

    /// A head with scores as far apart as training wants them; those of continual generators stay class means.
    pub fn sharpened<O: Ops>(
        &self,
        ops: &O,
        weights: O::Matrix,
        bias: O::Matrix,
    ) -> (O::Matrix, O::Matrix) {
        if self.config.continual {
            return (weights, bias);
        }
        let factor = ops.parameter("factor");
        (ops.mul(&weights, &factor), ops.mul(&bias, &factor))
    }

    /// Inputs of the head of the target CNN for images, by generated values: `[images, channels]`.
    pub fn embed<O: Ops>(ops: &O, images: &O::Maps, convolutions: &[Convolution<O>]) -> O::Matrix {
        let last = convolutions
            .iter()
            .fold(images.clone(), |x, values| values.apply(ops, &x));
        ops.mean(&last)
    }
}

/// Head of the nearest class mean (Snell et al. 2017, equation 8): weights `2 c` and, as a column, bias `-|c|^2`, for each
/// class mean c of the labelled images.
pub fn prototypes<O: Ops>(
    ops: &O,
    inputs: &Inputs<O>,
    features: &O::Matrix,
) -> (O::Matrix, O::Matrix) {
    let members = ops.matmul(&inputs.classes, &ops.transpose(&inputs.labels));
    let shares = ops.mul(&members, &ops.inverse(&ops.sum_columns(&members)));
    let means = ops.matmul(&shares, features);
    let squares = ops.sum_columns(&ops.mul(&means, &means));
    (ops.scale(&means, 2.0), ops.scale(&squares, -1.0))
}

/// Four convolutions, strides 2, 2, 2, 1.
fn shared(config: &Config) -> Vec<Conv> {
    let layer = |(index, stride)| {
        let inputs = if index == 0 { 1 } else { config.shared };
        let window = Window {
            kernel: 3,
            stride,
            padding: 1,
        };
        Conv::new(format!("shared.{index}"), inputs, config.shared, window)
    };
    [2, 2, 2, 1].into_iter().enumerate().map(layer).collect()
}
