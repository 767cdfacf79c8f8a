//! Quantised models in the QDQ format: QuantizeLinear and DequantizeLinear around float operators.
//!
//! On activations both are identities that leave their scale with the tensor, or with the expression that is pending on
//! it; where several follow one another inside a layer, the last one counts, and the one before a curve. On constants
//! DequantizeLinear is evaluated, and the float weights remember the scale that gives their integers back.

use graft_onnx::proto::DataType;
use graft_onnx::tensor::Values;
use graft_patches::scale::{SCALES, Scale};

use super::affine::NOT_DIRECT;
use super::constant::{Constant, Quantised};
use super::folding;
use super::node::Node;
use super::value::{Call, Value, View};
use super::walk::Walk;
use crate::import::error::ImportError;

/// Whether an operator computes with integers itself, or finds its scales while it runs.
pub(super) fn is_other_format(op: &str) -> bool {
    let words = ["QLinear", "uantizeLinear", "ConvInteger", "MatMulInteger"];
    let is_qdq = matches!(op, "QuantizeLinear" | "DequantizeLinear");
    !is_qdq && words.iter().any(|word| op.contains(word))
}

impl<'a> Walk<'a> {
    /// QuantizeLinear of an activation.
    pub(super) fn quantise(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = call.padded_view(0)?;
        if let Some((_, map)) = view.affine {
            return Err(map.unsupported(NOT_DIRECT));
        }
        let (scale, zero_point) = parameters(call)?;
        let Some((zero_point, element)) = zero_point.or(default_zero_point(call.node)?) else {
            return Err(call
                .node
                .unsupported("its output is neither int8 nor uint8"));
        };
        let scale = Scale { scale, zero_point };
        let view = View {
            integers: Some(element),
            ..view
        };
        self.builder.scales.is_quantised = true;
        // The scale of a softmax that was left out is not that of the scores.
        if self.builder.ending.is_some() {
            self.builder.ending_step = Some(scale.scale);
            return Ok(view);
        }
        if view.origin.is_some() {
            let scale = Some(scale);
            return Ok(View { scale, ..view });
        }
        self.builder.quantise(call.node, &view, scale)?;
        Ok(view)
    }

    /// Cast of integers to the type that they have, or of floats to floats.
    pub(super) fn cast(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = call.padded_view(0)?;
        let to = call.node.int("to", 0)?;
        match view.integers {
            Some(element) if to == i64::from(element as i32) => Ok(view),
            None if folding::is_float(to) => Ok(view),
            Some(_) | None => Err(call
                .node
                .unsupported("it makes other numbers of an activation")),
        }
    }

    /// DequantizeLinear of an activation, by what it was quantised by.
    pub(super) fn dequantise(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = View {
            integers: None,
            ..call.padded_view(0)?
        };
        let (scale, zero_point) = parameters(call)?;
        let known = match view.origin {
            _ if self.builder.ending.is_some() => return Ok(view),
            Some(_) => view.scale,
            None => self.builder.scales.outer(view.tensor),
        };
        match known {
            Some(known) if known.scale == scale && zero_point.is_none_or(|(z, _)| z == known.zero_point) => {
                Ok(view)
            }
            Some(known) => Err(call.node.unsupported(format!(
                "its scale {scale} and zero point differ from those that its input was quantised by: {} and {}",
                known.scale, known.zero_point
            ))),
            None => Err(call.node.unsupported("its input was not quantised by QuantizeLinear")),
        }
    }

    /// Keeps the scales of a site's weights, whose output channels are this axis of the constant.
    pub(super) fn keep_weight_scales(
        &mut self,
        view: &View<'a>,
        constant: &Constant,
        outputs: usize,
        axis: usize,
    ) {
        let found = constant.quantised.as_ref();
        self.builder.scales.is_quantised |= found.is_some();
        self.builder.scales.lowest += found.map_or(0, |found| found.lowest);
        let scales = match &constant.quantised {
            None => Err("are float"),
            Some(Quantised {
                unfit: Some(why), ..
            }) => Err(*why),
            Some(found) if found.scales.len() == 1 => Ok(vec![found.scales[0]; outputs]),
            Some(found) if found.axis != axis => {
                Err("have scales of another axis than the output channels'")
            }
            Some(found) => Ok(found.scales.clone()),
        };
        self.builder.scales.set_weights(view.tensor, scales);
    }
}

/// Whether an operator passes integers on, or ends them.
pub(super) fn takes_integers(op: &str) -> bool {
    let moves = [
        "Identity",
        "Cast",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
    ];
    op == "DequantizeLinear" || moves.contains(&op)
}

/// A zero point as int8, and the type that it is stored in.
type ZeroPoint = (i8, DataType);

/// Scale and zero point of an activation; the zero point may be left out.
fn parameters(call: &Call<'_>) -> Result<(f32, Option<ZeroPoint>), ImportError> {
    let node = call.node;
    let scale = call.constant(1)?.scalar(node)?;
    if !SCALES.contains(&scale) {
        return Err(node.unsupported(format!("found the scale {scale}, expected 1e-12 to 1e12")));
    }
    let Some(constant) = call.optional_constant(2)? else {
        return Ok((scale, None));
    };
    let Some(shift) = shift(constant.element) else {
        return Err(node.unsupported(format!(
            "its zero point {:?} is of type {:?}, expected Int8 or Uint8",
            constant.name, constant.element
        )));
    };
    let zero_point = i8::try_from((constant.scalar(node)? as i64).saturating_sub(shift))
        .map_err(|_| node.malformed("its zero point does not fit its type"))?;
    Ok((scale, Some((zero_point, constant.element))))
}

/// The difference between this type and int8; none of other types than bytes.
fn shift(element: DataType) -> Option<i64> {
    let shifts = [(DataType::Int8, 0), (DataType::Uint8, 128)];
    let found = shifts.into_iter().find(|(known, _)| *known == element);
    found.map(|(_, shift)| shift)
}

/// Zero in the type that QuantizeLinear writes where no zero point says it.
fn default_zero_point(node: Node<'_>) -> Result<Option<ZeroPoint>, ImportError> {
    let unsigned = i64::from(DataType::Uint8 as i32);
    let found = match node.int("output_dtype", 0)? {
        0 => unsigned,
        given => given,
    };
    let element = i32::try_from(found)
        .ok()
        .and_then(|found| DataType::try_from(found).ok());
    Ok(element.and_then(|element| Some((-shift(element)? as i8, element))))
}

/// QuantizeLinear of constants.
pub(super) fn quantised(call: &Call<'_>) -> Result<Option<Constant>, ImportError> {
    let node = call.node;
    if !is_known(call) {
        return Ok(None);
    }
    let from = call.constant(0)?;
    let steps = Steps::read(call, &from)?;
    let element = match call.optional_constant(2)? {
        Some(zero_point) => Some((0, zero_point.element)),
        None => default_zero_point(node)?,
    };
    let (lowest, highest) = match element {
        Some((_, DataType::Int8)) => (-128.0, 127.0),
        Some((_, DataType::Uint8)) => (0.0, 255.0),
        _ => return Err(node.unsupported("its output is neither int8 nor uint8")),
    };
    let each = |(at, &value): (usize, &f32)| {
        let (scale, zero_point) = steps.at(at);
        let shifted = f64::from((value / scale).round_ties_even()) + zero_point as f64;
        shifted.clamp(lowest, highest) as i64
    };
    let values = from.finite()?.iter().enumerate().map(each).collect();
    Ok(Some(Constant {
        name: from.name.clone(),
        dims: from.dims.clone(),
        values: Values::Int(values),
        element: element.map_or(DataType::Undefined, |(_, element)| element),
        quantised: None,
    }))
}

/// DequantizeLinear of constants.
pub(super) fn dequantised(call: &Call<'_>) -> Result<Option<Constant>, ImportError> {
    let node = call.node;
    if !is_known(call) {
        return Ok(None);
    }
    let from = call.constant(0)?;
    let steps = Steps::read(call, &from)?;
    let integers = from.as_ints(node)?;
    let each = |(at, &integer): (usize, &i64)| {
        let (scale, zero_point) = steps.at(at);
        (integer.saturating_sub(zero_point) as f64 * f64::from(scale)) as f32
    };
    Ok(Some(Constant {
        name: from
            .name
            .strip_suffix("_quantized")
            .unwrap_or(&from.name)
            .to_owned(),
        dims: from.dims.clone(),
        values: Values::Float(integers.iter().enumerate().map(each).collect()),
        element: DataType::Float,
        quantised: Some(Quantised {
            unfit: unfit(from.element, &steps.zero_points),
            lowest: lowest(from.element, integers),
            scales: steps.scales,
            axis: steps.axis,
        }),
    }))
}

/// Whether all inputs are constants.
fn is_known(call: &Call<'_>) -> bool {
    let is_known = |input: &Option<Value<'_>>| !matches!(input, Some(Value::Unknown(_)));
    call.inputs.iter().all(is_known)
}

/// The scales and zero points of a constant.
struct Steps {
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    axis: usize,
    /// Values of one scale that lie side by side, at least one.
    stride: usize,
}

impl Steps {
    fn read(call: &Call<'_>, from: &Constant) -> Result<Self, ImportError> {
        let (node, scales) = (call.node, call.constant(1)?);
        let scales = scales.finite()?.to_vec();
        if !scales.iter().all(|&scale| scale > 0.0) || node.int("block_size", 0)? != 0 {
            return Err(node.unsupported("its scales are in blocks, or not above zero"));
        }
        let (axis, stride) = channels(node, from, scales.len())?;
        let zero_points = match call.optional_constant(2)? {
            Some(given) if given.values.len() == scales.len() => given.as_ints(node)?.to_vec(),
            Some(_) => return Err(node.malformed("it has not as many zero points as scales")),
            None => vec![0],
        };
        Ok(Self {
            scales,
            zero_points,
            axis,
            stride,
        })
    }

    /// Scale and zero point of a value.
    fn at(&self, index: usize) -> (f32, i64) {
        let channel = index / self.stride % self.scales.len();
        let zero_point = self.zero_points[channel % self.zero_points.len()];
        (self.scales[channel], zero_point)
    }
}

/// The axis that `scales` scales are for, and how many values of one scale lie side by side, at least one.
fn channels(node: Node<'_>, from: &Constant, scales: usize) -> Result<(usize, usize), ImportError> {
    let axis = super::shape::axis(node.int("axis", 1)?, from.dims.len()).unwrap_or(0);
    let stride = match from.dims.get(axis) {
        _ if scales == 1 => from.values.len(),
        Some(&dim) if scales == dim => from.dims[axis + 1..].iter().product(),
        _ => {
            return Err(node.malformed(format!(
                "{scales} scales for axis {axis} of {:?}, shape {:?}",
                from.name, from.dims
            )));
        }
    };
    Ok((axis, stride.max(1)))
}

/// The reason why integers are no weights that a layer computes with.
fn unfit(element: DataType, zero_points: &[i64]) -> Option<&'static str> {
    if element != DataType::Int8 {
        Some("are not int8")
    } else if zero_points.iter().any(|&zero_point| zero_point != 0) {
        Some("are asymmetric (a zero point is not 0)")
    } else {
        None
    }
}

/// The number of weights of -128, which layers take as -127.
fn lowest(element: DataType, integers: &[i64]) -> usize {
    let is_lowest = |&&integer: &&i64| element == DataType::Int8 && integer == i64::from(i8::MIN);
    integers.iter().filter(is_lowest).count()
}
