//! Arithmetic on tensor dimensions: what Reshape, Squeeze, Unsqueeze and Flatten make of a shape.

/// An axis that may count from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 {
        axis.checked_add_unsigned(rank as u64)?
    } else {
        axis
    };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// Axes that may count from the end, each at most once, in the order given.
pub(super) fn ordered_axes(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let found: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
    let is_new = |(i, axis): (usize, &usize)| !found[..i].contains(axis);
    found.iter().enumerate().all(is_new).then_some(found)
}

/// Axes that may count from the end, each at most once, in ascending order.
pub(super) fn axes(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let mut found = ordered_axes(axes, rank)?;
    found.sort_unstable();
    Some(found)
}

/// Number of values, if it can be counted. A zero does not hide an overflow of the other dimensions.
pub(super) fn count(dims: &[usize]) -> Option<usize> {
    let total = dims
        .iter()
        .try_fold(1usize, |total, &dim| total.checked_mul(dim.max(1)))?;
    Some(if dims.contains(&0) { 0 } else { total })
}

/// Reshape: 0 copies a dimension (unless `allow_zero`), one -1 is inferred.
pub(super) fn reshape(dims: &[usize], target: &[i64], allow_zero: bool) -> Option<Vec<usize>> {
    let total = count(dims)?;
    let mut inferred = None;
    let mut shape = Vec::with_capacity(target.len());
    for (i, &dim) in target.iter().enumerate() {
        shape.push(match dim {
            -1 if inferred.replace(i).is_none() => 1,
            0 if !allow_zero => *dims.get(i)?,
            _ => usize::try_from(dim).ok()?,
        });
    }
    if let Some(i) = inferred {
        shape[i] = total.checked_div(count(&shape)?)?;
    }
    (count(&shape)? == total).then_some(shape)
}

/// Squeeze: drops these axes, which must be 1, or all that are 1.
pub(super) fn squeeze(dims: &[usize], dropped: Option<&[i64]>) -> Option<Vec<usize>> {
    let dropped = match dropped {
        Some(dropped) => axes(dropped, dims.len())?,
        None => (0..dims.len()).filter(|&i| dims[i] == 1).collect(),
    };
    if dropped.iter().any(|&i| dims[i] != 1) {
        return None;
    }
    let kept = (0..dims.len()).filter(|i| !dropped.contains(i));
    Some(kept.map(|i| dims[i]).collect())
}

/// Unsqueeze: puts a 1 at these axes of the result.
pub(super) fn unsqueeze(dims: &[usize], added: &[i64]) -> Option<Vec<usize>> {
    let added = axes(added, dims.len() + added.len())?;
    let mut shape = dims.to_vec();
    for &i in &added {
        shape.insert(i, 1);
    }
    Some(shape)
}

/// Flatten: two dimensions, split before `at`.
pub(super) fn flatten(dims: &[usize], at: i64) -> Option<Vec<usize>> {
    let at = axis(at, dims.len() + 1)?;
    Some(vec![count(&dims[..at])?, count(&dims[at..])?])
}

/// The order of axes that a Transpose asks for; reversed by default.
pub(super) fn permutation(perm: Option<&[i64]>, rank: usize) -> Option<Vec<usize>> {
    let Some(perm) = perm else {
        return Some((0..rank).rev().collect());
    };
    ordered_axes(perm, rank).filter(|order| order.len() == rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_follow_the_onnx_rules() {
        assert_eq!(reshape(&[1, 8, 1, 1], &[0, -1], false), Some(vec![1, 8]));
        assert_eq!(reshape(&[1, 8], &[-1, 4], true), Some(vec![2, 4]));
        assert_eq!(reshape(&[1, 8], &[-1, -1], false), None);
        assert_eq!(reshape(&[1, 8], &[-1, 0], true), None);
        assert_eq!(reshape(&[1, 8], &[3, -1], false), None);
        assert_eq!(squeeze(&[1, 8, 1, 1], Some(&[-1, 2])), Some(vec![1, 8]));
        assert_eq!(squeeze(&[1, 8, 1, 1], Some(&[1])), None);
        assert_eq!(squeeze(&[1, 8, 1], None), Some(vec![8]));
        assert_eq!(unsqueeze(&[1, 8], &[2, -1]), Some(vec![1, 8, 1, 1]));
        assert_eq!(unsqueeze(&[1, 8], &[2, 2]), None);
        assert_eq!(flatten(&[1, 8, 1, 1], 1), Some(vec![1, 8]));
        assert_eq!(flatten(&[2, 3], -3), Some(vec![1, 6]));
        assert_eq!(flatten(&[2, 3], 9), None);
        assert_eq!(permutation(Some(&[0, 2, 2, 1]), 4), None);
        assert_eq!(permutation(None, 3), Some(vec![2, 1, 0]));
        assert_eq!(axis(i64::MIN, 4), None);
        assert_eq!(reshape(&[0], &[0, 1 << 40, 1 << 40], true), None);
    }
}
