//! Walks the layers: finds each site's values in the patch or the backbone, and has the arithmetic compute it.

mod float;
mod int8;

use core::ops::Range;

use graft_patches::geometry::Shape;
use graft_patches::layout::PANEL;
use graft_patches::records::{Layer, Op, Site, What};
use graft_patches::{BackboneImage, Values};

use crate::Patch;
use crate::workers::Output;

pub(crate) use float::Float;
pub(crate) use int8::Int8;

/// The arithmetic that layers are computed in.
pub(crate) trait Arithmetic {
    /// One value of an activation.
    type Value;

    /// Computes a layer.
    fn layer(&mut self, call: &LayerCall<'_, Self::Value>, output: &mut [Self::Value]);
}

/// A layer with everything that it computes with.
pub(crate) struct LayerCall<'a, T> {
    pub(crate) index: usize,
    pub(crate) layer: &'a Layer,
    pub(crate) site: Option<SiteValues<'a>>,
    /// One operand twice where the operator has one.
    pub(crate) operands: [&'a [T]; 2],
    /// Of the first operand.
    pub(crate) input_shape: Shape,
    pub(crate) output_shape: Shape,
}

impl<T> LayerCall<'_, T> {
    /// The output, with how threads may share it.
    fn output<'o>(&self, values: &'o mut [T]) -> Output<'o, T> {
        let shape = self.output_shape;
        let (row, len) = (shape.width * shape.channels, values.len());
        let taps = self.layer.window.kernel[0] * self.layer.window.kernel[1];
        let depth = self.site.as_ref().map_or(0, |values| values.site.depth);
        let (unit, work) = match self.layer.op {
            Op::Conv | Op::Depthwise => (row, len * depth),
            Op::Pointwise | Op::Linear => match Product::of(shape) {
                Product::Pixels => (shape.channels, len * depth),
                Product::Panels => (PANEL, len * depth),
            },
            Op::Add | Op::Multiply => (1, len),
            Op::AveragePool | Op::MaxPool => (row, len * taps),
            Op::GlobalAveragePool => (1, self.operands[0].len()),
        };
        Output { values, unit, work }
    }
}

/// The two ways to compute a pointwise or fully connected layer.
pub(crate) enum Product {
    /// Pixel by pixel.
    Pixels,
    /// Panel by panel: one pixel leaves threads nothing else to share.
    Panels,
}

impl Product {
    /// The way for an output of this shape.
    pub(crate) fn of(output: Shape) -> Self {
        match output.pixels() {
            1 => Self::Panels,
            _ => Self::Pixels,
        }
    }
}

/// The values that a site runs with.
pub(crate) struct SiteValues<'a> {
    pub(crate) site: Site,
    pub(crate) epilogue: Values<'a>,
    pub(crate) weights: Values<'a>,
}

/// Runs all layers on the input that is in the arena; returns the scores. The plan and the patch were checked at load,
/// the shapes are those of the patch's input.
pub(crate) fn run<'a, A: Arithmetic>(
    backbone: &BackboneImage<'_>,
    patch: &Patch,
    arithmetic: &mut A,
    activations: &'a mut [A::Value],
    shapes: &[Shape],
    mut observe: impl FnMut(usize, &[A::Value]),
) -> &'a [A::Value] {
    let mut replacements = patch.replacements().peekable();
    let mut scores = 0..0;
    for index in 0..backbone.layer_count() {
        let layer = backbone.layer(index);
        let mut shape = shapes[index + 1];
        let site = layer.site.map(|at| {
            let site = backbone.site(at);
            let mut values = SiteValues {
                site,
                epilogue: backbone.values(&site, What::Epilogue),
                weights: backbone.values(&site, What::Weights),
            };
            // Replacements come in the order of the sites, so none is ever searched for.
            while let Some(replacement) = replacements.next_if(|next| next.site == at) {
                shape.channels = replacement.outputs;
                match replacement.what {
                    What::Epilogue => values.epilogue = replacement.values,
                    What::Weights => values.weights = replacement.values,
                }
            }
            values
        });
        let range = |tensor: usize, shape: Shape| {
            let start = backbone.tensor(tensor).offset / size_of::<A::Value>();
            start..start + shape.len()
        };
        let [left, right] = [0, layer.op.arity() - 1].map(|operand| layer.inputs[operand]);
        let left_range = range(left, shapes[left]);
        let right_range = range(right, shapes[right]);
        let out_range = range(index + 1, shape);
        scores = out_range.clone();
        let (left_values, right_values, output) =
            operands(activations, left_range, right_range, out_range);
        let call = LayerCall {
            index,
            layer: &layer,
            site,
            operands: [left_values, right_values],
            input_shape: shapes[left],
            output_shape: shape,
        };
        arithmetic.layer(&call, output);
        observe(index, output);
    }
    &activations[scores]
}

/// Two operands, perhaps the same one, and the output.
fn operands<T>(
    activations: &mut [T],
    left: Range<usize>,
    right: Range<usize>,
    output: Range<usize>,
) -> (&[T], &[T], &mut [T]) {
    let message = "the plan keeps operands and output apart";
    if left == right {
        let [left, output] = activations.get_disjoint_mut([left, output]).expect(message);
        (left, left, output)
    } else {
        let [left, right, output] = activations
            .get_disjoint_mut([left, right, output])
            .expect(message);
        (left, right, output)
    }
}
