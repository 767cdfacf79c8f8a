//! Layers in f32.

use graft_patches::Values;
use graft_patches::records::Op;

use super::{Arithmetic, LayerTask, SiteValues};
use crate::kernels::PANEL;
use crate::kernels::f32::{Conv, Elementwise, Epilogue, Kernels, Pointwise, Pool};
use crate::workers::{Output, Part, Workers};

/// Kernels, threads and scratch memory.
pub(crate) struct Float<'a> {
    pub(crate) kernels: &'a Kernels,
    pub(crate) workers: &'a mut Workers,
    pub(crate) scratch: &'a mut [f32],
    pub(crate) scratch_per_thread: usize,
}

impl Arithmetic for Float<'_> {
    type Value = f32;

    fn layer(&mut self, task: LayerTask<'_, f32>) {
        match task.site {
            Some(_) => self.site(task),
            None => self.unweighted(task),
        }
    }
}

impl Float<'_> {
    fn site(&mut self, task: LayerTask<'_, f32>) {
        let Some(SiteValues {
            site,
            epilogue: Values::F32(table),
            weights: Values::F32(weights),
        }) = task.site
        else {
            unreachable!("binding has seen to the dtype");
        };
        let (kernels, shape, output) = (self.kernels, task.output_shape, task.output);
        let work = output.len() * site.depth;
        let row = shape.width * shape.channels;
        let epilogue = Epilogue {
            table,
            activation: task.layer.activation,
        };
        let conv = Conv {
            input: task.operands[0],
            input_shape: task.input_shape,
            output_shape: shape,
            window: task.layer.window,
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
            Op::Conv => self.compute(output, row, work, &|first, out, scratch| {
                (kernels.conv)(&conv, first, out, scratch);
            }),
            Op::Depthwise => self.compute(output, row, work, &|first, out, _| {
                (kernels.depthwise)(&conv, first, out);
            }),
            // One pixel has no rows to share: its panels are shared instead.
            _ if shape.pixels() == 1 => self.compute(output, PANEL, work, &|first, out, _| {
                (kernels.linear)(&pointwise, first, out);
            }),
            _ => self.compute(output, shape.channels, work, &|first, out, _| {
                (kernels.pointwise)(&pointwise, first, out);
            }),
        }
    }

    fn unweighted(&mut self, task: LayerTask<'_, f32>) {
        let (kernels, shape, output) = (self.kernels, task.output_shape, task.output);
        let activation = task.layer.activation;
        let [left, right] = task.operands;
        let elementwise = Elementwise {
            left,
            right,
            activation,
        };
        let pool = Pool {
            input: left,
            input_shape: task.input_shape,
            output_shape: shape,
            window: task.layer.window,
            count_padding: task.layer.count_padding,
            activation,
        };
        let row = shape.width * shape.channels;
        let work = output.len() * task.layer.window.kernel[0] * task.layer.window.kernel[1];
        match task.layer.op {
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
            _ => self.compute(output, 1, left.len(), &|first, out, _| {
                (kernels.global_average_pool)(&pool, first, out);
            }),
        }
    }

    fn compute(&mut self, values: &mut [f32], unit: usize, work: usize, part: &Part<'_, f32>) {
        let output = Output { values, unit, work };
        self.workers
            .compute(output, self.scratch, self.scratch_per_thread, part);
    }
}
