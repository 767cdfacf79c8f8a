//! Activation functions and arithmetic.

use graft_onnx::tensor::Values;

use super::affine::Affine;
use super::constant::Constant;
use super::expression::Expression;
use super::node::{Arithmetic, Node};
use super::value::{Call, Value, View};
use super::walk::Walk;
use crate::import::error::ImportError;
use crate::import::graph::Op;

impl<'a> Walk<'a> {
    pub(super) fn activation_function(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let op = node.op();
        let mut view = call.view(0)?;
        if !view.expression.is_open() || op == "HardSwish" {
            view = self.fused(view)?;
        }
        let before = view.saturated();
        let expression = match op.as_str() {
            "Relu" => before.clamped(0.0, f32::INFINITY),
            "Clip" => {
                let (min, max) = bounds(call)?;
                before.clamped(min, max)
            }
            "HardSigmoid" => {
                let alpha = positive(node, node.float("alpha", 0.2)?)?;
                let beta = node.float("beta", 0.5)?;
                before.times(alpha).plus(beta).clamped(0.0, 1.0)
            }
            "HardSwish" => Expression::HARD_SWISH,
            _ => return Err(node.unsupported("no layer of the runtime computes it")),
        };
        Ok(view.pending(expression, node))
    }

    /// Max and Min of one activation and constants: bounds.
    pub(super) fn bounded(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let is_activation = |value: &Option<Value<'_>>| matches!(value, Some(Value::Activation(_)));
        let index = call.inputs.iter().position(is_activation).unwrap_or(0);
        let activations = call.inputs.iter().filter(|value| is_activation(value));
        if activations.count() > 1 {
            return Err(node.unsupported("it compares activations, expected one and constants"));
        }
        let mut view = call.view(index)?;
        if !view.expression.is_open() {
            view = self.fused(view)?;
        }
        let mut expression = view.saturated();
        for other in (0..call.inputs.len()).filter(|&other| other != index) {
            let bound = call.constant(other)?;
            let bound = uniform(&view, &bound).ok_or_else(|| {
                node.unsupported(format!(
                    "the bound {:?} has shape {:?}, expected one value for all of {:?}",
                    bound.name, bound.dims, view.dims
                ))
            })?;
            expression = match node.op().as_str() {
                "Max" => expression.clamped(bound, f32::INFINITY),
                _ => expression.clamped(f32::NEG_INFINITY, bound),
            };
        }
        Ok(view.pending(expression, node))
    }

    /// Sum of any number of activations and constants, one after the other.
    pub(super) fn sum(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let is_activation =
            |index: &usize| matches!(call.inputs[*index], Some(Value::Activation(_)));
        let (activations, constants): (Vec<usize>, Vec<usize>) =
            (0..call.inputs.len()).partition(is_activation);
        let (first, more) = activations.split_first().unwrap_or((&0, &[]));
        let mut sum = call.view(*first)?;
        for index in constants {
            let constant = call.constant(index)?;
            sum = self.with_constant(Arithmetic::Add, node, sum, &constant)?;
        }
        for &index in more {
            sum = self.joined(node, Op::Add, sum, call.view(index)?)?;
        }
        Ok(sum)
    }

    pub(super) fn arithmetic(
        &mut self,
        op: Arithmetic,
        call: &Call<'a>,
    ) -> Result<View<'a>, ImportError> {
        let is_activation =
            |i: usize| matches!(call.inputs.get(i), Some(Some(Value::Activation(_))));
        match (is_activation(0), is_activation(1)) {
            (true, true) => self.combine(op, call),
            (true, false) => {
                let constant = call.constant(1)?;
                self.with_constant(op, call.node, call.view(0)?, &constant)
            }
            (false, _) if matches!(op, Arithmetic::Sub | Arithmetic::Div) => {
                let why = "a constant comes first, expected the activation first";
                Err(call.node.unsupported(why))
            }
            (false, _) => {
                let constant = call.constant(0)?;
                self.with_constant(op, call.node, call.view(1)?, &constant)
            }
        }
    }

    fn with_constant(
        &mut self,
        op: Arithmetic,
        node: Node<'a>,
        view: View<'a>,
        constant: &Constant,
    ) -> Result<View<'a>, ImportError> {
        let values = constant.finite()?;
        if let [number] = values
            && constant.dims.len() <= view.dims.len()
        {
            return self.with_number(op, node, view, *number);
        }
        if !is_per_channel(&view, constant) {
            return Err(node.unsupported(format!(
                "{:?} has shape {:?}, expected one value, or one a channel of {:?}",
                constant.name, constant.dims, view.dims
            )));
        }
        let view = self.fused(view)?;
        let each = |value: f32| vec![value; values.len()];
        let (scale, shift) = match op {
            Arithmetic::Add => (each(1.0), values.to_vec()),
            Arithmetic::Sub => (each(1.0), values.iter().map(|v| -v).collect()),
            Arithmetic::Mul => (values.to_vec(), each(0.0)),
            Arithmetic::Div => (values.iter().map(|v| 1.0 / v).collect(), each(0.0)),
        };
        self.mapped(node, view, Affine { scale, shift })
    }

    fn with_number(
        &mut self,
        op: Arithmetic,
        node: Node<'a>,
        mut view: View<'a>,
        number: f32,
    ) -> Result<View<'a>, ImportError> {
        let is_factor = matches!(op, Arithmetic::Mul | Arithmetic::Div);
        if !is_factor && !view.expression.is_open() {
            view = self.fused(view)?;
        }
        let before = view.saturated();
        let expression = match op {
            Arithmetic::Add => before.plus(number),
            Arithmetic::Sub => before.plus(-number),
            Arithmetic::Mul => before.times(positive(node, number)?),
            Arithmetic::Div => before.times(1.0 / positive(node, number)?),
        };
        Ok(view.pending(expression, node))
    }

    /// Two activations: `x * f(x)` stays pending, anything else becomes a layer.
    fn combine(&mut self, op: Arithmetic, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let (a, b) = (call.view(0)?, call.view(1)?);
        let op = match op {
            Arithmetic::Add => Op::Add,
            Arithmetic::Mul => Op::Multiply,
            Arithmetic::Sub | Arithmetic::Div => {
                return Err(node.unsupported("no layer of the runtime computes it"));
            }
        };
        if matches!(op, Op::Multiply)
            && let Some(gated) = self_gated(node, &a, &b)
        {
            return Ok(gated);
        }
        self.joined(node, op, a, b)
    }

    /// A layer of two activations.
    fn joined(
        &mut self,
        node: Node<'a>,
        op: Op,
        a: View<'a>,
        b: View<'a>,
    ) -> Result<View<'a>, ImportError> {
        let (a, b) = (self.concrete(a)?, self.concrete(b)?);
        let (wide, narrow) = if a.is_vector() && !b.is_vector() {
            (b, a)
        } else {
            (a, b)
        };
        let is_broadcast = matches!(op, Op::Multiply)
            && narrow.is_vector()
            && narrow.dims.len() == wide.dims.len()
            && narrow.channels() == wide.channels();
        let is_same_axis = narrow.channel_axis == wide.channel_axis;
        if !is_same_axis || (wide.dims != narrow.dims && !is_broadcast) {
            return Err(node.unsupported(format!(
                "it combines {:?} with {:?}, expected one shape, or one factor a channel",
                wide.dims, narrow.dims
            )));
        }
        let shape = self.builder.shape(&wide);
        let (dims, axis) = (wide.dims.clone(), wide.channel_axis);
        self.push(node, op, &[&wide, &narrow], shape, dims, axis)
    }
}

/// `x * f(x)` of one tensor, in either order.
fn self_gated<'a>(node: Node<'a>, a: &View<'a>, b: &View<'a>) -> Option<View<'a>> {
    let is_same = (a.tensor, a.generation) == (b.tensor, b.generation) && a.dims == b.dims;
    if !is_same || a.affine.is_some() || b.affine.is_some() {
        return None;
    }
    let gate = match (a.origin, b.origin) {
        (None, Some(_)) => b,
        (Some(_), None) => a,
        _ => return None,
    };
    let function = gate.saturated();
    let is_open = function.is_open();
    is_open.then(|| gate.clone().pending(function.times_x(), node))
}

/// Bounds of a Clip: attributes before opset 11, inputs since; open where they are missing.
fn bounds(call: &Call<'_>) -> Result<(f32, f32), ImportError> {
    let bound = |index: usize, name: &str, open: f32| match call.optional_constant(index)? {
        Some(constant) => constant.scalar(call.node),
        None => call.node.float(name, open),
    };
    let min = bound(1, "min", f32::NEG_INFINITY)?;
    let max = bound(2, "max", f32::INFINITY)?;
    if min.is_nan() || max.is_nan() {
        return Err(call.node.malformed("a bound is NaN"));
    }
    Ok((min, max))
}

/// The value of a constant that has only one, and does not widen the view.
fn uniform(view: &View<'_>, constant: &Constant) -> Option<f32> {
    let leading = view.dims.len().checked_sub(constant.dims.len())?;
    let dims = constant.dims.iter().zip(&view.dims[leading..]);
    let Values::Float(values) = &constant.values else {
        return None;
    };
    let (first, rest) = values.split_first()?;
    let is_uniform = !first.is_nan() && rest.iter().all(|value| value == first);
    let fits = dims.into_iter().all(|(&own, &dim)| own == 1 || own == dim);
    (is_uniform && fits).then_some(*first)
}

fn positive(node: Node<'_>, factor: f32) -> Result<f32, ImportError> {
    if factor > 0.0 && factor.is_finite() && factor.recip().is_finite() {
        return Ok(factor);
    }
    Err(node.unsupported(format!("found the factor {factor}, expected one above 0")))
}

/// Whether the constant broadcasts to one value a channel.
fn is_per_channel(view: &View<'_>, constant: &Constant) -> bool {
    let Some(leading) = view.dims.len().checked_sub(constant.dims.len()) else {
        return false;
    };
    constant.values.len() == view.channels()
        && constant
            .dims
            .iter()
            .enumerate()
            .all(|(i, &dim)| dim == 1 || i + leading == view.channel_axis)
}
