//! Pools, and means over all pixels however they are spelled.

use graft_patches::geometry::{Padding, Shape, Window};

use super::affine::Affine;
use super::convolution::output_size;
use super::node::Node;
use super::shape;
use super::value::{Call, View};
use super::walk::Walk;
use super::window;
use crate::import::error::ImportError;
use crate::import::graph::Op;

impl<'a> Walk<'a> {
    pub(super) fn global_average_pool(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = self.fused(call.view(0)?)?;
        match view.spatial_axes() {
            Some(axes) => self.mean(call.node, view, &axes, true),
            None => Err(call.node.unsupported(format!(
                "its input has shape {:?}, expected an image",
                view.dims
            ))),
        }
    }

    /// The mean over height and width, at once or one after the other.
    pub(super) fn reduce_mean(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = call.any_view(0)?;
        let view = match view.mean {
            Some(_) => view,
            None => self.fused(call.view(0)?)?,
        };
        let given = call.optional_constant(1)?;
        let axes = match &given {
            Some(constant) => Some(constant.as_ints(node)?),
            None => node.ints("axes")?,
        };
        let axes = axes.and_then(|axes| shape::axes(axes, view.dims.len()));
        let keeps_dims = node.int("keepdims", 1)? != 0;
        let open: Vec<usize> = match (view.mean, view.spatial_axes()) {
            (Some((other, _)), _) => vec![other],
            (None, Some(spatial)) => spatial.into(),
            (None, None) => vec![],
        };
        match axes.as_deref() {
            Some(axes) if !axes.is_empty() && axes == open => {
                self.mean(node, view, axes, keeps_dims)
            }
            Some(&[axis]) if view.mean.is_none() && open.contains(&axis) => {
                let other = open.iter().sum::<usize>() - axis;
                let is_moved = !keeps_dims && axis < other;
                let (dims, channel_axis) = reduced(&view, &[axis], keeps_dims);
                Ok(View {
                    dims,
                    channel_axis,
                    mean: Some((other - usize::from(is_moved), node)),
                    ..view
                })
            }
            axes => Err(node.unsupported(format!(
                "it reduces axes {axes:?} of {:?}, expected height and width",
                view.dims
            ))),
        }
    }

    pub(super) fn average_pool(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let mut view = self.fused(call.padded_view(0)?)?;
        let input = self.builder.shape(&view);
        let extra = view.padding.take().map_or([0; 4], |(sides, _)| sides);
        let own = pool_window(node, [0; 4], input)?;
        let is_own_counted =
            node.int("count_include_pad", 0)? != 0 || own.padding == Padding::VALID;
        // Zeros of a Pad node are values like any other, so they count.
        if extra != [0; 4] && !is_own_counted {
            return Err(node.unsupported("it pads a padded input and leaves only its own out"));
        }
        let is_counted = is_own_counted && (extra != [0; 4] || own.padding != Padding::VALID);
        let window = pool_window(node, extra, input)?;
        let is_global = window.padding == Padding::VALID
            && window.kernel == [input.height, input.width]
            && view.spatial_axes() == Some([2, 3]);
        if is_global {
            return self.mean(node, view, &[2, 3], true);
        }
        let op = Op::AveragePool(window, is_counted);
        self.pool(node, view, op, window)
    }

    pub(super) fn max_pool(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = self.fused(call.view(0)?)?;
        let window = pool_window(call.node, [0; 4], self.builder.shape(&view))?;
        self.pool(call.node, view, Op::MaxPool(window), window)
    }

    /// The mean over all pixels, which the last of these axes completes. A map of the channels stays pending: the mean of
    /// what it makes is what it makes of the mean.
    fn mean(
        &mut self,
        node: Node<'a>,
        mut view: View<'a>,
        axes: &[usize],
        keeps_dims: bool,
    ) -> Result<View<'a>, ImportError> {
        let affine = view.affine.take();
        let (dims, axis) = reduced(&view, axes, keeps_dims);
        let shape = Shape::new(1, 1, view.channels());
        let mean = self.push(node, Op::GlobalAveragePool, &[&view], shape, dims, axis)?;
        Ok(View { affine, ..mean })
    }

    fn pool(
        &mut self,
        node: Node<'a>,
        mut view: View<'a>,
        op: Op,
        window: Window,
    ) -> Result<View<'a>, ImportError> {
        if view.spatial_axes() != Some([2, 3]) {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected [1, channels, height, width]",
                view.dims
            )));
        }
        let input = self.builder.shape(&view);
        check_pads(node, window)?;
        let [height, width] = output_size(node, window, input)?;
        check_ceil(node, window, input)?;
        let shape = Shape::new(height, width, input.channels);
        let dims = vec![1, input.channels, height, width];
        let commutes = |(affine, _): &mut (Affine, Node<'_>)| match op {
            Op::AveragePool(_, counts_zeros) => !counts_zeros,
            // The greatest stays the greatest.
            Op::MaxPool(_) => affine.scale.iter().all(|&scale| scale > 0.0),
            Op::Conv(..)
            | Op::Depthwise(..)
            | Op::Pointwise(_)
            | Op::Linear(_)
            | Op::Add
            | Op::Multiply
            | Op::GlobalAveragePool => false,
        };
        let affine = view.affine.take_if(commutes);
        let view = self.map_as_layer(view)?;
        let pooled = self.push(node, op, &[&view], shape, dims, 1)?;
        Ok(View { affine, ..pooled })
    }
}

/// Dimensions and channel axis behind a reduction.
fn reduced(view: &View<'_>, axes: &[usize], keeps_dims: bool) -> (Vec<usize>, usize) {
    let mut dims = view.dims.clone();
    if keeps_dims {
        axes.iter().for_each(|&axis| dims[axis] = 1);
        return (dims, view.channel_axis);
    }
    let kept = |axis: &usize| !axes.contains(axis);
    let channel_axis = (0..view.channel_axis).filter(kept).count();
    let dims = (0..dims.len()).filter(kept).map(|axis| dims[axis]);
    (dims.collect(), channel_axis)
}

fn pool_window(node: Node<'_>, extra: [usize; 4], input: Shape) -> Result<Window, ImportError> {
    let kernel =
        window::kernel(node)?.ok_or_else(|| node.malformed("attribute kernel_shape is missing"))?;
    window::window(node, kernel, extra, input)
}

/// A window that covers nothing but padding has no maximum, and no mean that tells anything.
fn check_pads(node: Node<'_>, window: Window) -> Result<(), ImportError> {
    let [rows, columns] = window.kernel;
    let sides = window::sides(window.padding).unwrap_or_default();
    let is_inside = sides
        .iter()
        .zip([rows, columns, rows, columns])
        .all(|(&side, kernel)| side < kernel);
    if is_inside {
        return Ok(());
    }
    Err(node.unsupported(format!(
        "pads {sides:?} reach over the {rows}x{columns} window"
    )))
}

/// `ceil_mode` is accepted where it changes nothing.
fn check_ceil(node: Node<'_>, window: Window, input: Shape) -> Result<(), ImportError> {
    let Some([top, left, bottom, right]) = window::sides(window.padding) else {
        return Ok(());
    };
    let rest = [
        (input.height + top + bottom - window.kernel[0]) % window.stride[0],
        (input.width + left + right - window.kernel[1]) % window.stride[1],
    ];
    if node.int("ceil_mode", 0)? != 0 && rest != [0, 0] {
        return Err(node.unsupported("ceil_mode adds a partial window"));
    }
    Ok(())
}
