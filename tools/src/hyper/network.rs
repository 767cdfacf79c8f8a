//! The generator: from a support set to the values of a patch, layer by layer (HyperTransformer, section 3).
//!
//! Where this differs from the released code of the paper: batch norm comes before ReLU and pool, so that it is the epilogue
//! of the convolution; its statistics are the support set's, in training and on the device; the transformers normalise before
//! each branch, not after; a continual generator may keep a
//! trained share of the epilogues of the patch before, since the statistics of a later support set move the features that
//! earlier prototypes were made of; weight tokens start from trained values (the frozen weights of the target network) and head tokens
//! from class means, where the paper has zeros.

use super::config::{Config, Generates, Target};
use super::layers::{Conv, Linear, Transformer};
use super::ops::{Ops, Window};
use super::parameter::Parameter;
use super::standard::Standard;

/// A convolution of the target network.
pub const TARGET: Window = Window {
    kernel: 3,
    stride: 1,
    padding: 1,
};

/// What an earlier convolution has beside its weights: a column each for whether there is an epilogue, scale, bias.
pub const EARLIER: usize = 3;

/// Share of an earlier epilogue that is kept, before training: weights that are not trained yet differ too much from step to
/// step for an epilogue to fit the next ones, and a larger share makes features explode.
const KEEP: f32 = 0.0;

/// A support set as a generator reads it.
#[derive(Clone, Debug)]
pub enum Images<O: Ops> {
    /// Normalised pixels, for a target CNN.
    Pixels(O::Maps),
    /// What the head of a frozen backbone reads, `[images, features]`.
    Embeddings(O::Matrix),
}

/// Inputs of a generator.
#[derive(Clone, Debug)]
pub struct Support<O: Ops> {
    /// The images.
    pub images: Images<O>,
    /// One-hot, `[images, max_ways + 1]`: the class of each image, the last column where it is not known.
    pub labels: O::Matrix,
    /// One-hot, `[classes, max_ways + 1]`: the classes in use.
    pub classes: O::Matrix,
}

/// Generated values of one convolution of the target CNN.
#[derive(Clone, Debug)]
pub struct Convolution<O: Ops> {
    /// `[outputs, inputs * 9]`
    pub weights: O::Matrix,
    /// Epilogue: batch norm with the statistics of the support set, `[1, outputs]`.
    pub scale: O::Matrix,
    /// `[1, outputs]`
    pub bias: O::Matrix,
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

/// What the head is generated from.
struct Seen<O: Ops> {
    /// What the head reads, `[images, features]`.
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
struct ConvolutionGenerator {
    name: String,
    /// Output channels and weights of each.
    shape: [usize; 2],
    /// Only where the weights are generated.
    transformer: Option<TokenMixer>,
    /// Whether it goes on from an earlier one.
    is_continual: bool,
}

#[derive(Clone, Debug)]
struct TokenMixer {
    local: [Conv; 2],
    transformer: Encoder,
}

#[derive(Clone, Debug)]
struct HeadGenerator {
    local: Linear,
    transformer: Encoder,
}

/// A transformer over weight tokens and sample tokens, each an embedding and then values, padded with zeros.
#[derive(Clone, Debug)]
struct Encoder {
    /// Columns of the embedding, of a weight token's values and of a sample token's values.
    embedding: usize,
    values: [usize; 2],
    transformer: Transformer,
}

impl Encoder {
    fn new(config: &Config, name: &str, values: [usize; 2]) -> Self {
        let width = config.embedding + values[0].max(values[1]);
        let name = format!("{name}.transformer");
        Self {
            embedding: config.embedding,
            values,
            transformer: Transformer::new(&name, config.transformer_layers, config.heads, width),
        }
    }

    /// The values of the weight tokens after the last layer.
    fn apply<O: Ops>(&self, ops: &O, weights: &[O::Matrix], samples: &[O::Matrix]) -> O::Matrix {
        let widest = self.values[0].max(self.values[1]);
        let [weights, samples] = [(weights, self.values[0]), (samples, self.values[1])]
            .map(|(parts, own)| ops.pad_columns(&ops.concat_columns(parts), widest - own));
        let tokens = ops.concat_rows(&[weights.clone(), samples]);
        let tokens = self.transformer.apply(ops, &tokens);
        let slices = self.embedding..self.embedding + self.values[0];
        ops.columns(&ops.rows_like(&tokens, &weights), slices)
    }
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

    /// What it is.
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
            head.transformer.transformer.parameters(&mut all);
        }
        if self.convolutions.iter().any(|c| c.transformer.is_some()) || self.head.is_some() {
            let shape = [self.config.max_ways + 1, self.config.embedding];
            all.push(Parameter::normal("labels".into(), shape, 1.0));
        }
        if !self.config.continual {
            all.push(Parameter::constant("factor".into(), [1, 1], 1.0));
        }
        all
    }

    /// Generates from a support set. `previous`, for continual generators, are the convolutions of an earlier patch, each
    /// `[outputs, inputs * 9 + EARLIER]`: weights, then a 1 (0 where there is no patch yet), scale and bias of each output.
    /// Without them, the target CNN's own weights are where weights start.
    pub fn generate<O: Ops>(
        &self,
        ops: &O,
        support: &Support<O>,
        previous: Option<&[O::Matrix]>,
    ) -> Values<O> {
        let seen = match &support.images {
            Images::Embeddings(embeddings) => Seen {
                features: embeddings.clone(),
                shared: None,
                convolutions: Vec::new(),
            },
            Images::Pixels(pixels) => self.network(ops, support, pixels, previous),
        };
        let (weights, bias) = self.head(ops, support, &seen.features, seen.shared.as_ref());
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
        support: &Support<O>,
        pixels: &O::Maps,
        previous: Option<&[O::Matrix]>,
    ) -> Seen<O> {
        let shared = self.shared_features(ops, pixels);
        let mut x = pixels.clone();
        let mut values = Vec::new();
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let before = previous.map(|all| Earlier::of(ops, &all[index], convolution.shape[1]));
            let start = match &before {
                Some(before) => before.weights.clone(),
                None => ops.parameter(&format!("{}.weight", convolution.name)),
            };
            let weights = match (&convolution.transformer, &shared) {
                (Some(mixer), Some(shared)) => {
                    let known = self.label_embeddings(ops, &support.labels);
                    convolution.weights(ops, mixer, [&known, shared], &x, &start)
                }
                _ => start,
            };
            let mut value = convolution.statistics(ops, &x, weights);
            if let Some(before) = &before {
                value = convolution.kept(ops, value, before);
            }
            x = layer(ops, &x, &value);
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
        support: &Support<O>,
        features: &O::Matrix,
        shared: Option<&O::Matrix>,
    ) -> (O::Matrix, O::Matrix) {
        let (mut weights, mut bias) = match self.projection {
            Some(columns) => self.frozen_head(ops, support, features, columns),
            None => {
                let start = prototypes(ops, support, features);
                self.corrected(ops, support, features, shared, start)
            }
        };
        if !self.config.continual {
            let factor = ops.parameter("factor");
            (weights, bias) = (ops.mul(&weights, &factor), ops.mul(&bias, &factor));
        }
        (weights, ops.transpose(&bias))
    }

    /// The head of a frozen backbone: the sum of the closed form and of a head of projected embeddings, which is generated.
    /// Training starts from scores that both parts agree on. Embeddings are standardised; where each closed form has as many
    /// terms as columns, the mean over columns keeps scores and tokens near 1.
    fn frozen_head<O: Ops>(
        &self,
        ops: &O,
        support: &Support<O>,
        embeddings: &O::Matrix,
        columns: usize,
    ) -> (O::Matrix, O::Matrix) {
        let standard = Standard::of(ops, support, embeddings, columns);
        let share = 1.0 / columns as f32;
        let (weights, bias) = prototypes(ops, support, &standard.values);
        let own = [weights, bias].map(|values| ops.scale(&values, share));
        let projection = ops.parameter("projection");
        let projected = ops.matmul(&standard.values, &projection);
        let share = 1.0 / Self::PROJECTION as f32;
        let (weights, bias) = prototypes(ops, support, &projected);
        let start = (weights, ops.scale(&bias, share));
        let (weights, bias) = self.corrected(ops, support, &projected, None, start);
        let back = ops.transpose(&ops.scale(&projection, share));
        let weights = ops.add(&own[0], &ops.matmul(&weights, &back));
        standard.head(ops, &weights, &ops.add(&own[1], &bias))
    }

    /// Head weights and bias (a column) after the transformer, where there is one for the head.
    fn corrected<O: Ops>(
        &self,
        ops: &O,
        support: &Support<O>,
        features: &O::Matrix,
        shared: Option<&O::Matrix>,
        (weights, bias): (O::Matrix, O::Matrix),
    ) -> (O::Matrix, O::Matrix) {
        let Some(head) = &self.head else {
            return (weights, bias);
        };
        let labels = self.label_embeddings(ops, &support.labels);
        let classes = self.label_embeddings(ops, &support.classes);
        let mut samples = vec![labels, head.local.apply(ops, features), features.clone()];
        samples.extend(shared.cloned());
        head.weights(ops, &samples, [&classes, &weights, &bias])
    }

    /// What the head of the target CNN reads for images, by generated values: `[images, channels]`.
    pub fn embed<O: Ops>(ops: &O, images: &O::Maps, convolutions: &[Convolution<O>]) -> O::Matrix {
        let last = convolutions
            .iter()
            .fold(images.clone(), |x, values| layer(ops, &x, values));
        ops.mean(&last)
    }
}

/// Head of the nearest class mean (Snell et al. 2017, equation 8): weights `2 c` and, as a column, bias `-|c|^2`, for each
/// class mean c of the labelled images.
pub fn prototypes<O: Ops>(
    ops: &O,
    support: &Support<O>,
    features: &O::Matrix,
) -> (O::Matrix, O::Matrix) {
    let members = ops.matmul(&support.classes, &ops.transpose(&support.labels));
    let shares = ops.mul(&members, &ops.inverse(&ops.sum_columns(&members)));
    let means = ops.matmul(&shares, features);
    let squares = ops.sum_columns(&ops.mul(&means, &means));
    (ops.scale(&means, 2.0), ops.scale(&squares, -1.0))
}

/// Convolution, epilogue, ReLU, pool.
fn layer<O: Ops>(ops: &O, x: &O::Maps, values: &Convolution<O>) -> O::Maps {
    let sums = ops.conv(x, &values.weights, TARGET);
    let normal = ops.affine(&sums, Some(&values.scale), &values.bias);
    ops.max_pool(&ops.relu_maps(&normal))
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

impl ConvolutionGenerator {
    fn all(config: &Config) -> Vec<Self> {
        let Target::Cnn { channels, side } = config.target else {
            return Vec::new();
        };
        let layer = |index| {
            let name = format!("conv.{index}");
            let inputs = if index == 0 { 1 } else { channels };
            let shape = [channels, inputs * 9];
            let transformer = (config.generates == Generates::All)
                .then(|| TokenMixer::new(config, &name, inputs, channels, side >> index));
            Self {
                name,
                shape,
                transformer,
                is_continual: config.continual,
            }
        };
        (0..Config::CONVOLUTIONS).map(layer).collect()
    }

    fn parameters(&self, embedding: usize, all: &mut Vec<Parameter>) {
        let (name, [outputs, depth]) = (&self.name, self.shape);
        let deviation = (2.0 / depth as f32).sqrt();
        all.push(Parameter::normal(
            format!("{name}.weight"),
            self.shape,
            deviation,
        ));
        all.push(Parameter::constant(
            format!("{name}.gamma"),
            [1, outputs],
            1.0,
        ));
        all.push(Parameter::constant(
            format!("{name}.beta"),
            [1, outputs],
            0.0,
        ));
        if self.is_continual {
            let name = format!("{name}.keep");
            all.push(Parameter::constant(name, [1, outputs], KEEP));
        }
        if let Some(mixer) = &self.transformer {
            let slices = [outputs, embedding];
            all.push(Parameter::normal(format!("{name}.slices"), slices, 1.0));
            mixer.local.iter().for_each(|conv| conv.parameters(all));
            mixer.transformer.transformer.parameters(all);
        }
    }

    /// Weights by the transformer: a token for each output channel, then one for each image.
    fn weights<O: Ops>(
        &self,
        ops: &O,
        mixer: &TokenMixer,
        [labels, shared]: [&O::Matrix; 2],
        x: &O::Maps,
        start: &O::Matrix,
    ) -> O::Matrix {
        let slices = ops.parameter(&format!("{}.slices", self.name));
        let first = mixer.local[0].apply(ops, x);
        let second = mixer.local[1].apply(ops, &ops.relu_maps(&first));
        let (first, second) = (ops.mean(&first), ops.mean(&second));
        let samples = [labels.clone(), first, second, shared.clone()];
        mixer
            .transformer
            .apply(ops, &[slices, start.clone()], &samples)
    }

    /// Batch norm with the statistics of this convolution over the support set, as an epilogue.
    fn statistics<O: Ops>(&self, ops: &O, x: &O::Maps, weights: O::Matrix) -> Convolution<O> {
        let (mean, variance) = ops.statistics(&ops.conv(x, &weights, TARGET));
        let gamma = ops.parameter(&format!("{}.gamma", self.name));
        let beta = ops.parameter(&format!("{}.beta", self.name));
        let scale = ops.mul(&ops.inverse_sqrt(&variance, Config::EPSILON), &gamma);
        let bias = ops.add(&beta, &ops.scale(&ops.mul(&mean, &scale), -1.0));
        Convolution {
            weights,
            scale,
            bias,
        }
    }

    /// The epilogue, of which a trained share stays as it was in the patch before.
    fn kept<O: Ops>(
        &self,
        ops: &O,
        mut value: Convolution<O>,
        before: &Earlier<O>,
    ) -> Convolution<O> {
        let keep = ops.parameter(&format!("{}.keep", self.name));
        let share = ops.mul(&keep, &before.known);
        let blend = |own: &O::Matrix, before: &O::Matrix| {
            let way = ops.add(before, &ops.scale(own, -1.0));
            ops.add(own, &ops.mul(&way, &share))
        };
        value.scale = blend(&value.scale, &before.scale);
        value.bias = blend(&value.bias, &before.bias);
        value
    }
}

/// A convolution that a continual generator goes on from.
struct Earlier<O: Ops> {
    weights: O::Matrix,
    /// 1 where the epilogue is that of a patch, 0 where there is none yet, `[1, outputs]`.
    known: O::Matrix,
    scale: O::Matrix,
    bias: O::Matrix,
}

impl<O: Ops> Earlier<O> {
    /// From the columns of one matrix: weights, known, scale, bias.
    fn of(ops: &O, matrix: &O::Matrix, weights: usize) -> Self {
        let row = |column| ops.transpose(&ops.columns(matrix, column..column + 1));
        Self {
            weights: ops.columns(matrix, 0..weights),
            known: row(weights),
            scale: row(weights + 1),
            bias: row(weights + 2),
        }
    }
}

impl TokenMixer {
    fn new(config: &Config, name: &str, inputs: usize, channels: usize, side: usize) -> Self {
        let (first, next) = local(side, 2);
        let (second, _) = local(next, 1);
        let conv = |part, inputs, window| {
            Conv::new(format!("{name}.local.{part}"), inputs, channels, window)
        };
        let features = 2 * channels + config.shared;
        Self {
            local: [conv(0, inputs, first), conv(1, channels, second)],
            transformer: Encoder::new(config, name, [inputs * 9, features]),
        }
    }
}

/// An unpadded window of 3 x 3 where that fits, else of the whole map; and the side of what it gives.
fn local(side: usize, stride: usize) -> (Window, usize) {
    let kernel = side.min(3);
    let stride = if side < 3 { 1 } else { stride };
    let padding = 0;
    let window = Window {
        kernel,
        stride,
        padding,
    };
    (window, (side - kernel) / stride + 1)
}

impl HeadGenerator {
    fn new(config: &Config) -> Self {
        let (features, shared) = match config.target {
            Target::Cnn { .. } => (config.features(), config.shared),
            Target::Frozen { .. } => (Generator::PROJECTION, 0),
        };
        Self {
            local: Linear::new("head.local".into(), features, features),
            transformer: Encoder::new(config, "head", [features + 1, 2 * features + shared]),
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
        let values = self.transformer.apply(ops, &tokens, samples);
        let features = self.transformer.values[0] - 1;
        (
            ops.columns(&values, 0..features),
            ops.columns(&values, features..features + 1),
        )
    }
}
