//! Nodes that move no values: reshapes of a vector, changes between NCHW and NHWC, and padding.

use super::folding;
use super::node::Node;
use super::shape;
use super::value::{Call, Value, View};
use super::walk::Walk;
use super::window;
use crate::import::error::ImportError;

impl<'a> Walk<'a> {
    pub(super) fn reshape(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = call.padded_view(0)?;
        let is_unknown = matches!(call.inputs.get(1), Some(Some(Value::Unknown(_))));
        let dims = if is_unknown && view.is_vector() {
            // Whatever computes the shape, a vector of channels has only one use: as the row of a linear layer.
            Some(vec![1, view.channels()])
        } else {
            folding::new_dims(node, &view.dims, call.optional_constant(1)?.as_deref())?
        };
        let dims =
            dims.ok_or_else(|| node.malformed(format!("it cannot reshape {:?}", view.dims)))?;
        if dims == view.dims {
            return Ok(view);
        }
        if let Some(channel_axis) = grey_axis(&view, &dims) {
            return Ok(View {
                dims,
                channel_axis,
                ..view
            });
        }
        let view = call.view(0)?;
        let channels = view.channels();
        let axis = dims.iter().rposition(|&dim| dim == channels);
        match axis.filter(|_| view.is_vector()) {
            Some(channel_axis) => Ok(View {
                dims,
                channel_axis,
                ..view
            }),
            None => Err(node.unsupported(format!(
                "it reshapes {:?} to {dims:?}, expected one pixel",
                view.dims
            ))),
        }
    }

    pub(super) fn transpose(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = call.padded_view(0)?;
        let order = shape::permutation(node.ints("perm")?, view.dims.len())
            .ok_or_else(|| node.malformed("perm is not a permutation"))?;
        let dims = order.iter().map(|&axis| view.dims[axis]).collect();
        let channel_axis = order
            .iter()
            .position(|&axis| axis == view.channel_axis)
            .unwrap_or_default();
        let rest: Vec<usize> = order
            .iter()
            .copied()
            .filter(|&a| a != view.channel_axis)
            .collect();
        // Rows stay before columns, so the image itself stays as it is.
        let keeps_pixels = order.first() == Some(&0) && rest.is_sorted();
        if !keeps_pixels && !view.is_vector() {
            return Err(node.unsupported(format!(
                "perm {order:?} of {:?}, expected NCHW to NHWC or back",
                view.dims
            )));
        }
        Ok(View {
            dims,
            channel_axis,
            ..view
        })
    }

    pub(super) fn pad(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = call.padded_view(0)?;
        let pads = pads(call, view.dims.len())?;
        if pads.iter().all(|&pad| pad == 0) {
            return Ok(view);
        }
        if node.text("mode")?.unwrap_or("constant") != "constant" || fill(call)? != 0.0 {
            return Err(node.unsupported("expected constant padding with zeros"));
        }
        let rank = view.dims.len();
        let Some([rows, columns]) = view.spatial_axes() else {
            return Err(node.unsupported(format!("it pads {:?}, expected an image", view.dims)));
        };
        let is_spatial = |i: usize| [rows, columns].contains(&(i % rank));
        if (0..pads.len()).any(|i| pads[i] != 0 && !is_spatial(i)) {
            return Err(node.unsupported("it pads more than height and width"));
        }
        let mut sides = view.padding.map_or([0; 4], |(sides, _)| sides);
        let added = [
            pads[rows],
            pads[columns],
            pads[rank + rows],
            pads[rank + columns],
        ];
        for (side, added) in sides.iter_mut().zip(added) {
            *side = window::extent(node, added + *side as i64, 0)?;
        }
        let mut dims = view.dims.clone();
        dims[rows] += (added[0] + added[2]) as usize;
        dims[columns] += (added[1] + added[3]) as usize;
        Ok(View {
            dims,
            padding: Some((sides, node)),
            ..view
        })
    }
}

/// The axis of an image's only channel in a shape that keeps the rows and columns.
fn grey_axis(view: &View<'_>, dims: &[usize]) -> Option<usize> {
    let [rows, columns] = view.spatial_axes()?.map(|axis| view.dims[axis]);
    if view.channels() != 1 || view.is_vector() {
        None
    } else if dims == [1, 1, rows, columns] {
        Some(1)
    } else if dims == [1, rows, columns, 1] {
        Some(3)
    } else {
        None
    }
}

/// Zeros before each axis, then behind each axis.
fn pads(call: &Call<'_>, rank: usize) -> Result<Vec<i64>, ImportError> {
    let node = call.node;
    let given = call.optional_constant(1)?;
    let pads = match &given {
        Some(constant) => constant.as_ints(node)?,
        None => node.ints("pads")?.unwrap_or_default(),
    };
    let axes = match call.optional_constant(3)? {
        Some(axes) => shape::ordered_axes(axes.as_ints(node)?, rank),
        None => Some((0..rank).collect()),
    };
    let axes = axes.filter(|axes| axes.len() * 2 == pads.len());
    let axes = axes.ok_or_else(|| node.malformed("pads and axes do not match its input"))?;
    let mut all = vec![0; rank * 2];
    for (i, &axis) in axes.iter().enumerate() {
        all[axis] = checked(node, pads[i])?;
        all[rank + axis] = checked(node, pads[axes.len() + i])?;
    }
    Ok(all)
}

fn checked(node: Node<'_>, pad: i64) -> Result<i64, ImportError> {
    if pad < 0 {
        return Err(node.unsupported("it crops (a pad is negative)"));
    }
    Ok(window::extent(node, pad, 0)? as i64)
}

fn fill(call: &Call<'_>) -> Result<f32, ImportError> {
    match call.optional_constant(2)? {
        Some(constant) => constant.scalar(call.node),
        None => call.node.float("value", 0.0),
    }
}
