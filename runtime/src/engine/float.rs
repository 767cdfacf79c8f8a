//! Layers in f32.

use graft_patches::Values;
use graft_patches::geometry::Activation;
use graft_patches::records::Op;

use super::{Arithmetic, Call, Product, SiteValues};
use crate::kernels::f32::{Conv, Elementwise, Epilogue, Kernels, Pointwise, Pool};

/// The kernels.
pub(crate) struct Float<'a> {
    pub(crate) kernels: &'a Kernels,
}

impl Arithmetic for Float<'_> {
    type Value = f32;
    type End = Activation;

    fn end(&self, _: usize, activation: Activation) -> Activation {
        activation
    }

    fn part(&self, call: &Call<'_, Self>, first: usize, out: &mut [f32], _: &mut [f32]) {
        let kernels = self.kernels;
        match call.stage.layer.op {
            Op::Conv => (kernels.conv)(&conv(call), first, out),
            Op::Depthwise => (kernels.depthwise)(&conv(call), first, out),
            Op::Pointwise | Op::Linear => match Product::of(call.output_shape) {
                Product::Panels => (kernels.linear)(&pointwise(call), first, out),
                Product::Pixels => (kernels.pointwise)(&pointwise(call), first, out),
            },
            Op::Add => (kernels.add)(&elementwise(call), first, out),
            Op::Multiply => (kernels.multiply)(&elementwise(call), first, out),
            Op::AveragePool => (kernels.average_pool)(&pool(call), first, out),
            Op::MaxPool => (kernels.max_pool)(&pool(call), first, out),
            Op::GlobalAveragePool => (kernels.global_average_pool)(&pool(call), first, out),
        }
    }
}

fn conv<'a>(call: &Call<'a, Float<'_>>) -> Conv<'a> {
    let (weights, epilogue) = site(call);
    Conv {
        input: call.operands[0],
        input_shape: call.input_shape,
        output_shape: call.output_shape,
        window: call.window,
        weights,
        epilogue,
    }
}

fn pointwise<'a>(call: &Call<'a, Float<'_>>) -> Pointwise<'a> {
    let (weights, epilogue) = site(call);
    Pointwise {
        input: call.operands[0],
        inputs: call.input_shape.channels,
        outputs: call.output_shape.channels,
        weights,
        epilogue,
    }
}

fn elementwise<'a>(call: &Call<'a, Float<'_>>) -> Elementwise<'a> {
    let [left, right] = call.operands;
    Elementwise {
        left,
        right,
        activation: call.stage.end,
    }
}

fn pool<'a>(call: &Call<'a, Float<'_>>) -> Pool<'a> {
    Pool {
        input: call.operands[0],
        input_shape: call.input_shape,
        output_shape: call.output_shape,
        window: call.window,
        count_padding: call.stage.layer.count_padding,
        activation: call.stage.end,
    }
}

fn site<'a>(call: &Call<'a, Float<'_>>) -> (&'a [f32], Epilogue<'a>) {
    let Some(SiteValues {
        epilogue: Values::F32(table),
        weights: Values::F32(weights),
        ..
    }) = call.stage.site
    else {
        unreachable!("loading and binding have seen to sites and dtypes");
    };
    let activation = call.stage.end;
    (weights, Epilogue { table, activation })
}
