//! Sliding windows: kernel, strides and padding of Conv and the pools.

use graft_patches::geometry::{Padding, Shape, Window};

use super::node::Node;
use crate::import::error::ImportError;

/// Larger kernels, strides and pads are taken for damage.
const MAX_EXTENT: i64 = 4096;

/// The window of a node; `extra` are zeros that a Pad node put around the input: top, left, bottom, right.
pub(super) fn window(
    node: Node<'_>,
    kernel: [usize; 2],
    extra: [usize; 4],
    input: Shape,
) -> Result<Window, ImportError> {
    if pair(node, "dilations")? != [1, 1] {
        return Err(node.unsupported("it is dilated"));
    }
    let stride = pair(node, "strides")?;
    Ok(Window {
        kernel,
        stride,
        padding: padding(node, kernel, stride, extra, input)?,
    })
}

/// The attribute `kernel_shape`.
pub(super) fn kernel(node: Node<'_>) -> Result<Option<[usize; 2]>, ImportError> {
    node.has("kernel_shape")
        .then(|| pair(node, "kernel_shape"))
        .transpose()
}

/// Zeros that the node's own padding puts on the four sides.
pub(super) fn sides(padding: Padding) -> Option<[usize; 4]> {
    match padding {
        Padding::Explicit {
            top,
            left,
            bottom,
            right,
        } => Some([top, left, bottom, right]),
        Padding::Same => None,
    }
}

/// Padding of these four sides: top, left, bottom, right.
pub(super) fn explicit([top, left, bottom, right]: [usize; 4]) -> Padding {
    Padding::Explicit {
        top,
        left,
        bottom,
        right,
    }
}

/// A size within sensible limits.
pub(super) fn extent(node: Node<'_>, value: i64, least: i64) -> Result<usize, ImportError> {
    if (least..=MAX_EXTENT).contains(&value) {
        return Ok(value as usize);
    }
    Err(node.malformed(format!(
        "found the size {value}, expected {least} to {MAX_EXTENT}"
    )))
}

fn pair(node: Node<'_>, name: &str) -> Result<[usize; 2], ImportError> {
    match node.ints(name)? {
        None => Ok([1, 1]),
        Some(&[vertical, horizontal]) => {
            Ok([extent(node, vertical, 1)?, extent(node, horizontal, 1)?])
        }
        Some(other) => {
            Err(node.unsupported(format!("{name} has {} values, expected 2", other.len())))
        }
    }
}

fn padding(
    node: Node<'_>,
    kernel: [usize; 2],
    stride: [usize; 2],
    extra: [usize; 4],
    input: Shape,
) -> Result<Padding, ImportError> {
    match node.text("auto_pad")?.unwrap_or("NOTSET") {
        "SAME_UPPER" if extra == [0; 4] => Ok(Padding::Same),
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            let mut sides = extra;
            for (axis, size) in [input.height, input.width].into_iter().enumerate() {
                let size = size + extra[axis] + extra[axis + 2];
                let last = size.div_ceil(stride[axis]).saturating_sub(1) * stride[axis];
                let all = (last + kernel[axis]).saturating_sub(size);
                let (before, behind) = match same {
                    "SAME_LOWER" => (all.div_ceil(2), all / 2),
                    _ => (all / 2, all.div_ceil(2)),
                };
                sides[axis] += before;
                sides[axis + 2] += behind;
            }
            Ok(explicit(sides))
        }
        "VALID" => Ok(explicit(extra)),
        "NOTSET" | "" => {
            let own = match node.ints("pads")? {
                None => &[0; 4],
                Some(pads) => <&[i64; 4]>::try_from(pads)
                    .map_err(|_| node.unsupported("pads has not 4 values"))?,
            };
            let mut sides = extra;
            for (side, &own) in sides.iter_mut().zip(own) {
                *side += extent(node, own, 0)?;
            }
            Ok(explicit(sides))
        }
        other => Err(node.unsupported(format!("auto_pad {other}"))),
    }
}
