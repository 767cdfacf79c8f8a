//! Layers in f32.

use graft_patches::Values;
use graft_patches::records::Op;

use super::{Arithmetic, LayerCall, Product, SiteValues};
use crate::kernels::f32::{Conv, Elementwise, Epilogue, Kernels, Pointwise, Pool};
use crate::workers::{Part, Workers};

/// Kernels, threads and scratch memory.
pub(crate) struct Float<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) workers: &'a mut Workers,
    pub(crate) scratch: &'a mut [f32],
    pub(crate) scratch_per_thread: usize,
}

/// Computes output rows from the given one, with scratch memory.
type ConvKernel<'a> = dyn Fn(&Conv, usize, &mut [f32], &mut [f32]) + Sync + 'a;

impl Arithmetic for Float<'_> {
    type Value = f32;

    fn layer(&mut self, call: &LayerCall<'_, f32>, output: &mut [f32]) {
        let kernels = self.kernels;
        match call.layer.op {
            Op::Conv => self.conv(call, output, &kernels.conv),
            Op::Depthwise => self.conv(call, output, &|conv, first, out, _| {
                (kernels.depthwise)(conv, first, out);
            }),
            Op::Pointwise | Op::Linear => self.pointwise(call, output),
            Op::Add => self.elementwise(call, output, kernels.add),
            Op::Multiply => self.elementwise(call, output, kernels.multiply),
            Op::AveragePool => self.pool(call, output, kernels.average_pool),
            Op::MaxPool => self.pool(call, output, kernels.max_pool),
            Op::GlobalAveragePool => self.pool(call, output, kernels.global_average_pool),
        }
    }
}

impl Float<'_> {
    fn conv(&mut self, call: &LayerCall<'_, f32>, output: &mut [f32], kernel: &ConvKernel<'_>) {
        let (weights, epilogue) = site(call);
        let conv = Conv {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.layer.window,
            weights,
            epilogue,
        };
        self.compute(call, output, &|first, out, scratch| {
            kernel(&conv, first, out, scratch);
        });
    }

    fn pointwise(&mut self, call: &LayerCall<'_, f32>, output: &mut [f32]) {
        let (weights, epilogue) = site(call);
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
        self.compute(call, output, &|first, out, _| {
            kernel(&pointwise, first, out)
        });
    }

    fn elementwise(
        &mut self,
        call: &LayerCall<'_, f32>,
        output: &mut [f32],
        kernel: fn(&Elementwise, usize, &mut [f32]),
    ) {
        let [left, right] = call.operands;
        let elementwise = Elementwise {
            left,
            right,
            activation: call.layer.activation,
        };
        self.compute(call, output, &|first, out, _| {
            kernel(&elementwise, first, out)
        });
    }

    fn pool(
        &mut self,
        call: &LayerCall<'_, f32>,
        output: &mut [f32],
        kernel: fn(&Pool, usize, &mut [f32]),
    ) {
        let pool = Pool {
            input: call.operands[0],
            input_shape: call.input_shape,
            output_shape: call.output_shape,
            window: call.layer.window,
            count_padding: call.layer.count_padding,
            activation: call.layer.activation,
        };
        self.compute(call, output, &|first, out, _| kernel(&pool, first, out));
    }

    fn compute(&mut self, call: &LayerCall<'_, f32>, output: &mut [f32], part: &Part<'_, f32>) {
        self.workers.compute(
            call.output(output),
            self.scratch,
            self.scratch_per_thread,
            part,
        );
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
