//! Layers in int8: what follows from the scales of the tensors around a layer, and the kernels.

use graft_patches::Values;
use graft_patches::geometry::Activation;
use graft_patches::records::Op;
use graft_patches::requantize::Quantized;
use graft_patches::scale::{Scale, ScaleRecord, curve};
use zerocopy::IntoBytes;

use super::{Arithmetic, Call, Product, SiteValues};
use crate::kernels::int8::{Conv, Elementwise, Epilogue, Kernels, Operand, Pointwise, Pool};

/// The kernels, and the scales of all tensors.
pub(crate) struct Int8<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) scales: &'a [ScaleRecord],
}

/// The end of a layer: bounds, or a table after none.
pub(crate) struct End {
    /// Zero point and bounds that the kernel writes with.
    output: Quantized,
    /// Scale that the kernel writes in.
    scale: f32,
    curve: Option<[i8; 256]>,
}

impl Arithmetic for Int8<'_> {
    type Value = i8;
    type End = End;

    fn end(&self, index: usize, activation: Activation) -> End {
        let scale = self.scales[index + 1].get();
        let curve = activation.is_curve().then(|| curve(activation, scale));
        End {
            output: scale.inner.quantized(activation),
            scale: scale.inner.scale,
            curve,
        }
    }

    fn part(&self, call: &Call<'_, Self>, first: usize, out: &mut [i8], scratch: &mut [i8]) {
        let kernels = self.kernels;
        let scratch = scratch.as_mut_bytes();
        match call.stage.layer.op {
            Op::Conv => (kernels.conv)(&self.conv(call), first, out, scratch),
            Op::Depthwise => (kernels.depthwise)(&self.conv(call), first, out),
            Op::Pointwise | Op::Linear => match Product::of(call.output_shape) {
                Product::Panels => (kernels.linear)(&pointwise(call), first, out, scratch),
                Product::Pixels => (kernels.pointwise)(&pointwise(call), first, out, scratch),
            },
            Op::Add => {
                let right = self.scale(call.stage.layer.inputs[1]).scale / call.stage.end.scale;
                (kernels.add)(&self.elementwise(call, right), first, out);
            }
            Op::Multiply => {
                let right = self.scale(call.stage.layer.inputs[1]).scale;
                (kernels.multiply)(&self.elementwise(call, right), first, out);
            }
            Op::AveragePool => (kernels.average_pool)(&self.pool(call), first, out),
            Op::MaxPool => (kernels.max_pool)(&self.pool(call), first, out),
            Op::GlobalAveragePool => (kernels.global_average_pool)(&self.pool(call), first, out),
        }
        if let Some(table) = &call.stage.end.curve {
            (kernels.lookup)(table, out);
        }
    }
}

impl Int8<'_> {
    fn scale(&self, tensor: usize) -> Scale {
        self.scales[tensor].get().outer
    }

    fn conv<'a>(&self, call: &Call<'a, Self>) -> Conv<'a> {
        let (weights, epilogue) = site(call);
        Conv {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.window,
            padding: self.scale(call.stage.layer.inputs[0]).zero_point,
            weights,
            epilogue,
        }
    }

    /// A sum or product; `graft_patches::requantize` has the multipliers of its operands.
    fn elementwise<'a>(&self, call: &Call<'a, Self>, right_multiplier: f32) -> Elementwise<'a> {
        let [left, right] = call.stage.layer.inputs.map(|input| self.scale(input));
        Elementwise {
            left: Operand {
                values: call.operands[0],
                zero_point: left.zero_point,
                multiplier: left.scale / call.stage.end.scale,
            },
            right: Operand {
                values: call.operands[1],
                zero_point: right.zero_point,
                multiplier: right_multiplier,
            },
            output: call.stage.end.output,
        }
    }

    fn pool<'a>(&self, call: &Call<'a, Self>) -> Pool<'a> {
        let input = self.scale(call.stage.layer.inputs[0]);
        Pool {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.window,
            count_padding: call.stage.layer.count_padding,
            zero_point: input.zero_point,
            multiplier: input.scale / call.stage.end.scale,
            output: call.stage.end.output,
        }
    }
}

fn pointwise<'a>(call: &Call<'a, Int8<'_>>) -> Pointwise<'a> {
    let (weights, epilogue) = site(call);
    Pointwise {
        input: call.operands[0],
        inputs: call.input_shape.channels,
        outputs: call.output_shape.channels,
        weights,
        epilogue,
    }
}

fn site<'a>(call: &Call<'a, Int8<'_>>) -> (&'a [i8], Epilogue<'a>) {
    let Some(SiteValues {
        epilogue: Values::Requantize(table),
        weights: Values::I8(weights),
        ..
    }) = call.stage.site
    else {
        unreachable!("loading and binding have seen to sites and dtypes");
    };
    let output = call.stage.end.output;
    (weights, Epilogue { table, output })
}
