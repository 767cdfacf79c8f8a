//! Walks the layers: finds each site's values in the patch or the backbone, and has the arithmetic compute it.

mod block;
mod float;
mod int8;

use core::ops::Range;

use graft_patches::geometry::{Activation, Shape, Window};
use graft_patches::layout::PANEL;
use graft_patches::records::{Block, Layer, MAX_BLOCK, Op, Site, What};
use graft_patches::{BackboneImage, Replacement, Values};

use crate::Patch;
use crate::arena::{Fusion, line_len};
use crate::workers::{Output, Workers};

pub(crate) use float::Float;
pub(crate) use int8::Int8;

/// The arithmetic that layers are computed in.
pub(crate) trait Arithmetic: Sync {
    /// One value of an activation.
    type Value: Copy + Send + Sync;
    /// How a layer ends, after its sums.
    type End: Sync;

    /// The end of a layer.
    fn end(&self, index: usize, activation: Activation) -> Self::End;

    /// Computes a part of a layer's output, from the given unit of it on.
    fn part(
        &self,
        call: &Call<'_, Self>,
        first: usize,
        out: &mut [Self::Value],
        scratch: &mut [Self::Value],
    );
}

/// A layer with the values that it computes with.
pub(crate) struct Stage<'a, A: Arithmetic + ?Sized> {
    pub(crate) index: usize,
    pub(crate) layer: Layer,
    pub(crate) site: Option<SiteValues<'a>>,
    pub(crate) end: A::End,
    /// Of its first operand.
    pub(crate) input_shape: Shape,
    pub(crate) output_shape: Shape,
}

/// The values that a site runs with.
pub(crate) struct SiteValues<'a> {
    pub(crate) site: Site,
    pub(crate) epilogue: Values<'a>,
    pub(crate) weights: Values<'a>,
}

/// A layer, or some rows of it, to be computed.
pub(crate) struct Call<'a, A: Arithmetic + ?Sized> {
    pub(crate) stage: &'a Stage<'a, A>,
    /// One operand twice where the operator has one.
    pub(crate) operands: [&'a [A::Value]; 2],
    /// Of the first operand.
    pub(crate) input_shape: Shape,
    pub(crate) output_shape: Shape,
    pub(crate) window: Window,
}

impl<A: Arithmetic> Stage<'_, A> {
    /// Multiply-adds.
    fn work(&self) -> usize {
        let length = self.output_shape.len();
        match self.layer.op {
            Op::Conv | Op::Depthwise | Op::Pointwise | Op::Linear => {
                length * self.site.as_ref().map_or(0, |values| values.site.depth)
            }
            Op::Add | Op::Multiply => length,
            Op::AveragePool | Op::MaxPool => {
                length * self.layer.window.kernel[0] * self.layer.window.kernel[1]
            }
            Op::GlobalAveragePool => self.input_shape.len(),
        }
    }

    /// Values of the output that are worth a part of their own: each part reads all weights.
    fn grain(&self) -> usize {
        const PIXELS: usize = 64;
        match self.layer.op {
            Op::Pointwise | Op::Linear => PIXELS * self.unit(),
            Op::Conv
            | Op::Depthwise
            | Op::Add
            | Op::Multiply
            | Op::AveragePool
            | Op::MaxPool
            | Op::GlobalAveragePool => self.unit(),
        }
    }

    /// Values of the output that stay in one part.
    fn unit(&self) -> usize {
        let shape = self.output_shape;
        match self.layer.op {
            Op::Conv | Op::Depthwise | Op::AveragePool | Op::MaxPool => {
                shape.width * shape.channels
            }
            Op::Pointwise | Op::Linear => match Product::of(shape) {
                Product::Pixels => shape.channels,
                Product::Panels => PANEL,
            },
            Op::Add | Op::Multiply | Op::GlobalAveragePool => 1,
        }
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

/// What a run computes in.
pub(crate) struct Memory<'a, 's, T> {
    /// All activations, the input among them.
    pub(crate) activations: &'a mut [T],
    pub(crate) scratch: &'s mut [T],
    pub(crate) scratch_per_thread: usize,
    /// Of all tensors, for the patch's input.
    pub(crate) shapes: &'s [Shape],
    pub(crate) fusion: Fusion,
    pub(crate) workers: &'s mut Workers,
}

/// Runs layers, whole steps of the plan, on what those before them have left in the arena; returns the last output, which
/// in the end are the scores. The plan and the patch were checked at load. `observe` sees each output that is whole in
/// memory.
pub(crate) fn run<'a, A: Arithmetic>(
    backbone: &BackboneImage<'_>,
    patch: &Patch,
    arithmetic: &A,
    layers: Range<usize>,
    mut memory: Memory<'a, '_, A::Value>,
    observe: &mut dyn FnMut(usize, &[A::Value]),
) -> &'a [A::Value] {
    let mut walk = Walk {
        backbone,
        arithmetic,
        replacements: patch.replacements().peekable(),
        shapes: memory.shapes,
    };
    let mut output = 0..0;
    for block in backbone.steps() {
        if !layers.contains(&block.first) {
            continue;
        }
        if block.first < block.last && memory.fusion == Fusion::Rows {
            let stages = walk.stages(block.layers());
            output = block::compute(arithmetic, backbone, &block, &stages, &mut memory);
            observe(block.last, &memory.activations[output.clone()]);
            continue;
        }
        for index in block.layers() {
            let stage = walk.stage(index);
            output = layer(arithmetic, backbone, &block, &stage, &mut memory);
            observe(index, &memory.activations[output.clone()]);
        }
    }
    &memory.activations[output]
}

/// Layers, one after the other.
struct Walk<'a, A, R: Iterator<Item = Replacement<'a>>> {
    backbone: &'a BackboneImage<'a>,
    arithmetic: &'a A,
    replacements: core::iter::Peekable<R>,
    shapes: &'a [Shape],
}

impl<'a, A: Arithmetic, R: Iterator<Item = Replacement<'a>>> Walk<'a, A, R> {
    /// The next layer.
    fn stage(&mut self, index: usize) -> Stage<'a, A> {
        let layer = self.backbone.layer(index);
        let mut output_shape = self.shapes[index + 1];
        let site = layer.site.map(|at| {
            let site = self.backbone.site(at);
            let mut values = SiteValues {
                site,
                epilogue: self.backbone.values(&site, What::Epilogue),
                weights: self.backbone.values(&site, What::Weights),
            };
            // Replacements come in the order of the sites, so none is ever searched for.
            while let Some(replacement) = self.replacements.next_if(|next| next.site <= at) {
                // Of a layer before the first that runs.
                if replacement.site < at {
                    continue;
                }
                output_shape.channels = replacement.outputs;
                match replacement.what {
                    What::Epilogue => values.epilogue = replacement.values,
                    What::Weights => values.weights = replacement.values,
                }
            }
            values
        });
        Stage {
            index,
            layer,
            site,
            end: self.arithmetic.end(index, layer.activation),
            input_shape: self.shapes[layer.inputs[0]],
            output_shape,
        }
    }

    /// The next layers.
    fn stages(&mut self, layers: Range<usize>) -> [Option<Stage<'a, A>>; MAX_BLOCK] {
        core::array::from_fn(|at| {
            let index = layers.start + at;
            (index < layers.end).then(|| self.stage(index))
        })
    }
}

/// Computes a layer of which all operands are whole in memory; returns where its output is.
fn layer<A: Arithmetic>(
    arithmetic: &A,
    backbone: &BackboneImage<'_>,
    block: &Block,
    stage: &Stage<'_, A>,
    memory: &mut Memory<'_, '_, A::Value>,
) -> Range<usize> {
    let shapes = memory.shapes;
    let range = |tensor: usize, shape: Shape| {
        // Without `alloc` every block is fused, and none of this is compiled.
        let start = if cfg!(feature = "alloc") && block.inner().contains(&tensor) {
            // One after the other, behind the plan.
            let before = block.first + 1..tensor;
            let before = before.map(|tensor| line_len::<A::Value>(shapes[tensor].len()));
            line_len::<u8>(backbone.arena_bytes()) / size_of::<A::Value>() + before.sum::<usize>()
        } else {
            backbone.tensor(tensor).offset / size_of::<A::Value>()
        };
        start..start + shape.len()
    };
    let operands = stage.layer.inputs;
    let [left, right] = [0, stage.layer.op.arity() - 1].map(|at| operands[at]);
    let output = range(stage.index + 1, stage.output_shape);
    let (left, right, values) = disjoint(
        memory.activations,
        range(left, shapes[left]),
        range(right, shapes[right]),
        output.clone(),
    );
    let call = Call {
        stage,
        operands: [left, right],
        input_shape: stage.input_shape,
        output_shape: stage.output_shape,
        window: stage.layer.window,
    };
    memory.workers.compute(
        Output {
            values,
            unit: stage.unit(),
            work: stage.work(),
            grain: stage.grain(),
        },
        memory.scratch,
        memory.scratch_per_thread,
        &|first, out, scratch| arithmetic.part(&call, first, out, scratch),
    );
    output
}

/// Two operands, perhaps the same one, and the output.
fn disjoint<T>(
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
