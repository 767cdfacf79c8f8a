//! Layers in int8: what follows from the scales of the tensors around a layer, and the kernels.

use graft_patches::Values;
use graft_patches::geometry::Activation;
use graft_patches::records::Op;
use graft_patches::requantize::Quantized;
use graft_patches::scale::{Scale, ScaleRecord, curve};
use zerocopy::IntoBytes;

use super::{Arithmetic, LayerCall, Product, SiteValues};
use crate::kernels::int8::{Conv, Elementwise, Epilogue, Kernels, Operand, Pointwise, Pool};
use crate::workers::Workers;

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

/// The end of a layer: bounds, or a table after none.
struct After {
    /// Zero point and bounds that the kernel writes with.
    output: Quantized,
    /// Scale that the kernel writes in.
    scale: f32,
    curve: Option<[i8; 256]>,
}

/// Computes output rows from the given one, with scratch memory.
type ConvKernel<'a> = dyn Fn(&Conv, usize, &mut [i8], &mut [u8]) + Sync + 'a;

impl Arithmetic for Int8<'_> {
    type Value = i8;

    fn layer(&mut self, call: &LayerCall<'_, i8>, output: &mut [i8]) {
        let kernels = self.kernels;
        let after = self.after(call.index, call.layer.activation);
        match call.layer.op {
            Op::Conv => self.conv(call, output, &after, &kernels.conv),
            Op::Depthwise => self.conv(call, output, &after, &|conv, first, out, _| {
                (kernels.depthwise)(conv, first, out);
            }),
            Op::Pointwise | Op::Linear => self.pointwise(call, output, &after),
            Op::Add => {
                let right = self.scale(call.layer.inputs[1]).scale / after.scale;
                self.elementwise(call, output, &after, right, kernels.add);
            }
            Op::Multiply => {
                let right = self.scale(call.layer.inputs[1]).scale;
                self.elementwise(call, output, &after, right, kernels.multiply);
            }
            Op::AveragePool => self.pool(call, output, &after, kernels.average_pool),
            Op::MaxPool => self.pool(call, output, &after, kernels.max_pool),
            Op::GlobalAveragePool => self.pool(call, output, &after, kernels.global_average_pool),
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

    fn conv(
        &mut self,
        call: &LayerCall<'_, i8>,
        output: &mut [i8],
        after: &After,
        kernel: &ConvKernel<'_>,
    ) {
        let (weights, epilogue) = site(call, after);
        let conv = Conv {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.layer.window,
            padding: self.scale(call.layer.inputs[0]).zero_point,
            weights,
            epilogue,
        };
        self.compute(call, output, after, &|first, out, scratch| {
            kernel(&conv, first, out, scratch);
        });
    }

    fn pointwise(&mut self, call: &LayerCall<'_, i8>, output: &mut [i8], after: &After) {
        let (weights, epilogue) = site(call, after);
        let pointwise = Pointwise {
            input: call.operands[0],
            inputs: call.input_shape.channels,
            outputs: call.output_shape.channels,
            weights,
            epilogue,
        };
        let kernel = match Product::of(call.output_shape) {
            Product::Panels => self.kernels.linear,
            Product::Pixels => self.kernels.pointwise,
        };
        self.compute(call, output, after, &|first, out, scratch| {
            kernel(&pointwise, first, out, scratch);
        });
    }

    /// A sum or product; `graft_patches::requantize` has the multipliers of its operands.
    fn elementwise(
        &mut self,
        call: &LayerCall<'_, i8>,
        output: &mut [i8],
        after: &After,
        right_multiplier: f32,
        kernel: fn(&Elementwise, usize, &mut [i8]),
    ) {
        let [left, right] = call.layer.inputs.map(|input| self.scale(input));
        let elementwise = Elementwise {
            left: Operand {
                values: call.operands[0],
                zero_point: left.zero_point,
                multiplier: left.scale / after.scale,
            },
            right: Operand {
                values: call.operands[1],
                zero_point: right.zero_point,
                multiplier: right_multiplier,
            },
            output: after.output,
        };
        self.compute(call, output, after, &|first, out, _| {
            kernel(&elementwise, first, out);
        });
    }

    fn pool(
        &mut self,
        call: &LayerCall<'_, i8>,
        output: &mut [i8],
        after: &After,
        kernel: fn(&Pool, usize, &mut [i8]),
    ) {
        let input = self.scale(call.layer.inputs[0]);
        let pool = Pool {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.layer.window,
            count_padding: call.layer.count_padding,
            zero_point: input.zero_point,
            multiplier: input.scale / after.scale,
            output: after.output,
        };
        self.compute(call, output, after, &|first, out, _| {
            kernel(&pool, first, out)
        });
    }

    fn compute(
        &mut self,
        call: &LayerCall<'_, i8>,
        output: &mut [i8],
        after: &After,
        part: &BytesPart<'_>,
    ) {
        let lookup = self.kernels.lookup;
        self.workers.compute(
            call.output(output),
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

fn site<'a>(call: &LayerCall<'a, i8>, after: &After) -> (&'a [i8], Epilogue<'a>) {
    let Some(SiteValues {
        epilogue: Values::Requantize(table),
        weights: Values::I8(weights),
        ..
    }) = call.site
    else {
        unreachable!("loading and binding have seen to sites and dtypes");
    };
    let output = after.output;
    (weights, Epilogue { table, output })
}
