//! Walks the layers: finds each site's values in the patch or the backbone, and calls the kernel.

use core::ops::Range;

use graft_patches::BackboneImage;
use graft_patches::geometry::Shape;
use graft_patches::records::{Layer, Op, Site, What};

use crate::Patch;
use crate::arena::Parts;
use crate::kernels::{Conv, Elementwise, Epilogue, Kernels, PANEL, Pointwise, Pool};
use crate::workers::{Output, Part, Workers};

/// Runs all layers on the input that is in the arena; returns the scores. The plan and the patch were checked at load,
/// the shapes are those of the patch's input.
pub(crate) fn run<'a>(
    backbone: &BackboneImage<'_>,
    patch: &Patch,
    kernels: &Kernels,
    parts: Parts<'a>,
    workers: &mut Workers,
    mut observe: impl FnMut(usize, &[f32]),
) -> &'a [f32] {
    let mut replacements = patch.replacements().peekable();
    let mut step = Step {
        kernels,
        workers,
        scratch: parts.scratch,
        scratch_per_thread: parts.scratch_per_thread,
    };
    let mut scores = 0..0;
    for index in 0..backbone.layer_count() {
        let layer = backbone.layer(index);
        let mut shape = parts.shapes[index + 1];
        let values = layer.site.map(|at| {
            let site = backbone.site(at);
            let mut values = SiteValues {
                site,
                epilogue: backbone.epilogue(&site),
                weights: backbone.weights(&site),
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
            let start = backbone.tensor(tensor).offset / size_of::<f32>();
            start..start + shape.len()
        };
        let [left, right] = [0, layer.op.arity() - 1].map(|operand| layer.inputs[operand]);
        let left_range = range(left, parts.shapes[left]);
        let right_range = range(right, parts.shapes[right]);
        let out_range = range(index + 1, shape);
        scores = out_range.clone();
        let (left_values, right_values, output) =
            operands(parts.activations, left_range, right_range, out_range);
        step.layer(
            &layer,
            values,
            [left_values, right_values],
            parts.shapes[left],
            shape,
            output,
        );
        observe(index, output);
    }
    &parts.activations[scores]
}

/// Two operands, perhaps the same one, and the output.
fn operands(
    activations: &mut [f32],
    left: Range<usize>,
    right: Range<usize>,
    output: Range<usize>,
) -> (&[f32], &[f32], &mut [f32]) {
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

/// What a site runs with.
struct SiteValues<'a> {
    site: Site,
    epilogue: &'a [f32],
    weights: &'a [f32],
}

struct Step<'a> {
    kernels: &'a Kernels,
    workers: &'a mut Workers,
    scratch: &'a mut [f32],
    scratch_per_thread: usize,
}

impl Step<'_> {
    fn layer(
        &mut self,
        layer: &Layer,
        values: Option<SiteValues<'_>>,
        operands: [&[f32]; 2],
        input_shape: Shape,
        output_shape: Shape,
        output: &mut [f32],
    ) {
        let kernels = self.kernels;
        let activation = layer.activation;
        let row = output_shape.width * output_shape.channels;
        if let Some(SiteValues {
            site,
            epilogue,
            weights,
        }) = values
        {
            let work = output.len() * site.depth;
            let epilogue = Epilogue {
                table: epilogue,
                activation,
            };
            let conv = Conv {
                input: operands[0],
                input_shape,
                output_shape,
                window: layer.window,
                weights,
                epilogue,
            };
            let pointwise = Pointwise {
                input: operands[0],
                inputs: input_shape.channels,
                outputs: output_shape.channels,
                weights,
                epilogue,
            };
            return match layer.op {
                Op::Conv => self.compute(output, row, work, &|first, out, scratch| {
                    (kernels.conv)(&conv, first, out, scratch);
                }),
                Op::Depthwise => self.compute(output, row, work, &|first, out, _| {
                    (kernels.depthwise)(&conv, first, out);
                }),
                // One pixel has no rows to share: its panels are shared instead.
                _ if output_shape.pixels() == 1 => {
                    self.compute(output, PANEL, work, &|first, out, _| {
                        (kernels.linear)(&pointwise, first, out);
                    });
                }
                _ => self.compute(output, output_shape.channels, work, &|first, out, _| {
                    (kernels.pointwise)(&pointwise, first, out);
                }),
            };
        }
        let elementwise = Elementwise {
            left: operands[0],
            right: operands[1],
            activation,
        };
        let pool = Pool {
            input: operands[0],
            input_shape,
            output_shape,
            window: layer.window,
            count_padding: layer.count_padding,
            activation,
        };
        let window = layer.window.kernel[0] * layer.window.kernel[1];
        let work = output.len() * window;
        match layer.op {
            Op::Add => self.compute(output, 1, work, &|first, out, _| {
                (kernels.add)(&elementwise, first, out);
            }),
            Op::Multiply => self.compute(output, 1, work, &|first, out, _| {
                (kernels.multiply)(&elementwise, first, out);
            }),
            Op::AveragePool => self.compute(output, row, work, &|first, out, _| {
                (kernels.average_pool)(&pool, first, out);
            }),
            Op::MaxPool => self.compute(output, row, work, &|first, out, _| {
                (kernels.max_pool)(&pool, first, out);
            }),
            _ => self.compute(output, 1, operands[0].len(), &|first, out, _| {
                (kernels.global_average_pool)(&pool, first, out);
            }),
        }
    }

    fn compute(&mut self, values: &mut [f32], unit: usize, work: usize, part: &Part<'_>) {
        let output = Output { values, unit, work };
        self.workers
            .compute(output, self.scratch, self.scratch_per_thread, part);
    }
}
