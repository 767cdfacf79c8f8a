//! Nodes that pick values of constants, or put them side by side.

use graft_onnx::tensor::Values;

use super::{Constant, Folded, MAX_RESULT, Node, shape};
use crate::import::error::ImportError;

fn strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1) as isize;
    }
    strides
}

/// The values at `start + index * strides`, for every index within `dims`; none where those are more than [`MAX_RESULT`]
/// and more than `limit`.
fn view(
    data: &Values,
    start: isize,
    dims: &[usize],
    strides: &[isize],
    limit: usize,
) -> Option<Values> {
    let total = shape::count(dims).filter(|&total| total <= MAX_RESULT.max(limit))?;
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

pub(super) fn transpose(node: Node<'_>, from: &Constant) -> Result<Folded, ImportError> {
    let order = shape::permutation(node.ints("perm")?, from.dims.len())
        .ok_or_else(|| node.malformed("perm is not a permutation"))?;
    let dims = order.iter().map(|&axis| from.dims[axis]).collect();
    Ok(ordered(from, &order).map(|values| (dims, values)))
}

/// The values with the axes in this order.
pub(super) fn ordered(from: &Constant, order: &[usize]) -> Option<Values> {
    let all = strides(&from.dims);
    let dims: Vec<usize> = order.iter().map(|&axis| from.dims[axis]).collect();
    let strides: Vec<isize> = order.iter().map(|&axis| all[axis]).collect();
    view(&from.values, 0, &dims, &strides, from.values.len())
}

pub(super) fn slice(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Folded, ImportError> {
    let Some(&Some(from)) = inputs.first() else {
        return Ok(None);
    };
    // Attributes before opset 10.
    let list = |index: usize, name: &str| match inputs.get(index).copied().flatten() {
        Some(constant) => constant.as_ints(node).map(Some),
        None => node.ints(name),
    };
    let (Some(starts), Some(ends)) = (list(1, "starts")?, list(2, "ends")?) else {
        return Err(node.malformed("starts or ends are missing"));
    };
    let axes = match list(3, "axes")? {
        Some(axes) => axes.to_vec(),
        None => (0..starts.len() as i64).collect(),
    };
    let steps = list(4, "steps")?;
    if shape::axes(&axes, from.dims.len()).is_none() {
        return Err(node.malformed("its axes do not exist or repeat"));
    }
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
    let limit = from.values.len();
    Ok(view(&from.values, start, &dims, &strides, limit).map(|data| (dims, data)))
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

pub(super) fn expand(from: &Constant, to: &Constant) -> Folded {
    let Values::Int(target) = &to.values else {
        return None;
    };
    let target: Option<Vec<usize>> = target
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect();
    let dims = broadcast_dims(&from.dims, &target?)?;
    Some((dims.clone(), broadcast(from, &dims, from.values.len())?))
}

/// The shape that both shapes are broadcast to.
pub(super) fn broadcast_dims(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |dims: &[usize], axis: usize| {
        let own = axis.checked_sub(rank - dims.len());
        own.map_or(1, |own| dims[own])
    };
    let each = |axis| match (dim(a, axis), dim(b, axis)) {
        (1, dim) | (dim, 1) => Some(dim),
        (a, b) => (a == b).then_some(a),
    };
    (0..rank).map(each).collect()
}

/// The values broadcast to a shape of [`broadcast_dims`], which has at most `limit` values where that is much.
pub(super) fn broadcast(from: &Constant, dims: &[usize], limit: usize) -> Option<Values> {
    let own = strides(&from.dims);
    let leading = dims.len().checked_sub(from.dims.len())?;
    let stride = |axis: usize| match axis.checked_sub(leading) {
        Some(axis) if from.dims[axis] != 1 => own[axis],
        _ => 0,
    };
    let strides: Vec<isize> = (0..dims.len()).map(stride).collect();
    view(&from.values, 0, dims, &strides, limit)
}

pub(super) fn gather(
    node: Node<'_>,
    from: &Constant,
    index: Option<&Constant>,
) -> Result<Folded, ImportError> {
    let Some(index) = index else {
        return Ok(None);
    };
    let axis = shape::axis(node.int("axis", 0)?, from.dims.len())
        .ok_or_else(|| node.malformed("its axis does not exist"))?;
    let (before, len, behind) = around(&from.dims, axis);
    let wanted = index.as_ints(node)?.iter();
    let wanted: Vec<usize> = wanted
        .map(|&i| shape::axis(i, len))
        .collect::<Option<_>>()
        .ok_or_else(|| node.malformed(format!("an index is not within {len}")))?;
    let dims = [&from.dims[..axis], &index.dims, &from.dims[axis + 1..]].concat();
    let before = match shape::count(&dims) {
        // However many rows nothing has.
        Some(0) => 0,
        Some(total) if total <= MAX_RESULT.max(from.values.len()) => before,
        Some(_) | None => return Ok(None),
    };
    let block = |start: usize| start * behind..(start + 1) * behind;
    let wanted = &wanted;
    let at = (0..before).flat_map(|row| wanted.iter().flat_map(move |i| block(row * len + i)));
    Ok(Some((dims, from.values.pick(at))))
}

/// The values before an axis, along it and behind it.
fn around(dims: &[usize], axis: usize) -> (usize, usize, usize) {
    let before = dims[..axis].iter().product();
    (before, dims[axis], dims[axis + 1..].iter().product())
}

pub(super) fn concat(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Folded, ImportError> {
    let Some(inputs): Option<Vec<&Constant>> = inputs.iter().copied().collect() else {
        return Ok(None);
    };
    let mismatch = || node.malformed("its inputs do not have one type, or shapes that match");
    let rank = inputs.first().map_or(0, |first| first.dims.len());
    let axis = shape::axis(node.int("axis", 0)?, rank).ok_or_else(mismatch)?;
    let mut dims = inputs[0].dims.clone();
    dims[axis] = 0;
    for input in &inputs {
        let mut own = input.dims.clone();
        if own.len() != rank {
            return Err(mismatch());
        }
        dims[axis] += std::mem::replace(&mut own[axis], dims[axis]);
        if own[..axis] != dims[..axis] || own[axis + 1..] != dims[axis + 1..] {
            return Err(mismatch());
        }
    }
    let rows: usize = match shape::count(&dims) {
        Some(0) => return Ok(Some((dims, inputs[0].values.pick(0..0)))),
        Some(total) if total <= MAX_RESULT => dims[..axis].iter().product(),
        Some(_) | None => return Ok(None),
    };
    let chunk = |input: &Constant| input.values.len() / rows.max(1);
    let mut all: Option<Values> = None;
    for row in 0..rows {
        for input in &inputs {
            let chunk = chunk(input);
            let part = input.values.pick(row * chunk..(row + 1) * chunk);
            match (&mut all, part) {
                (None, part) => all = Some(part),
                (Some(Values::Int(all)), Values::Int(part)) => all.extend(part),
                (Some(Values::Float(all)), Values::Float(part)) => all.extend(part),
                (Some(_), _) => return Err(mismatch()),
            }
        }
    }
    Ok(all.map(|all| (dims, all)))
}

/// Numbers from the first input up to the second, by steps of the third.
pub(super) fn range(inputs: &[Option<&Constant>]) -> Folded {
    let [Some(start), Some(limit), Some(step)] = inputs else {
        return None;
    };
    let (Values::Int(start), Values::Int(limit), Values::Int(step)) =
        (&start.values, &limit.values, &step.values)
    else {
        return None;
    };
    let ([start], [limit], [step]) = (start.as_slice(), limit.as_slice(), step.as_slice()) else {
        return None;
    };
    let length = i128::from(*limit) - i128::from(*start);
    let count = match length.checked_div(i128::from(*step))? {
        whole
            if length % i128::from(*step) != 0 && length.signum() == i128::from(step.signum()) =>
        {
            whole + 1
        }
        whole => whole.max(0),
    };
    let count = usize::try_from(count)
        .ok()
        .filter(|&count| count <= MAX_RESULT)?;
    let values = (0..count as i64)
        .map(|at| start.wrapping_add(at.wrapping_mul(*step)))
        .collect();
    Some((vec![count], Values::Int(values)))
}

/// One value, in a tensor of this shape.
pub(super) fn filled(
    value: &Constant,
    shape: &Constant,
    node: Node<'_>,
) -> Result<Folded, ImportError> {
    let dims = shape.as_ints(node)?.iter();
    let dims: Option<Vec<usize>> = dims.map(|&dim| usize::try_from(dim).ok()).collect();
    Ok(dims.filter(|_| value.values.len() == 1).and_then(|dims| {
        let strides = vec![0; dims.len()];
        view(&value.values, 0, &dims, &strides, 0).map(|data| (dims, data))
    }))
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
}
