//! Layers in f32.

use graft_patches::Values;
use graft_patches::records::Op;

use super::{Arithmetic, LayerCall, SiteValues};
use crate::kernels::f32::{Conv, Elementwise, Epilogue, Kernels, Pointwise, Pool};
use crate::workers::{Part, Workers};

/// Kernels, threads and scratch memory.
pub(crate) struct Float<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) workers: &'a mut Workers,
    pub(crate) scratch: &'a mut [f32],
    pub(crate) scratch_per_thread: usize,
}

impl Arithmetic for Float<'_> {
    type Value = f32;

    fn layer(&mut self, call: LayerCall<'_, f32>) {
        let kernels = self.kernels;
        match call.layer.op {
            Op::Conv => {
                let conv = conv(&call);
                self.compute(call, &|first, out, scratch| {
                    (kernels.conv)(&conv, first, out, scratch);
                });
            }
            Op::Depthwise => {
                let conv = conv(&call);
                self.compute(call, &|first, out, _| {
                    (kernels.depthwise)(&conv, first, out);
                });
            }
            Op::Pointwise | Op::Linear => {
                let pointwise = pointwise(&call);
                let kernel = match call.output_shape.pixels() {
                    1 => kernels.linear,
                    _ => kernels.pointwise,
                };
                self.compute(call, &|first, out, _| kernel(&pointwise, first, out));
            }
            Op::Add => self.elementwise(call, kernels.add),
            Op::Multiply => self.elementwise(call, kernels.multiply),
            Op::AveragePool => self.pool(call, kernels.average_pool),
            Op::MaxPool => self.pool(call, kernels.max_pool),
            Op::GlobalAveragePool => self.pool(call, kernels.global_average_pool),
        }
    }
}

impl Float<'_> {
    fn elementwise(
        &mut self,
        call: LayerCall<'_, f32>,
        kernel: fn(&Elementwise, usize, &mut [f32]),
    ) {
        let [left, right] = call.operands;
        let elementwise = Elementwise {
            left,
            right,
            activation: call.layer.activation,
        };
        self.compute(call, &|first, out, _| kernel(&elementwise, first, out));
    }

    fn pool(&mut self, call: LayerCall<'_, f32>, kernel: fn(&Pool, usize, &mut [f32])) {
        let pool = Pool {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.layer.window,
            count_padding: call.layer.count_padding,
            activation: call.layer.activation,
        };
        self.compute(call, &|first, out, _| kernel(&pool, first, out));
    }

    fn compute(&mut self, call: LayerCall<'_, f32>, part: &Part<'_, f32>) {
        self.workers.compute(
            call.into_output(),
            self.scratch,
            self.scratch_per_thread,
            part,
        );
    }
}

fn conv<'a>(call: &LayerCall<'a, f32>) -> Conv<'a> {
    let (weights, epilogue) = site(call);
    Conv {
        input: call.operands[0],
        input_shape: call.input_shape,
        output_shape: call.output_shape,
        window: call.layer.window,
        weights,
        epilogue,
    }
}

fn pointwise<'a>(call: &LayerCall<'a, f32>) -> Pointwise<'a> {
    let (weights, epilogue) = site(call);
    Pointwise {
        input: call.operands[0],
        inputs: call.input_shape.channels,
        outputs: call.output_shape.channels,
        weights,
        epilogue,
    }
}

fn site<'a>(call: &LayerCall<'a, f32>) -> (&'a [f32], Epilogue<'a>) {
    let Some(SiteValues {
        epilogue: Values::F32(table),
        weights: Values::F32(weights),
        ..
    }) = call.site
    else {
        unreachable!("loading and binding have seen to sites and dtypes");
    };
    let activation = call.layer.activation;
    (weights, Epilogue { table, activation })
}
