//! Quantised models in the QDQ format: QuantizeLinear and DequantizeLinear around float operators.
//!
//! On activations both are identities that leave their scale with the tensor, or with the expression that is pending on
//! it; where several follow one another inside a layer, the last one counts, and the one before a curve. On constants
//! DequantizeLinear is evaluated, and the float weights remember the scale that gives their integers back.

use graft_onnx::proto::DataType;
use graft_onnx::tensor::Values;
use graft_patches::scale::{SCALES, Scale};

use super::constant::{Constant, Quantised};
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
        let (scale, zero_point) = parameters(call)?;
        let Some(zero_point) = zero_point.or(default_zero_point(call.node)?) else {
            return Err(call
                .node
                .unsupported("its output is neither int8 nor uint8"));
        };
        let scale = Scale { scale, zero_point };
        self.builder.scales.is_quantised = true;
        // The scale of a softmax that was left out is not that of the scores.
        if self.builder.softmax.is_some() {
            self.builder.softmax_step = Some(scale.scale);
            return Ok(view);
        }
        if view.origin.is_some() {
            let scale = Some(scale);
            return Ok(View { scale, ..view });
        }
        self.builder.quantise(call.node, &view, scale)?;
        Ok(view)
    }

    /// DequantizeLinear of an activation, by what it was quantised by.
    pub(super) fn dequantise(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = call.padded_view(0)?;
        let (scale, zero_point) = parameters(call)?;
        let known = match view.origin {
            _ if self.builder.softmax.is_some() => return Ok(view),
            Some(_) => view.scale,
            None => self.builder.scales.outer(view.tensor),
        };
        match known {
            Some(known) if known.scale == scale && zero_point.is_none_or(|z| z == known.zero_point) => {
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
        self.builder.scales.is_quantised |= constant.quantised.is_some();
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

/// Scale and zero point of an activation; the zero point may be left out.
fn parameters(call: &Call<'_>) -> Result<(f32, Option<i8>), ImportError> {
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
    Ok((scale, Some(zero_point)))
}

/// The difference between this type and int8; none of other types than bytes.
fn shift(element: DataType) -> Option<i64> {
    let shifts = [(DataType::Int8, 0), (DataType::Uint8, 128)];
    let found = shifts.into_iter().find(|(known, _)| *known == element);
    found.map(|(_, shift)| shift)
}

/// Zero in the type that QuantizeLinear writes where no zero point says it.
fn default_zero_point(node: Node<'_>) -> Result<Option<i8>, ImportError> {
    let unsigned = i64::from(DataType::Uint8 as i32);
    let found = match node.int("output_dtype", 0)? {
        0 => unsigned,
        given => given,
    };
    let element = i32::try_from(found)
        .ok()
        .and_then(|found| DataType::try_from(found).ok());
    Ok(element.and_then(shift).map(|shift| -shift as i8))
}

/// DequantizeLinear of constants.
pub(super) fn dequantised(call: &Call<'_>) -> Result<Option<Constant>, ImportError> {
    let node = call.node;
    let is_known = |input: &Option<Value<'_>>| !matches!(input, Some(Value::Unknown(_)));
    if !call.inputs.iter().all(is_known) {
        return Ok(None);
    }
    let (from, scales) = (call.constant(0)?, call.constant(1)?);
    let zero_points = call.optional_constant(2)?;
    let integers = from.as_ints(node)?;
    let scales = scales.finite()?;
    if !scales.iter().all(|&scale| scale > 0.0) || node.int("block_size", 0)? != 0 {
        return Err(node.unsupported("its scales are in blocks, or not above zero"));
    }
    let (axis, stride) = channels(node, &from, scales.len())?;
    let zero_points = match &zero_points {
        Some(constant) if constant.values.len() == scales.len() => constant.as_ints(node)?,
        Some(_) => return Err(node.malformed("it has not as many zero points as scales")),
        None => &[0],
    };
    let each = |(at, &integer): (usize, &i64)| {
        let channel = at / stride % scales.len();
        let zero_point = zero_points[channel % zero_points.len()];
        (integer.saturating_sub(zero_point) as f64 * f64::from(scales[channel])) as f32
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
            scales: scales.to_vec(),
            axis,
            unfit: unfit(from.element, integers, zero_points),
        }),
    }))
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
fn unfit(element: DataType, integers: &[i64], zero_points: &[i64]) -> Option<&'static str> {
    if element != DataType::Int8 {
        Some("are not int8")
    } else if zero_points.iter().any(|&zero_point| zero_point != 0) {
        Some("are asymmetric (a zero point is not 0)")
    } else if integers.contains(&i64::from(i8::MIN)) {
        Some("reach -128")
    } else {
        None
    }
}
