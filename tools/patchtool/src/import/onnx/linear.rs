//! Gemm, MatMul by a constant, and the Softmax that may follow the last of them.

use graft_patches::geometry::Shape;

use super::Softmax;
use super::constant::Constant;
use super::node::Node;
use super::value::{Call, View};
use super::walk::Walk;
use crate::import::error::ImportError;
use crate::import::graph::{Op, Weights};

impl<'a> Walk<'a> {
    pub(super) fn gemm(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        if node.int("transA", 0)? != 0 {
            return Err(node.unsupported("transA is set"));
        }
        if node.float("alpha", 1.0)? != 1.0 || node.float("beta", 1.0)? != 1.0 {
            return Err(node.unsupported("alpha or beta is not 1"));
        }
        let is_transposed = node.int("transB", 0)? != 0;
        let bias = call.optional_constant(2)?;
        self.linear(call, is_transposed, bias.as_deref())
    }

    pub(super) fn matmul(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        self.linear(call, false, None)
    }

    fn linear(
        &mut self,
        call: &Call<'a>,
        is_transposed: bool,
        bias: Option<&Constant>,
    ) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = self.concrete(call.view(0)?)?;
        let constant = call.constant(1)?;
        let &[first, second] = constant.dims.as_slice() else {
            return Err(node.unsupported(format!(
                "weights {:?} have shape {:?}, expected 2 dimensions",
                constant.name, constant.dims
            )));
        };
        let (outputs, depth) = if is_transposed {
            (first, second)
        } else {
            (second, first)
        };
        check_input(node, &view, depth)?;
        let values = constant.finite()?;
        let weights = Weights {
            name: constant.name.clone(),
            values: if is_transposed {
                values.to_vec()
            } else {
                transposed(values, depth, outputs)
            },
            outputs,
            bias: bias.map(|bias| broadcast(bias, outputs)).transpose()?,
            batch_norm: None,
        };
        let mut dims = view.dims.clone();
        dims[view.channel_axis] = outputs;
        let shape = Shape::new(1, 1, outputs);
        let axis = view.channel_axis;
        let output = self.push(node, Op::Linear(weights), &[&view], shape, dims, axis)?;
        self.keep_weight_scales(&output, &constant, outputs, usize::from(!is_transposed));
        Ok(output)
    }

    /// Leaves out a Softmax over the scores: it changes neither their order nor what training starts from.
    pub(super) fn softmax(
        &mut self,
        softmax: Softmax,
        call: &Call<'a>,
    ) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = self.concrete(call.view(0)?)?;
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = super::shape::axis(node.int("axis", default)?, view.dims.len());
        if !view.is_vector() || axis != Some(view.channel_axis) {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected one row of scores",
                view.dims
            )));
        }
        self.builder.softmax.get_or_insert((node, softmax));
        Ok(view)
    }
}

fn check_input(node: Node<'_>, view: &View<'_>, depth: usize) -> Result<(), ImportError> {
    let is_row = view.is_vector() && view.channel_axis + 1 == view.dims.len();
    if is_row && depth == view.channels() {
        return Ok(());
    }
    Err(node.unsupported(format!(
        "its input has shape {:?}, expected one row of {depth} values",
        view.dims
    )))
}

/// A bias of one value a channel, or one for all.
fn broadcast(bias: &Constant, outputs: usize) -> Result<Vec<f32>, ImportError> {
    if bias.values.len() == 1 {
        return Ok(vec![bias.finite()?[0]; outputs]);
    }
    bias.per_channel(outputs)
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let column = |c: usize| (0..rows).map(move |r| values[r * columns + c]);
    (0..columns).flat_map(column).collect()
}
