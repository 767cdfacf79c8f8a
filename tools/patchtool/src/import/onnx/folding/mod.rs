//! Evaluates nodes that depend on constants only: the arithmetic on shapes that exporters leave in the graph (sizes,
//! pads), and biases and weights that they compute there.

use std::path::Path;

use graft_onnx::proto::DataType;
use graft_onnx::tensor::Values;

use super::constant::{self, Constant};
use super::node::Node;
use super::shape;
use crate::import::error::ImportError;

mod elementwise;
mod number;
mod selection;

pub(super) use number::{cast, is_float};

/// Shapes and biases are small; a result that is larger, and larger than what it is made of, is left unknown.
const MAX_RESULT: usize = 1 << 16;

/// Dimensions and values of a result that is known.
type Folded = Option<(Vec<usize>, Values)>;

/// The value of a Constant node.
pub(super) fn constant(node: Node<'_>, folder: &Path) -> Result<Option<Constant>, ImportError> {
    let mut value = if let Some(proto) = node.tensor("value")? {
        constant::load(proto, folder)?
    } else if let Some(values) = node.ints("value_ints")? {
        Constant::ints("", values.to_vec())
    } else if let Some(values) = node.floats("value_floats")? {
        Constant::floats(vec![values.len()], values.to_vec())
    } else if node.has("value_float") {
        Constant::floats(vec![], vec![node.float("value_float", 0.0)?])
    } else if node.has("value_int") {
        let mut value = Constant::ints("", vec![node.int("value_int", 0)?]);
        value.dims.clear();
        value
    } else {
        return Ok(None);
    };
    node.output().clone_into(&mut value.name);
    Ok(Some(value))
}

/// The result of a node on constants, or `None` where it isn't known at import.
pub(super) fn evaluate(
    node: Node<'_>,
    inputs: &[Option<&Constant>],
) -> Result<Option<Constant>, ImportError> {
    let Some(&Some(first)) = inputs.first() else {
        return Ok(None);
    };
    let second = inputs.get(1).copied().flatten();
    let mut element = first.element;
    let folded = match node.op().as_str() {
        "Cast" => return Ok(cast(first, node.int("to", 0)?)),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
            return with_dims(node, first, new_dims(node, &first.dims, second)?);
        }
        "Transpose" => selection::transpose(node, first)?,
        "Slice" => selection::slice(node, inputs)?,
        "Expand" => second.and_then(|to| selection::expand(first, to)),
        "Gather" => selection::gather(node, first, second)?,
        "Concat" => selection::concat(node, inputs)?,
        "Range" => selection::range(inputs),
        "ConstantOfShape" => {
            let value = match node.tensor("value")? {
                Some(proto) => constant::load(proto, Path::new(""))?,
                None => Constant::floats(vec![1], vec![0.0]),
            };
            element = value.element;
            selection::filled(&value, first, node)?
        }
        "Size" => {
            element = DataType::Int64;
            shape::count(&first.dims).map(|count| (vec![], Values::Int(vec![count as i64])))
        }
        op => {
            element = elementwise::element(op, inputs);
            elementwise::evaluate(node, first, inputs)?
        }
    };
    let fits = |(_, values): &(Vec<usize>, Values)| number::fit(element, values);
    Ok(folded.filter(fits).map(|(dims, values)| Constant {
        name: node.output().to_owned(),
        dims,
        values,
        element,
        quantised: None,
    }))
}

/// The dimensions behind a shape-changing node; `None` where that isn't known or impossible.
pub(super) fn new_dims(
    node: Node<'_>,
    dims: &[usize],
    second: Option<&Constant>,
) -> Result<Option<Vec<usize>>, ImportError> {
    // Axes were attributes before opset 13, and the shape before opset 5.
    let given = match second {
        Some(constant) => Some(constant.as_ints(node)?),
        None if node.op() == "Reshape" => node.ints("shape")?,
        None => node.ints("axes")?,
    };
    Ok(match (node.op().as_str(), given) {
        ("Reshape", Some(target)) => shape::reshape(dims, target, node.int("allowzero", 0)? != 0),
        ("Squeeze", axes) => shape::squeeze(dims, axes),
        ("Unsqueeze", Some(axes)) => shape::unsqueeze(dims, axes),
        ("Flatten", _) => shape::flatten(dims, node.int("axis", 1)?),
        _ => None,
    })
}

fn with_dims(
    node: Node<'_>,
    from: &Constant,
    dims: Option<Vec<usize>>,
) -> Result<Option<Constant>, ImportError> {
    let impossible = || node.malformed(format!("cannot reshape a constant {:?}", from.dims));
    Ok(Some(Constant {
        dims: dims.ok_or_else(impossible)?,
        quantised: None,
        ..from.clone()
    }))
}
