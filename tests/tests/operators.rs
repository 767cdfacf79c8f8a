//! Every operator, on every kernel set of this machine and in both dtypes, against a plain computation. Their gradients are
//! in `gradient.rs`, over the same networks.

use graft_patches::geometry::{Activation, Shape};
use graft_patches::layout::{unpack_epilogue, unpack_int8_weights, unpack_weights};
use graft_patches::records::{Layer, Op};
use graft_patches::scale::TensorScale;
use graft_runtime::{Backbone, Image, LayerOutput, Session, kernel_names};
use graft_tests::operators::around;
use graft_tests::{image, int8};

#[test]
fn every_operator_computes_itself_in_f32() {
    for op in Op::ALL {
        for (name, backbone) in around(op, false) {
            assert!(layers(&backbone).any(|layer| layer.op == op), "{name}");
            for kernels in kernel_names(backbone.image().dtype()) {
                check_f32(&format!("{name}, {kernels}"), &backbone, kernels);
            }
        }
    }
}

#[test]
fn every_operator_computes_itself_in_int8() {
    for op in Op::ALL {
        for (name, float) in around(op, false) {
            let twin = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
            assert!(layers(&twin).any(|layer| layer.op == op), "{name}");
            for kernels in kernel_names(twin.image().dtype()) {
                check_int8(&format!("{name}, {kernels}"), &twin, &float, kernels);
            }
        }
    }
}

fn layers(backbone: &Backbone) -> impl Iterator<Item = Layer> {
    let image = backbone.image();
    (0..image.layer_count()).map(move |index| image.layer(index))
}

/// Compares each layer with [`Plain`] on what the layers before it have computed: the power of the difference is at most
/// 1e-10 of the layer's own.
fn check_f32(name: &str, backbone: &Backbone, kernels: &str) {
    let input = image(&backbone.identity(), 3);
    let mut tensors = vec![input.clone()];
    observe(backbone, kernels, &input, |_, output| {
        assert!(matches!(output, LayerOutput::F32(_)), "{name}: {output:?}");
        tensors.push(output.to_vec());
    });
    for (index, layer) in layers(backbone).enumerate() {
        let site = Weighted::of_f32(backbone, &layer);
        let expected = Plain::new(backbone, index, &layer, &tensors, &site)
            .values(|affine| layer.activation.of(affine as f32).into());
        let found = &tensors[index + 1];
        assert_eq!(found.len(), expected.len(), "{name}, layer {index}");
        let own: f64 = expected.iter().map(|value| value * value).sum();
        let differences = found.iter().zip(&expected).map(|(&a, b)| f64::from(a) - b);
        let error: f64 = differences.map(|difference| difference * difference).sum();
        assert!(
            error <= 1e-10 * own,
            "{name}, layer {index}: {error} of {own}"
        );
    }
}

/// Compares each value of each layer with [`Plain`] on the bytes that the layers before it have computed, with the twin's
/// weights and the scale and bias of `float`. A maximum is the nearest byte, any other value within [`bound`].
fn check_int8(name: &str, twin: &Backbone, float: &Backbone, kernels: &str) {
    let scales: Vec<TensorScale> = twin.image().scales().iter().map(|own| own.get()).collect();
    let input = image(&twin.identity(), 3);
    let bytes = input.iter().map(|&value| scales[0].outer.byte(value));
    let mut tensors = vec![bytes.map(|byte| scales[0].outer.value(byte)).collect()];
    observe(twin, kernels, &input, |layer, output| {
        assert!(
            matches!(output, LayerOutput::I8(_, scale) if scale == scales[layer + 1].outer),
            "{name}: {output:?}"
        );
        tensors.push(output.to_vec());
    });
    for (index, layer) in layers(twin).enumerate() {
        let TensorScale { outer, inner } = scales[index + 1];
        let site = Weighted::of_int8(twin, float, &layer);
        let plain = Plain::new(twin, index, &layer, &tensors, &site);
        let [low, high] = [i8::MIN, i8::MAX].map(|end| inner.value(end));
        let expected = plain.values(|affine| {
            let value = layer.activation.of((affine as f32).clamp(low, high));
            value
                .clamp(outer.value(i8::MIN), outer.value(i8::MAX))
                .into()
        });
        let found = &tensors[index + 1];
        assert_eq!(found.len(), expected.len(), "{name}, layer {index}");
        for (at, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
            let channel = at % site.scale.len();
            let is_right = match layer.op {
                Op::MaxPool => found == outer.value(outer.byte(expected as f32)),
                Op::Conv
                | Op::Depthwise
                | Op::Pointwise
                | Op::Linear
                | Op::Add
                | Op::Multiply
                | Op::AveragePool
                | Op::GlobalAveragePool => {
                    let bound = bound(&layer, scales[index + 1], site.units[channel]);
                    (f64::from(found) - expected).abs() <= bound
                }
            };
            assert!(
                is_right,
                "{name}, layer {index}, value {at}: {found}, expected {expected}"
            );
        }
    }
}

/// The greatest difference that the roundings of an int8 layer can make: half a step of the output; half a unit of the
/// accumulator, for the bias, and half a step of what a curve reads, both through the activation where it is steepest.
fn bound(layer: &Layer, scale: TensorScale, unit: f32) -> f64 {
    let before = match layer.activation {
        Activation::Clamp { .. } => unit,
        Activation::HardSwish => 1.5 * (unit + scale.inner.scale),
        Activation::HardSigmoid { alpha, .. } => alpha * (unit + scale.inner.scale),
    };
    // Half, and room for what f32 rounds.
    0.501 * f64::from(scale.outer.scale + before)
}

/// Runs a backbone on an input and shows the output of each layer.
fn observe(
    backbone: &Backbone,
    kernels: &str,
    input: &[f32],
    observe: impl FnMut(usize, LayerOutput<'_>),
) {
    let session = Session::new(backbone).expect("kernels are there");
    let mut session = session.unfused().expect("memory is there");
    session.use_kernels(kernels).expect("they are named");
    session
        .run_observed(&backbone.identity(), Image::Values(input), observe)
        .expect("the image fits");
}

/// The values of a layer's site; of a layer without one, those that change nothing.
struct Weighted {
    /// `[outputs][depth]`.
    weights: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    /// The value of 1 in the accumulator of each output, before the activation: 0 where it is not an integer.
    units: Vec<f32>,
}

impl Weighted {
    fn of_f32(backbone: &Backbone, layer: &Layer) -> Self {
        let view = backbone.image();
        let Some(site) = layer.site.map(|site| view.site(site)) else {
            return Self {
                weights: Vec::new(),
                scale: vec![1.0],
                bias: vec![0.0],
                units: vec![0.0],
            };
        };
        let packed = view.weights(&site);
        let (scale, bias) = unpack_epilogue(view.epilogue(&site), site.outputs);
        Self {
            weights: unpack_weights(packed, site.outputs, site.depth, site.is_depthwise),
            units: vec![0.0; scale.len()],
            scale,
            bias,
        }
    }

    /// The weights of an int8 twin, with the scale and bias that it was made from.
    fn of_int8(twin: &Backbone, float: &Backbone, layer: &Layer) -> Self {
        let own = Self::of_f32(float, layer);
        let view = twin.image();
        let Some(site) = layer.site.map(|site| view.site(site)) else {
            return own;
        };
        let values = view.int8(&site);
        let rows = unpack_int8_weights(values.weights, site.outputs, site.depth, site.is_depthwise);
        let input = view.scales()[layer.inputs[0]].get().outer.scale;
        let scales = &values.weight_scales[..site.outputs];
        let rows = rows.chunks_exact(site.depth).zip(scales);
        Self {
            weights: rows
                .flat_map(|(row, &scale)| row.iter().map(move |&byte| f32::from(byte) * scale))
                .collect(),
            units: (scales.iter().zip(&own.scale))
                .map(|(weight, scale)| (scale * input * weight).abs())
                .collect(),
            ..own
        }
    }
}

/// A layer, as its definition has it.
struct Plain<'a> {
    layer: &'a Layer,
    input: Shape,
    output: Shape,
    operands: [&'a [f32]; 2],
    site: &'a Weighted,
}

impl<'a> Plain<'a> {
    fn new(
        backbone: &Backbone,
        index: usize,
        layer: &'a Layer,
        tensors: &'a [Vec<f32>],
        site: &'a Weighted,
    ) -> Self {
        let view = backbone.image();
        Self {
            layer,
            input: view.tensor(layer.inputs[0]).shape,
            output: view.tensor(index + 1).shape,
            operands: [0, layer.op.arity() - 1].map(|at| &tensors[layer.inputs[at]][..]),
            site,
        }
    }

    /// The output, each value through `finish` once it has its scale and bias.
    fn values(&self, finish: impl Fn(f64) -> f64) -> Vec<f64> {
        let Weighted { scale, bias, .. } = self.site;
        let affine = |at: usize| {
            let channel = at % scale.len();
            f64::from(scale[channel]) * self.accumulator(at) + f64::from(bias[channel])
        };
        (0..self.output.len()).map(affine).map(finish).collect()
    }

    /// One value of the output before scale, bias and activation.
    fn accumulator(&self, at: usize) -> f64 {
        let (pixel, c) = (at / self.output.channels, at % self.output.channels);
        let [left, right] = self.operands;
        let channels = self.input.channels;
        let value = |pixel: usize, c: usize| f64::from(left[pixel * channels + c]);
        let weights = &self.site.weights;
        let depth = weights.len() / self.output.channels;
        let weight = |k: usize| f64::from(weights[c * depth + k]);
        let place = [pixel / self.output.width, pixel % self.output.width];
        let taps = taps(self.layer, self.input, place);
        let pixels = taps.iter().enumerate();
        let pixels = pixels.filter_map(|(tap, pixel)| Some((tap, (*pixel)?)));
        match self.layer.op {
            Op::Conv | Op::Pointwise | Op::Linear => pixels
                .flat_map(|(tap, pixel)| (0..channels).map(move |i| (tap, pixel, i)))
                .map(|(tap, pixel, i)| weight(tap * channels + i) * value(pixel, i))
                .sum(),
            Op::Depthwise => pixels
                .map(|(tap, pixel)| weight(tap) * value(pixel, c))
                .sum(),
            Op::Add => value(pixel, c) + f64::from(right[at % right.len()]),
            Op::Multiply => value(pixel, c) * f64::from(right[at % right.len()]),
            Op::AveragePool => {
                let count = match self.layer.count_padding {
                    true => taps.len(),
                    false => taps.iter().flatten().count(),
                };
                pixels.map(|(_, pixel)| value(pixel, c)).sum::<f64>() / count as f64
            }
            Op::MaxPool => {
                let values = pixels.map(|(_, pixel)| value(pixel, c));
                values.fold(f64::MIN, f64::max)
            }
            Op::GlobalAveragePool => {
                let pixels = 0..self.input.pixels();
                let count = pixels.len() as f64;
                pixels.map(|pixel| value(pixel, c)).sum::<f64>() / count
            }
        }
    }
}

/// The input pixels of a window in the order of its taps; `None` in the padding.
fn taps(layer: &Layer, input: Shape, [y, x]: [usize; 2]) -> Vec<Option<usize>> {
    let window = layer.window;
    let [top, left] = window.pad_before(input);
    let mut taps = Vec::new();
    for row in 0..window.kernel[0] {
        for column in 0..window.kernel[1] {
            let y = (y * window.stride[0] + row).checked_sub(top);
            let x = (x * window.stride[1] + column).checked_sub(left);
            taps.push(match (y, x) {
                (Some(y), Some(x)) if y < input.height && x < input.width => {
                    Some(y * input.width + x)
                }
                _ => None,
            });
        }
    }
    taps
}
