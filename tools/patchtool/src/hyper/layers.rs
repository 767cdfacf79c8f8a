//! The parts of a generator: linear layer, convolution, transformer over tokens.

use super::config::Config;
use super::ops::{Ops, Window};
use super::parameter::Parameter;

/// Added to variances where rows are standardized.
const EPSILON: f32 = 1e-6;

/// `x W + b` on rows.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    name: String,
    shape: [usize; 2],
    deviation: f32,
}

impl Linear {
    /// From `inputs` columns to `outputs`.
    pub(super) fn new(name: String, inputs: usize, outputs: usize) -> Self {
        Self {
            name,
            shape: [inputs, outputs],
            deviation: (1.0 / inputs as f32).sqrt(),
        }
    }

    /// The same, starting nearer to zero: at first a residual branch adds little.
    fn small(name: String, inputs: usize, outputs: usize) -> Self {
        let mut linear = Self::new(name, inputs, outputs);
        linear.deviation *= 0.1;
        linear
    }

    pub(super) fn parameters(&self, all: &mut Vec<Parameter>) {
        let name = &self.name;
        all.push(Parameter::normal(
            format!("{name}.weight"),
            self.shape,
            self.deviation,
        ));
        all.push(Parameter::constant(
            format!("{name}.bias"),
            [1, self.shape[1]],
            0.0,
        ));
    }

    pub(super) fn apply<O: Ops>(&self, ops: &O, x: &O::Matrix) -> O::Matrix {
        let weight = ops.parameter(&format!("{}.weight", self.name));
        let bias = ops.parameter(&format!("{}.bias", self.name));
        ops.add(&ops.matmul(x, &weight), &bias)
    }
}

/// A convolution with a bias.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    name: String,
    inputs: usize,
    outputs: usize,
    window: Window,
}

impl Conv {
    pub(super) fn new(name: String, inputs: usize, outputs: usize, window: Window) -> Self {
        Self {
            name,
            inputs,
            outputs,
            window,
        }
    }

    pub(super) fn parameters(&self, all: &mut Vec<Parameter>) {
        let depth = self.inputs * self.window.kernel.pow(2);
        let (name, deviation) = (&self.name, (2.0 / depth as f32).sqrt());
        all.push(Parameter::normal(
            format!("{name}.weight"),
            [self.outputs, depth],
            deviation,
        ));
        all.push(Parameter::constant(
            format!("{name}.bias"),
            [1, self.outputs],
            0.0,
        ));
    }

    pub(super) fn apply<O: Ops>(&self, ops: &O, x: &O::Maps) -> O::Maps {
        let weight = ops.parameter(&format!("{}.weight", self.name));
        let bias = ops.parameter(&format!("{}.bias", self.name));
        ops.affine(&ops.conv(x, &weight, self.window), None, &bias)
    }
}

/// Layer normalisation of rows, with a gain and a bias.
#[derive(Clone, Debug)]
struct Norm {
    name: String,
    width: usize,
}

impl Norm {
    fn parameters(&self, all: &mut Vec<Parameter>) {
        let (name, shape) = (&self.name, [1, self.width]);
        all.push(Parameter::constant(format!("{name}.gain"), shape, 1.0));
        all.push(Parameter::constant(format!("{name}.bias"), shape, 0.0));
    }

    fn apply<O: Ops>(&self, ops: &O, x: &O::Matrix) -> O::Matrix {
        let gain = ops.parameter(&format!("{}.gain", self.name));
        let bias = ops.parameter(&format!("{}.bias", self.name));
        ops.add(&ops.mul(&ops.standardize(x, EPSILON), &gain), &bias)
    }
}

/// A transformer over weight tokens and sample tokens, each an embedding and then values, padded with zeros.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// Columns of the embedding, of a weight token's values and of a sample token's values.
    embedding: usize,
    values: [usize; 2],
    transformer: Transformer,
}

impl Encoder {
    pub(super) fn new(config: &Config, name: &str, values: [usize; 2]) -> Self {
        let width = config.embedding + values[0].max(values[1]);
        let name = format!("{name}.transformer");
        Self {
            embedding: config.embedding,
            values,
            transformer: Transformer::new(&name, config.transformer_layers, config.heads, width),
        }
    }

    pub(super) fn parameters(&self, all: &mut Vec<Parameter>) {
        self.transformer.parameters(all);
    }

    /// The values of the weight tokens after the last layer.
    pub(super) fn apply<O: Ops>(
        &self,
        ops: &O,
        weights: &[O::Matrix],
        samples: &[O::Matrix],
    ) -> O::Matrix {
        let widest = self.values[0].max(self.values[1]);
        let [weights, samples] = [(weights, self.values[0]), (samples, self.values[1])]
            .map(|(parts, own)| ops.pad_columns(&ops.concat_columns(parts), widest - own));
        let tokens = ops.concat_rows(&[weights.clone(), samples]);
        let tokens = self.transformer.apply(ops, &tokens);
        let slices = self.embedding..self.embedding + self.values[0];
        ops.columns(&ops.rows_like(&tokens, &weights), slices)
    }
}

/// Attention over tokens, without positions. Layers standardize what they read, not what they add to (Xiong et al. 2020,
/// "On Layer Normalization in the Transformer Architecture"), so that start values pass through unchanged.
#[derive(Clone, Debug)]
struct Transformer {
    layers: Vec<TransformerLayer>,
}

#[derive(Clone, Debug)]
struct TransformerLayer {
    heads: usize,
    head_width: usize,
    norms: [Norm; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    inner: Linear,
    outer: Linear,
}

impl Transformer {
    fn new(name: &str, layers: usize, heads: usize, width: usize) -> Self {
        let layers = (0..layers)
            .map(|index| TransformerLayer::new(&format!("{name}.{index}"), heads, width))
            .collect();
        Self { layers }
    }

    fn parameters(&self, all: &mut Vec<Parameter>) {
        for layer in &self.layers {
            layer.parameters(all);
        }
    }

    fn apply<O: Ops>(&self, ops: &O, tokens: &O::Matrix) -> O::Matrix {
        self.layers
            .iter()
            .fold(tokens.clone(), |tokens, layer| layer.apply(ops, &tokens))
    }
}

impl TransformerLayer {
    fn new(name: &str, heads: usize, width: usize) -> Self {
        let head_width = width.div_ceil(heads);
        let inner = heads * head_width;
        let part = |part: &str| format!("{name}.{part}");
        Self {
            heads,
            head_width,
            norms: ["norm1", "norm2"].map(|norm| Norm {
                name: part(norm),
                width,
            }),
            query: Linear::new(part("query"), width, inner),
            key: Linear::new(part("key"), width, inner),
            value: Linear::new(part("value"), width, inner),
            output: Linear::small(part("output"), inner, width),
            inner: Linear::new(part("inner"), width, inner),
            outer: Linear::small(part("outer"), inner, width),
        }
    }

    fn parameters(&self, all: &mut Vec<Parameter>) {
        self.norms.iter().for_each(|norm| norm.parameters(all));
        let attention = [&self.query, &self.key, &self.value, &self.output];
        let mlp = [&self.inner, &self.outer];
        for linear in attention.into_iter().chain(mlp) {
            linear.parameters(all);
        }
    }

    fn apply<O: Ops>(&self, ops: &O, tokens: &O::Matrix) -> O::Matrix {
        let attended = self.attention(ops, &self.norms[0].apply(ops, tokens));
        let tokens = ops.add(tokens, &attended);
        let inner = self.inner.apply(ops, &self.norms[1].apply(ops, &tokens));
        ops.add(&tokens, &self.outer.apply(ops, &ops.relu(&inner)))
    }

    /// `softmax(Q K^T / sqrt(head width)) V`, head by head.
    fn attention<O: Ops>(&self, ops: &O, x: &O::Matrix) -> O::Matrix {
        let query = self.query.apply(ops, x);
        let key = self.key.apply(ops, x);
        let value = self.value.apply(ops, x);
        let sharpness = 1.0 / (self.head_width as f32).sqrt();
        let heads: Vec<O::Matrix> = (0..self.heads)
            .map(|head| {
                let range = head * self.head_width..(head + 1) * self.head_width;
                let part = |matrix| ops.columns(matrix, range.clone());
                let similar = ops.matmul(&part(&query), &ops.transpose(&part(&key)));
                let weights = ops.softmax(&ops.scale(&similar, sharpness));
                ops.matmul(&weights, &part(&value))
            })
            .collect();
        self.output.apply(ops, &ops.concat_columns(&heads))
    }
}
