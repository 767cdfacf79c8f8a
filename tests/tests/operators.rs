//! Every operator, on every kernel set of this machine and in both dtypes, against a plain computation. Their gradients are in
//! `gradient.rs`, over the same networks.

use graft_patches::geometry::Shape;
use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::records::{Dtype, Layer, Op};
use graft_runtime::{Backbone, Image, LayerOutput, Session, kernel_names};
use graft_tests::operators::around;
use graft_tests::{image, int8};

#[test]
fn every_operator_computes_itself_in_f32() {
    for op in Op::ALL {
        for (name, backbone) in around(op, false) {
            assert!(layers(&backbone).any(|layer| layer.op == op), "{name}");
            check(name, &backbone, &backbone, 1e-10);
        }
    }
}

#[test]
fn every_operator_computes_itself_in_int8() {
    for op in Op::ALL {
        for (name, float) in around(op, false) {
            let twin = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
            assert!(layers(&twin).any(|layer| layer.op == op), "{name}");
            check(name, &twin, &float, 5e-3);
        }
    }
}

fn layers(backbone: &Backbone) -> impl Iterator<Item = Layer> {
    let image = backbone.image();
    (0..image.layer_count()).map(move |index| image.layer(index))
}

/// Runs a backbone and compares each layer with [`plain`] on what the layers before it have computed, with the weights of
/// `float`: the power of the difference is at most `noise` of the layer's own.
fn check(name: &str, backbone: &Backbone, float: &Backbone, noise: f64) {
    let values = image(&backbone.identity(), 3);
    for kernels in kernel_names(backbone.image().dtype()) {
        let mut session = Session::new(backbone).expect("kernels are there");
        session.use_kernels(kernels).expect("they are named");
        let mut tensors = vec![values.clone()];
        let patch = backbone.identity();
        let run = session.run_observed(&patch, Image::Values(&values), |_, output| {
            match (backbone.image().dtype(), output) {
                (Dtype::F32, LayerOutput::F32(_)) | (Dtype::I8, LayerOutput::I8(..)) => {}
                (dtype, output) => panic!("{dtype}: {output:?}"),
            }
            tensors.push(output.to_vec());
        });
        run.expect("the image fits");
        for (index, layer) in layers(float).enumerate() {
            let expected = plain(float, index, &layer, &tensors);
            let found = &tensors[index + 1];
            assert_eq!(found.len(), expected.len(), "{name}, layer {index}");
            let power = |value: f64| value * value;
            let own: f64 = expected.iter().map(|&value| power(value)).sum();
            let pairs = found.iter().zip(&expected);
            let error: f64 = pairs.map(|(&a, b)| power(f64::from(a) - b)).sum();
            assert!(
                error <= noise * own,
                "{name}, {kernels}, layer {index}, {}: {error} of {own}",
                layer.op.name()
            );
        }
    }
}

/// A layer, as its definition has it.
fn plain(backbone: &Backbone, index: usize, layer: &Layer, tensors: &[Vec<f32>]) -> Vec<f64> {
    let view = backbone.image();
    let output = view.tensor(index + 1).shape;
    let (weights, scale, bias) = match layer.site.map(|site| view.site(site)) {
        Some(site) => {
            let packed = view.weights(&site);
            let rows = unpack_weights(packed, site.outputs, site.depth, site.is_depthwise);
            let (scale, bias) = unpack_epilogue(view.epilogue(&site), site.outputs);
            (rows, scale, bias)
        }
        None => {
            let channels = output.channels;
            (Vec::new(), vec![1.0; channels], vec![0.0; channels])
        }
    };
    let call = Plain {
        layer,
        input: view.tensor(layer.inputs[0]).shape,
        output,
        operands: [0, layer.op.arity() - 1].map(|at| &tensors[layer.inputs[at]][..]),
        weights: &weights,
    };
    let values = (0..output.len()).map(|at| {
        let c = at % output.channels;
        let affine = f64::from(scale[c]) * call.accumulator(at) + f64::from(bias[c]);
        layer.activation.of(affine as f32).into()
    });
    values.collect()
}

struct Plain<'a> {
    layer: &'a Layer,
    input: Shape,
    output: Shape,
    operands: [&'a [f32]; 2],
    /// `[outputs][depth]`.
    weights: &'a [f32],
}

impl Plain<'_> {
    /// One value of the output before scale, bias and activation.
    fn accumulator(&self, at: usize) -> f64 {
        let (pixel, c) = (at / self.output.channels, at % self.output.channels);
        let [left, right] = self.operands;
        let channels = self.input.channels;
        let value = |pixel: usize, c: usize| f64::from(left[pixel * channels + c]);
        let depth = self.weights.len() / self.output.channels;
        let weight = |k: usize| f64::from(self.weights[c * depth + k]);
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
