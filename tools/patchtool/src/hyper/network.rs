//! The generator: from a support set to the values of a patch, layer by layer (HyperTransformer, section 3).
//!
//! The difference from the released code of the paper: batch norm comes before ReLU and pool, so that it is the epilogue
//! of the convolution; its statistics are the support set's, in training and on the device; the transformers standardize before
//! each branch, not after; weight tokens start from trained values (the frozen weights of the target network) and head tokens
//! from class means, where the paper has zeros. Of continual generators see [`super::convolution`].

use super::config::{Config, Generates, Target};
use super::convolution::{Convolution, ConvolutionGenerator};
use super::layers::{Conv, Encoder, Linear};
use super::ops::{Ops, Window};
use super::parameter::Parameter;
use super::standard::Standard;

/// The images of a support set.
#[derive(Clone, Debug)]
pub enum Images<O: Ops> {
    /// Normalised pixels, for a target CNN.
    Pixels(O::Maps),
    /// Inputs of the head of a frozen backbone, `[images, features]`.
    Embeddings(O::Matrix),
}

/// Inputs of a generator.
#[derive(Clone, Debug)]
pub struct Inputs<O: Ops> {
    /// The images.
    pub images: Images<O>,
    /// One-hot, `[images, max_ways + 1]`: the class of each image, the last column where it is not known.
    pub labels: O::Matrix,
    /// One-hot, `[classes, max_ways + 1]`: the classes in use.
    pub classes: O::Matrix,
}

/// Everything that is generated.
#[derive(Clone, Debug)]
pub struct Values<O: Ops> {
    /// In the order of the layers; none for a frozen backbone.
    pub convolutions: Vec<Convolution<O>>,
    /// `[classes, features]`
    pub head_weights: O::Matrix,
    /// `[1, classes]`
    pub head_bias: O::Matrix,
}

/// The features that the head is generated from.
struct Seen<O: Ops> {
    /// Inputs of the head, `[images, features]`.
    features: O::Matrix,
    /// Shared features of the images, where the generator has them.
    shared: Option<O::Matrix>,
    /// The values of the convolutions.
    convolutions: Vec<Convolution<O>>,
}

/// A generator, without the values of its parameters.
#[derive(Clone, Debug)]
pub struct Generator {
    config: Config,
    shared: Vec<Conv>,
    convolutions: Vec<ConvolutionGenerator>,
    projection: Option<usize>,
    head: Option<HeadGenerator>,
}

#[derive(Clone, Debug)]
struct HeadGenerator {
    features: usize,
    local: Linear,
    encoder: Encoder,
}

impl Generator {
    /// Columns that the embedding of a frozen backbone is projected to.
    pub const PROJECTION: usize = 128;

    /// The generator of these sizes.
    pub fn new(config: &Config) -> Self {
        let generates_head = !config.continual && config.generates != Generates::Prototypes;
        let (convolutions, projection) = match config.target {
            Target::Cnn { .. } => (ConvolutionGenerator::all(config), None),
            Target::Frozen { features } => (Vec::new(), Some(features)),
        };
        let needs_images =
            config.generates == Generates::All || (generates_head && projection.is_none());
        Self {
            shared: if needs_images {
                shared(config)
            } else {
                Vec::new()
            },
            convolutions,
            projection,
            head: generates_head.then(|| HeadGenerator::new(config)),
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
        if let Some(features) = self.projection {
            let deviation = (1.0 / features as f32).sqrt();
            let shape = [features, Self::PROJECTION];
            all.push(Parameter::normal("projection".into(), shape, deviation));
        }
        if let Some(head) = &self.head {
            head.local.parameters(&mut all);
            head.encoder.parameters(&mut all);
        }
        if self.convolutions.iter().any(|c| c.generates_weights()) || self.head.is_some() {
            let shape = [self.config.max_ways + 1, self.config.embedding];
            all.push(Parameter::normal("labels".into(), shape, 1.0));
        }
        if !self.config.continual {
            all.push(Parameter::constant("factor".into(), [1, 1], 1.0));
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
        let seen = match &inputs.images {
            Images::Embeddings(embeddings) => Seen {
                features: embeddings.clone(),
                shared: None,
                convolutions: Vec::new(),
            },
            Images::Pixels(pixels) => self.network(ops, inputs, pixels, previous),
        };
        let (weights, bias) = self.head(ops, inputs, &seen.features, seen.shared.as_ref());
        Values {
            convolutions: seen.convolutions,
            head_weights: weights,
            head_bias: bias,
        }
    }

    /// The target CNN over the support set, layer by layer.
    fn network<O: Ops>(
        &self,
        ops: &O,
        inputs: &Inputs<O>,
        pixels: &O::Maps,
        previous: Option<&[O::Matrix]>,
    ) -> Seen<O> {
        let shared = self.shared_features(ops, pixels);
        let samples = shared
            .as_ref()
            .map(|shared| [self.label_embeddings(ops, &inputs.labels), shared.clone()]);
        let mut x = pixels.clone();
        let mut values = Vec::new();
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let before = previous.map(|all| &all[index]);
            let value = convolution.generate(ops, samples.as_ref(), &x, before);
            x = value.apply(ops, &x);
            values.push(value);
        }
        Seen {
            features: ops.mean(&x),
            shared,
            convolutions: values,
        }
    }

    fn shared_features<O: Ops>(&self, ops: &O, pixels: &O::Maps) -> Option<O::Matrix> {
        let apply = |x: O::Maps, conv: &Conv| ops.relu_maps(&conv.apply(ops, &x));
        let last = self.shared.iter().fold(pixels.clone(), apply);
        (!self.shared.is_empty()).then(|| ops.mean(&last))
    }

    fn label_embeddings<O: Ops>(&self, ops: &O, labels: &O::Matrix) -> O::Matrix {
        ops.matmul(labels, &ops.parameter("labels"))
    }

    /// Head weights and bias from the features of the support set, by which scores are what the nearest class mean's are, with
    /// the transformer's correction.
    fn head<O: Ops>(
        &self,
        ops: &O,
        inputs: &Inputs<O>,
        features: &O::Matrix,
        shared: Option<&O::Matrix>,
    ) -> (O::Matrix, O::Matrix) {
        let (weights, bias) = match self.projection {
            Some(columns) => self.frozen_head(ops, inputs, features, columns),
            None => {
                let start = prototypes(ops, inputs, features);
                self.corrected(ops, inputs, features, shared, start)
            }
        };
        let (weights, bias) = self.sharpened(ops, weights, bias);
        (weights, ops.transpose(&bias))
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

    /// The head of a frozen backbone: the sum of the closed form and of a head of projected embeddings, which is generated.
    /// Training starts from scores that both parts agree on. Embeddings are standardized; where each closed form has as many
    /// terms as columns, the mean over columns keeps scores and tokens near 1.
    fn frozen_head<O: Ops>(
        &self,
        ops: &O,
        inputs: &Inputs<O>,
        embeddings: &O::Matrix,
        columns: usize,
    ) -> (O::Matrix, O::Matrix) {
        let standard = Standard::of(ops, inputs, embeddings, columns);
        let share = 1.0 / columns as f32;
        let (weights, bias) = prototypes(ops, inputs, &standard.values);
        let own = [weights, bias].map(|values| ops.scale(&values, share));
        let projection = ops.parameter("projection");
        let projected = ops.matmul(&standard.values, &projection);
        let share = 1.0 / Self::PROJECTION as f32;
        let (weights, bias) = prototypes(ops, inputs, &projected);
        let start = (weights, ops.scale(&bias, share));
        let (weights, bias) = self.corrected(ops, inputs, &projected, None, start);
        let back = ops.transpose(&ops.scale(&projection, share));
        let weights = ops.add(&own[0], &ops.matmul(&weights, &back));
        standard.head(ops, &weights, &ops.add(&own[1], &bias))
    }

    /// Head weights and bias (a column) after the transformer, where there is one for the head.
    fn corrected<O: Ops>(
        &self,
        ops: &O,
        inputs: &Inputs<O>,
        features: &O::Matrix,
        shared: Option<&O::Matrix>,
        (weights, bias): (O::Matrix, O::Matrix),
    ) -> (O::Matrix, O::Matrix) {
        let Some(head) = &self.head else {
            return (weights, bias);
        };
        let labels = self.label_embeddings(ops, &inputs.labels);
        let classes = self.label_embeddings(ops, &inputs.classes);
        let mut samples = vec![labels, head.local.apply(ops, features), features.clone()];
        samples.extend(shared.cloned());
        head.weights(ops, &samples, [&classes, &weights, &bias])
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

impl HeadGenerator {
    fn new(config: &Config) -> Self {
        let (features, shared) = match config.target {
            Target::Cnn { .. } => (config.features(), config.shared),
            Target::Frozen { .. } => (Generator::PROJECTION, 0),
        };
        Self {
            features,
            local: Linear::new("head.local".into(), features, features),
            encoder: Encoder::new(config, "head", [features + 1, 2 * features + shared]),
        }
    }

    /// Weights and bias (a column) by the transformer: a token for each class, then one for each image.
    fn weights<O: Ops>(
        &self,
        ops: &O,
        samples: &[O::Matrix],
        [classes, weights, bias]: [&O::Matrix; 3],
    ) -> (O::Matrix, O::Matrix) {
        let tokens = [classes.clone(), weights.clone(), bias.clone()];
        let values = self.encoder.apply(ops, &tokens, samples);
        let features = self.features;
        (
            ops.columns(&values, 0..features),
            ops.columns(&values, features..features + 1),
        )
    }
}
