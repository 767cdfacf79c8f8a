//! Evaluates nodes that depend on constants only: the arithmetic on shapes that exporters leave in the graph, and
//! biases that they compute there.

use std::path::Path;

use graft_onnx::proto::DataType;
use graft_onnx::tensor::{Tensor, Values};

use super::constant::{self, Constant};
use super::node::{Arithmetic, Node};
use super::shape;
use crate::import::error::ImportError;

/// Shapes and biases are small; a larger result is left unknown.
const MAX_RESULT: usize = 1 << 16;

/// The value of a Constant node.
pub(super) fn constant(node: Node<'_>, folder: &Path) -> Result<Option<Constant>, ImportError> {
    let mut value = if let Some(proto) = node.tensor("value")? {
        constant::load(proto, folder)?
    } else if let Some(values) = node.ints("value_ints")? {
        Constant::ints("", values.to_vec())
    } else if let Some(values) = node.floats("value_floats")? {
        floats(vec![values.len()], values.to_vec())
    } else if node.has("value_float") {
        floats(vec![], vec![node.float("value_float", 0.0)?])
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

fn floats(dims: Vec<usize>, values: Vec<f32>) -> Constant {
    Constant {
        name: String::new(),
        dims,
        values: Values::Float(values),
        element: DataType::Float,
        quantised: None,
    }
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
    let op = node.op();
    let result = match op.as_str() {
        "Cast" => return Ok(Some(cast(first, is_float(node.int("to", 0)?)))),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
            return with_dims(node, first, new_dims(node, &first.dims, second)?);
        }
        "Transpose" => transpose(node, first)?,
        "Slice" => slice(node, inputs)?,
        "Expand" => second.and_then(|to| expand(first, to)),
        "Gather" => second.and_then(|index| gather(first, index)),
        "Concat" => concat(inputs),
        "ConstantOfShape" => constant_of_shape(node, first)?,
        op => Arithmetic::of(op).and_then(|op| arithmetic(op, first, second?)),
    };
    Ok(result.map(|(dims, data)| Constant {
        name: node.output().to_owned(),
        dims,
        values: data,
        element: DataType::Undefined,
        quantised: None,
    }))
}

/// Dimensions and values of a result that is known.
type Folded = Option<(Vec<usize>, Values)>;

/// Whether this ONNX element type is a float.
pub(super) fn is_float(element: i64) -> bool {
    matches!(element, 1 | 10 | 11 | 16)
}

/// The constant as floats or as integers.
pub(super) fn cast(from: &Constant, to_float: bool) -> Constant {
    let values = match (&from.values, to_float) {
        (Values::Int(values), true) => Values::Float(values.iter().map(|&v| v as f32).collect()),
        (Values::Float(values), false) => Values::Int(values.iter().map(|&v| v as i64).collect()),
        (Values::Int(_), false) | (Values::Float(_), true) => from.values.clone(),
    };
    Constant {
        values,
        element: DataType::Undefined,
        ..from.clone()
    }
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

fn strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1) as isize;
    }
    strides
}

/// The values at `start + index * strides`, for every index within `dims`.
fn view(data: &Values, start: isize, dims: &[usize], strides: &[isize]) -> Option<Values> {
    let total = shape::count(dims).filter(|&total| total <= MAX_RESULT.max(data.len()))?;
    let at = |flat: usize| {
        let mut rest = flat;
        let mut at = start;
        for (&dim, &stride) in dims.iter().zip(strides).rev() {
            at += (rest % dim) as isize * stride;
            rest /= dim;
        }
        at as usize
    };
    Some(data.pick((0..total).map(at)))
}

fn transpose(node: Node<'_>, from: &Constant) -> Result<Folded, ImportError> {
    let order = shape::permutation(node.ints("perm")?, from.dims.len())
        .ok_or_else(|| node.malformed("perm is not a permutation"))?;
    let all = strides(&from.dims);
    let dims: Vec<usize> = order.iter().map(|&axis| from.dims[axis]).collect();
    let strides: Vec<isize> = order.iter().map(|&axis| all[axis]).collect();
    let data = view(&from.values, 0, &dims, &strides);
    Ok(data.map(|data| (dims, data)))
}

fn slice(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Folded, ImportError> {
    let [Some(from), Some(starts), Some(ends), rest @ ..] = inputs else {
        return Ok(None);
    };
    let (starts, ends) = (starts.as_ints(node)?, ends.as_ints(node)?);
    let list = |i: usize| rest.get(i).copied().flatten().map(|c| c.as_ints(node));
    let axes = match list(0) {
        Some(axes) => axes?.to_vec(),
        None => (0..starts.len() as i64).collect(),
    };
    if shape::axes(&axes, from.dims.len()).is_none() {
        return Err(node.malformed("its axes do not exist or repeat"));
    }
    let steps = list(1).transpose()?;
    let (mut dims, mut strides, mut start) = (from.dims.clone(), strides(&from.dims), 0);
    for (i, &axis) in axes.iter().enumerate() {
        let step = steps.map_or(Some(1), |steps| steps.get(i).copied());
        let bounds = (starts.get(i), ends.get(i), step);
        let (Some(axis), (Some(&first), Some(&last), Some(step))) =
            (shape::axis(axis, dims.len()), bounds)
        else {
            return Err(node.malformed("starts, ends, axes and steps do not match"));
        };
        let Some((first, count)) = span(first, last, step, dims[axis]) else {
            return Ok(None);
        };
        start += first as isize * strides[axis];
        strides[axis] *= step as isize;
        dims[axis] = count;
    }
    Ok(view(&from.values, start, &dims, &strides).map(|data| (dims, data)))
}

/// First index and number of indices of a slice.
fn span(first: i64, last: i64, step: i64, dim: usize) -> Option<(usize, usize)> {
    let dim = i64::try_from(dim).ok()?;
    if dim == 0 || step == 0 || step.unsigned_abs() > MAX_RESULT as u64 {
        return None;
    }
    let from_end = |i: i64| if i < 0 { i.saturating_add(dim) } else { i };
    let (first, last) = (from_end(first), from_end(last));
    let (first, length) = if step > 0 {
        let first = first.clamp(0, dim);
        (first, last.clamp(0, dim) - first)
    } else {
        let first = first.clamp(0, dim - 1);
        (first, first - last.clamp(-1, dim - 1))
    };
    let count = length.max(0) as u64;
    let count = count.div_ceil(step.unsigned_abs());
    Some((first as usize, count as usize))
}

fn expand(from: &Constant, to: &Constant) -> Folded {
    let Values::Int(target) = &to.values else {
        return None;
    };
    let rank = target.len().max(from.dims.len());
    let aligned = |axis: usize, len: usize| axis.checked_sub(rank - len);
    let own = strides(&from.dims);
    let mut dims = vec![1; rank];
    let mut strides = vec![0; rank];
    for axis in 0..rank {
        let old = aligned(axis, from.dims.len());
        let new = aligned(axis, target.len());
        let old_dim = old.map_or(1, |i| from.dims[i]);
        let new_dim = new.map_or(Some(1), |i| usize::try_from(target[i]).ok())?;
        dims[axis] = match (old_dim, new_dim) {
            (1, dim) | (dim, 1) => dim,
            (a, b) if a == b => a,
            _ => return None,
        };
        if old_dim != 1 {
            strides[axis] = own[old?];
        }
    }
    view(&from.values, 0, &dims, &strides).map(|data| (dims, data))
}

fn gather(from: &Constant, index: &Constant) -> Folded {
    let (Values::Int(wanted), [len]) = (&index.values, from.dims.as_slice()) else {
        return None;
    };
    let wanted: Vec<usize> = wanted
        .iter()
        .map(|&i| shape::axis(i, *len))
        .collect::<Option<_>>()?;
    Some((index.dims.clone(), from.values.pick(wanted.into_iter())))
}

fn concat(inputs: &[Option<&Constant>]) -> Folded {
    let mut all = Vec::new();
    for input in inputs {
        match input {
            Some(Constant { dims, values, .. }) if dims.len() == 1 => match values {
                Values::Int(values) => all.extend_from_slice(values),
                Values::Float(_) => return None,
            },
            _ => return None,
        }
    }
    (all.len() <= MAX_RESULT).then(|| (vec![all.len()], Values::Int(all)))
}

fn constant_of_shape(node: Node<'_>, shape: &Constant) -> Result<Folded, ImportError> {
    let dims: Option<Vec<usize>> = shape
        .as_ints(node)?
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect();
    let value = match node.tensor("value")? {
        Some(proto) => Tensor::read(proto, None)?.values,
        None => Values::Float(vec![0.0]),
    };
    let filled = dims.filter(|_| value.len() == 1).and_then(|dims| {
        let strides = vec![0; dims.len()];
        view(&value, 0, &dims, &strides).map(|data| (dims, data))
    });
    Ok(filled)
}

fn arithmetic(op: Arithmetic, a: &Constant, b: &Constant) -> Folded {
    // One shape, or one value and a shape: all that shape arithmetic needs of broadcasting.
    let is_scalar =
        |c: &Constant, other: &Constant| c.values.len() == 1 && c.dims.len() <= other.dims.len();
    let dims = match (is_scalar(a, b), is_scalar(b, a)) {
        (true, _) => &b.dims,
        (_, true) => &a.dims,
        _ if a.dims == b.dims => &a.dims,
        _ => return None,
    };
    let total = shape::count(dims).filter(|&total| total <= MAX_RESULT)?;
    let data = match (&a.values, &b.values) {
        (Values::Int(a), Values::Int(b)) => {
            let value = |i: usize| {
                let (a, b) = (a[i % a.len()], b[i % b.len()]);
                match op {
                    Arithmetic::Add => a.checked_add(b),
                    Arithmetic::Sub => a.checked_sub(b),
                    Arithmetic::Mul => a.checked_mul(b),
                    Arithmetic::Div => a.checked_div(b),
                }
            };
            Values::Int((0..total).map(value).collect::<Option<_>>()?)
        }
        (Values::Float(a), Values::Float(b)) => {
            let value = |i: usize| {
                let (a, b) = (a[i % a.len()], b[i % b.len()]);
                match op {
                    Arithmetic::Add => a + b,
                    Arithmetic::Sub => a - b,
                    Arithmetic::Mul => a * b,
                    Arithmetic::Div => a / b,
                }
            };
            Values::Float((0..total).map(value).collect())
        }
        (Values::Int(_), Values::Float(_)) | (Values::Float(_), Values::Int(_)) => return None,
    };
    Some((dims.clone(), data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize) -> Constant {
        let mut constant = Constant::ints("m", (0..(rows * columns) as i64).collect());
        constant.dims = vec![rows, columns];
        constant
    }

    #[test]
    fn spans_clamp_as_onnx_says() {
        assert_eq!(span(0, i64::MAX, 1, 4), Some((0, 4)));
        assert_eq!(span(-1, i64::MIN + 1, -1, 4), Some((3, 4)));
        assert_eq!(span(1, 4, 2, 4), Some((1, 2)));
        assert_eq!(span(3, 1, 1, 4), Some((3, 0)));
        assert_eq!(span(0, 4, 0, 4), None);
        assert_eq!(span(0, 4, i64::MIN, 4), None);
    }

    #[test]
    fn broadcasting_repeats_values() {
        let (dims, data) = expand(&matrix(2, 1), &Constant::ints("to", vec![2, 1, 2])).unwrap();
        assert_eq!(dims, [2, 2, 2]);
        assert!(matches!(data, Values::Int(v) if v == [0, 0, 1, 1, 0, 0, 1, 1]));
        assert!(expand(&matrix(2, 2), &Constant::ints("to", vec![1 << 40])).is_none());
        assert!(expand(&matrix(2, 2), &Constant::ints("to", vec![-1])).is_none());
    }

    #[test]
    fn integer_arithmetic_never_overflows() {
        let (a, zero) = (
            Constant::ints("a", vec![i64::MAX]),
            Constant::ints("b", vec![0]),
        );
        assert!(arithmetic(Arithmetic::Add, &a, &a).is_none());
        assert!(arithmetic(Arithmetic::Div, &a, &zero).is_none());
        assert!(arithmetic(Arithmetic::Sub, &a, &a).is_some());
    }
}
