//! Gemm, MatMul by a constant, and the Softmax or Sigmoid that may follow the last of them.

use graft_patches::geometry::Shape;

use super::Ending;
use super::affine::NOT_DIRECT;
use super::constant::Constant;
use super::node::Node;
use super::value::{Call, View};
use super::walk::Walk;
use crate::import::error::ImportError;
use crate::import::graph::{Op, Weights};

impl<'a> Walk<'a> {
    pub(super) fn gemm(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let [alpha, beta] = [node.float("alpha", 1.0)?, node.float("beta", 1.0)?];
        if !alpha.is_finite() || !beta.is_finite() {
            return Err(node.malformed("alpha or beta is not finite"));
        }
        let mut view = call.view(0)?;
        if node.int("transA", 0)? != 0 {
            if view.dims.len() != 2 {
                return Err(node.malformed(format!("transA of {:?}", view.dims)));
            }
            view.dims.reverse();
            view.channel_axis = 1 - view.channel_axis;
        }
        let is_transposed = node.int("transB", 0)? != 0;
        let bias = call.optional_constant(2)?;
        let bias = bias.as_deref().map(|bias| (bias, beta));
        self.linear(call, view, (is_transposed, alpha), bias)
    }

    pub(super) fn matmul(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        self.linear(call, call.view(0)?, (false, 1.0), None)
    }

    /// `alpha` times the product with the weights, plus `beta` times the bias.
    fn linear(
        &mut self,
        call: &Call<'a>,
        view: View<'a>,
        (is_transposed, alpha): (bool, f32),
        bias: Option<(&Constant, f32)>,
    ) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let mut view = self.fused(view)?;
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
        let bias = match bias {
            Some((bias, beta)) => {
                let each = broadcast(bias, outputs)?.into_iter();
                Some(each.map(|value| value * beta).collect())
            }
            None => None,
        };
        let mut weights = Weights {
            name: constant.name.clone(),
            values: if is_transposed {
                values.to_vec()
            } else {
                transposed(values, depth, outputs)
            },
            outputs,
            bias,
            batch_norm: None,
        };
        if alpha != 1.0 {
            if constant.quantised.is_some() {
                return Err(node.unsupported("alpha is not 1, with quantised weights"));
            }
            weights
                .values
                .iter_mut()
                .for_each(|weight| *weight *= alpha);
        }
        let mut op = Op::Linear(weights);
        if let Some((affine, map)) = view.affine.take() {
            if constant.quantised.is_some() {
                return Err(map.unsupported(NOT_DIRECT));
            }
            affine.fold_into(&mut op);
        }
        let mut dims = view.dims.clone();
        dims[view.channel_axis] = outputs;
        let shape = Shape::new(1, 1, outputs);
        let axis = view.channel_axis;
        let output = self.push(node, op, &[&view], shape, dims, axis)?;
        self.keep_weight_scales(&output, &constant, outputs, usize::from(!is_transposed));
        Ok(output)
    }

    /// Leaves out the function of the scores: it changes neither their order nor what training starts from.
    pub(super) fn ending(
        &mut self,
        ending: Ending,
        call: &Call<'a>,
    ) -> Result<View<'a>, ImportError> {
        let node = call.node;
        self.builder.check_ending()?;
        let view = self.concrete(call.view(0)?)?;
        let is_over_classes = match ending {
            Ending::Sigmoid => true,
            Ending::Softmax | Ending::LogSoftmax => {
                let default = if self.opset < 13 { 1 } else { -1 };
                let axis = super::shape::axis(node.int("axis", default)?, view.dims.len());
                axis == Some(view.channel_axis)
            }
        };
        if !view.is_vector() || !is_over_classes {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected one row of scores",
                view.dims
            )));
        }
        self.builder.ending = Some((node, ending));
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
