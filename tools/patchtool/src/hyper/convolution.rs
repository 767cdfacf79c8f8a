//! The generator of one convolution of the target CNN.
//!
//! A continual generator keeps a trained share of the patch before, weights and epilogue alike, where the paper generates all
//! of it anew ("Continual HyperTransformer", section 3): earlier prototypes stay where they were made, and a few images, whose
//! statistics differ from task to task, must not move the features away from them.

use super::config::{Config, Generates, Target};
use super::layers::{Conv, Encoder};
use super::ops::{Ops, Window};
use super::parameter::Parameter;

/// A convolution of the target network.
pub const TARGET: Window = Window {
    kernel: 3,
    stride: 1,
    padding: 1,
};

/// Columns of an earlier convolution after its weights: 1 if there was a patch before and 0 if not, then scale and bias.
pub const EARLIER: usize = 3;

/// Share of the patch before that is kept, before training.
const KEEP: f32 = 0.9;

/// Generated values of one convolution.
#[derive(Clone, Debug)]
pub struct Convolution<O: Ops> {
    /// `[outputs, inputs * 9]`
    pub weights: O::Matrix,
    /// Epilogue: batch norm with the statistics of the support set, `[1, outputs]`.
    pub scale: O::Matrix,
    /// `[1, outputs]`
    pub bias: O::Matrix,
}

impl<O: Ops> Convolution<O> {
    /// Convolution, epilogue, ReLU, pool.
    pub fn apply(&self, ops: &O, x: &O::Maps) -> O::Maps {
        let sums = ops.conv(x, &self.weights, TARGET);
        let normal = ops.affine(&sums, Some(&self.scale), &self.bias);
        ops.max_pool(&ops.relu_maps(&normal))
    }
}

#[derive(Clone, Debug)]
pub(super) struct ConvolutionGenerator {
    name: String,
    /// Output channels and weights of each.
    shape: [usize; 2],
    /// Only where the weights are generated.
    mixer: Option<TokenMixer>,
    /// Whether it goes on from an earlier one.
    is_continual: bool,
}

impl ConvolutionGenerator {
    /// Those of all layers.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let Target { channels, side, .. } = config.target;
        let layer = |(index, [outputs, inputs]): (usize, [usize; 2])| {
            let name = format!("conv.{index}");
            let mixer = (config.generates == Generates::All)
                .then(|| TokenMixer::new(config, &name, inputs, channels, side >> index));
            Self {
                name,
                shape: [outputs, inputs * 9],
                mixer,
                is_continual: config.continual,
            }
        };
        let all = config.target.convolutions().into_iter().enumerate();
        all.map(layer).collect()
    }

    pub(super) fn parameters(&self, embedding: usize, all: &mut Vec<Parameter>) {
        let [outputs, depth] = self.shape;
        let name = |part: &str| format!("{}.{part}", self.name);
        let deviation = (2.0 / depth as f32).sqrt();
        all.push(Parameter::normal(name("weight"), self.shape, deviation));
        all.push(Parameter::constant(name("gamma"), [1, outputs], 1.0));
        all.push(Parameter::constant(name("beta"), [1, outputs], 0.0));
        if self.is_continual {
            all.push(Parameter::constant(name("keep"), [1, outputs], KEEP));
        }
        if let Some(mixer) = &self.mixer {
            all.push(Parameter::normal(name("slices"), [outputs, embedding], 1.0));
            mixer.local.iter().for_each(|conv| conv.parameters(all));
            mixer.encoder.parameters(all);
        }
    }

    /// The convolution for a support set of which `x` are the maps that it reads. `samples` are label embeddings and shared
    /// features of the images, `earlier` is the convolution of the patch before: a row of weights for each output, then
    /// [`EARLIER`] columns.
    pub(super) fn generate<O: Ops>(
        &self,
        ops: &O,
        samples: Option<&[O::Matrix; 2]>,
        x: &O::Maps,
        earlier: Option<&O::Matrix>,
    ) -> Convolution<O> {
        let earlier = earlier.map(|matrix| self.earlier(ops, matrix));
        let start = match &earlier {
            Some(earlier) => earlier.values.weights.clone(),
            None => self.parameter(ops, "weight"),
        };
        let weights = match (&self.mixer, samples) {
            (Some(mixer), Some(samples)) => {
                let slices = self.parameter(ops, "slices");
                mixer.weights(ops, samples, x, [slices, start])
            }
            _ => start,
        };
        let Some(earlier) = earlier else {
            return self.with_epilogue(ops, x, weights);
        };
        let share = &earlier.share;
        let before = &earlier.values;
        let weights = blend(ops, &weights, &before.weights, &ops.transpose(share));
        let own = self.with_epilogue(ops, x, weights);
        Convolution {
            scale: blend(ops, &own.scale, &before.scale, share),
            bias: blend(ops, &own.bias, &before.bias, share),
            weights: own.weights,
        }
    }

    fn parameter<O: Ops>(&self, ops: &O, part: &str) -> O::Matrix {
        ops.parameter(&format!("{}.{part}", self.name))
    }

    /// These weights with batch norm as an epilogue, whose statistics are those of the support set.
    fn with_epilogue<O: Ops>(&self, ops: &O, x: &O::Maps, weights: O::Matrix) -> Convolution<O> {
        let (mean, variance) = ops.statistics(&ops.conv(x, &weights, TARGET));
        let [gamma, beta] = ["gamma", "beta"].map(|part| self.parameter(ops, part));
        let scale = ops.mul(&ops.inverse_sqrt(&variance, Config::EPSILON), &gamma);
        let bias = ops.add(&beta, &ops.scale(&ops.mul(&mean, &scale), -1.0));
        Convolution {
            weights,
            scale,
            bias,
        }
    }

    fn earlier<O: Ops>(&self, ops: &O, matrix: &O::Matrix) -> Earlier<O> {
        let weights = self.shape[1];
        let row = |column| ops.transpose(&ops.columns(matrix, column..column + 1));
        Earlier {
            share: ops.mul(&self.parameter(ops, "keep"), &row(weights)),
            values: Convolution {
                weights: ops.columns(matrix, 0..weights),
                scale: row(weights + 1),
                bias: row(weights + 2),
            },
        }
    }
}

/// The convolution of the patch before.
struct Earlier<O: Ops> {
    values: Convolution<O>,
    /// The share of each output that is kept, `[1, outputs]`: 0 where there is no patch yet.
    share: O::Matrix,
}

/// `own` where the share is 0, `before` where it is 1.
fn blend<O: Ops>(ops: &O, own: &O::Matrix, before: &O::Matrix, share: &O::Matrix) -> O::Matrix {
    let way = ops.add(before, &ops.scale(own, -1.0));
    ops.add(own, &ops.mul(&way, share))
}

/// The transformer of a convolution, and the local features that it reads beside the shared ones.
#[derive(Clone, Debug)]
struct TokenMixer {
    local: [Conv; 2],
    encoder: Encoder,
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
            encoder: Encoder::new(config, name, [inputs * 9, features]),
        }
    }

    /// Weights from where they start: a token for each output channel, then one for each image.
    fn weights<O: Ops>(
        &self,
        ops: &O,
        [labels, shared]: &[O::Matrix; 2],
        x: &O::Maps,
        start: [O::Matrix; 2],
    ) -> O::Matrix {
        let first = self.local[0].apply(ops, x);
        let second = self.local[1].apply(ops, &ops.relu_maps(&first));
        let (first, second) = (ops.mean(&first), ops.mean(&second));
        let samples = [labels.clone(), first, second, shared.clone()];
        self.encoder.apply(ops, &start, &samples)
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
