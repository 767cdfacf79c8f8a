//! Layers in int8: what follows from the scales of the tensors around a layer, and the kernels.

use graft_patches::Values;
use graft_patches::geometry::Activation;
use graft_patches::records::{Layer, Op};
use graft_patches::requantize::Quantized;
use graft_patches::scale::{Scale, ScaleRecord, curve};
use zerocopy::IntoBytes;

use super::{Arithmetic, LayerTask, SiteValues};
use crate::kernels::PANEL;
use crate::kernels::int8::{Conv, Elementwise, Epilogue, Kernels, Operand, Pointwise, Pool};
use crate::workers::{Output, Workers};

/// Kernels, threads and scratch memory, and the scales of all tensors.
pub(crate) struct Int8<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) workers: &'a mut Workers,
    pub(crate) scratch: &'a mut [i8],
    pub(crate) scratch_per_thread: usize,
    pub(crate) scales: &'a [ScaleRecord],
}

/// As [`crate::workers::Part`], with scratch memory as int8 kernels take it.
type BytesPart<'a> = dyn Fn(usize, &mut [i8], &mut [u8]) + Sync + 'a;

/// What a layer's values become: bounds, or a table after none.
struct After {
    /// What the kernel writes.
    output: Quantized,
    /// Its scale.
    scale: f32,
    curve: Option<[i8; 256]>,
}

impl Arithmetic for Int8<'_> {
    type Value = i8;

    fn layer(&mut self, task: LayerTask<'_, i8>) {
        match task.site {
            Some(_) => self.site(task),
            None => self.unweighted(task),
        }
    }
}

impl Int8<'_> {
    fn scale(&self, tensor: usize) -> Scale {
        self.scales[tensor].get().outer
    }

    fn after(&self, index: usize, activation: Activation) -> After {
        let scale = self.scales[index + 1].get();
        let curve = activation.is_curve().then(|| curve(activation, scale));
        After {
            output: scale.inner.quantized(activation),
            scale: scale.inner.scale,
            curve,
        }
    }

    fn site(&mut self, task: LayerTask<'_, i8>) {
        let Some(SiteValues {
            site,
            epilogue: Values::Requantize(table),
            weights: Values::I8(weights),
        }) = task.site
        else {
            unreachable!("binding has seen to the dtype");
        };
        let (kernels, shape, output) = (self.kernels, task.output_shape, task.output);
        let after = self.after(task.index, task.layer.activation);
        let work = output.len() * site.depth;
        let row = shape.width * shape.channels;
        let epilogue = Epilogue {
            table,
            output: after.output,
        };
        let conv = Conv {
            input: task.operands[0],
            input_shape: task.input_shape,
            output_shape: shape,
            window: task.layer.window,
            padding: self.scale(task.layer.inputs[0]).zero_point,
            weights,
            epilogue,
        };
        let pointwise = Pointwise {
            input: task.operands[0],
            inputs: task.input_shape.channels,
            outputs: shape.channels,
            weights,
            epilogue,
        };
        match task.layer.op {
            Op::Conv => self.compute(output, row, work, &after, &|first, out, scratch| {
                (kernels.conv)(&conv, first, out, scratch);
            }),
            Op::Depthwise => self.compute(output, row, work, &after, &|first, out, _| {
                (kernels.depthwise)(&conv, first, out);
            }),
            // One pixel has no rows to share: its panels are shared instead.
            _ if shape.pixels() == 1 => {
                self.compute(output, PANEL, work, &after, &|first, out, scratch| {
                    (kernels.linear)(&pointwise, first, out, scratch);
                });
            }
            _ => self.compute(
                output,
                shape.channels,
                work,
                &after,
                &|first, out, scratch| {
                    (kernels.pointwise)(&pointwise, first, out, scratch);
                },
            ),
        }
    }

    fn unweighted(&mut self, task: LayerTask<'_, i8>) {
        let (kernels, shape, output) = (self.kernels, task.output_shape, task.output);
        let layer = task.layer;
        let after = self.after(task.index, layer.activation);
        let input = self.scale(layer.inputs[0]);
        let pool = Pool {
            input: task.operands[0],
            input_shape: task.input_shape,
            output_shape: shape,
            window: layer.window,
            count_padding: layer.count_padding,
            zero_point: input.zero_point,
            multiplier: input.scale / after.scale,
            output: after.output,
        };
        let row = shape.width * shape.channels;
        let work = output.len() * layer.window.kernel[0] * layer.window.kernel[1];
        match layer.op {
            Op::Add | Op::Multiply => {
                let elementwise = self.elementwise(&task.operands, layer, &after);
                let kernel = match layer.op {
                    Op::Add => kernels.add,
                    _ => kernels.multiply,
                };
                self.compute(output, 1, work, &after, &|first, out, _| {
                    kernel(&elementwise, first, out);
                });
            }
            Op::AveragePool => self.compute(output, row, work, &after, &|first, out, _| {
                (kernels.average_pool)(&pool, first, out);
            }),
            Op::MaxPool => self.compute(output, row, work, &after, &|first, out, _| {
                (kernels.max_pool)(&pool, first, out);
            }),
            _ => self.compute(output, 1, pool.input.len(), &after, &|first, out, _| {
                (kernels.global_average_pool)(&pool, first, out);
            }),
        }
    }

    /// The operands of a sum or product (`graft_patches::requantize`).
    fn elementwise<'o>(
        &self,
        operands: &[&'o [i8]; 2],
        layer: &Layer,
        after: &After,
    ) -> Elementwise<'o> {
        let [left, right] = layer.inputs.map(|input| self.scale(input));
        let right_multiplier = match layer.op {
            Op::Add => right.scale / after.scale,
            _ => right.scale,
        };
        Elementwise {
            left: Operand {
                values: operands[0],
                zero_point: left.zero_point,
                multiplier: left.scale / after.scale,
            },
            right: Operand {
                values: operands[1],
                zero_point: right.zero_point,
                multiplier: right_multiplier,
            },
            output: after.output,
        }
    }

    fn compute(
        &mut self,
        values: &mut [i8],
        unit: usize,
        work: usize,
        after: &After,
        part: &BytesPart<'_>,
    ) {
        let output = Output { values, unit, work };
        let lookup = self.kernels.lookup;
        self.workers.compute(
            output,
            self.scratch,
            self.scratch_per_thread,
            &|first, out: &mut [i8], scratch: &mut [i8]| {
                part(first, out, scratch.as_mut_bytes());
                if let Some(table) = &after.curve {
                    lookup(table, out);
                }
            },
        );
    }
}
