//! Pools, and means over all pixels however they are spelled.

use graft_patches::geometry::{Padding, Shape, Window};

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
        let view = self.concrete(call.view(0)?)?;
        self.mean(call.node, &view, true)
    }

    pub(super) fn reduce_mean(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let view = self.concrete(call.view(0)?)?;
        let given = call.optional_constant(1)?;
        let axes = match &given {
            Some(constant) => Some(constant.as_ints(node)?),
            None => node.ints("axes")?,
        };
        let axes = axes.and_then(|axes| shape::axes(axes, view.dims.len()));
        let spatial = view.spatial_axes().map(Vec::from);
        if axes.is_none() || axes != spatial {
            return Err(node.unsupported(format!(
                "it reduces axes {axes:?} of {:?}, expected height and width",
                view.dims
            )));
        }
        self.mean(node, &view, node.int("keepdims", 1)? != 0)
    }

    pub(super) fn average_pool(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let mut view = self.concrete(call.padded_view(0)?)?;
        let extra = view.padding.take().map_or([0; 4], |(sides, _)| sides);
        let own = pool_window(node, [0; 4])?;
        let is_own_counted =
            node.int("count_include_pad", 0)? != 0 || own.padding == Padding::VALID;
        // Zeros of a Pad node are values like any other, so they count.
        if extra != [0; 4] && !is_own_counted {
            return Err(node.unsupported("it pads a padded input and leaves only its own out"));
        }
        let is_counted = is_own_counted && (extra != [0; 4] || own.padding != Padding::VALID);
        let window = pool_window(node, extra)?;
        let input = self.builder.shape(&view);
        let is_global = window.padding == Padding::VALID
            && window.kernel == [input.height, input.width]
            && view.spatial_axes() == Some([2, 3]);
        if is_global {
            return self.mean(node, &view, true);
        }
        self.pool(
            node,
            &view,
            Op::AveragePool(window, is_counted),
            window,
            is_counted,
        )
    }

    pub(super) fn max_pool(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let view = self.concrete(call.view(0)?)?;
        let window = pool_window(call.node, [0; 4])?;
        self.pool(call.node, &view, Op::MaxPool(window), window, false)
    }

    fn mean(
        &mut self,
        node: Node<'a>,
        view: &View<'a>,
        keeps_dims: bool,
    ) -> Result<View<'a>, ImportError> {
        let Some(spatial) = view.spatial_axes() else {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected an image",
                view.dims
            )));
        };
        let channels = view.channels();
        let (dims, axis) = if keeps_dims {
            let mut dims = view.dims.clone();
            dims[spatial[0]] = 1;
            dims[spatial[1]] = 1;
            (dims, view.channel_axis)
        } else {
            (vec![1, channels], 1)
        };
        let shape = Shape::new(1, 1, channels);
        self.push(node, Op::GlobalAveragePool, &[view], shape, dims, axis)
    }

    fn pool(
        &mut self,
        node: Node<'a>,
        view: &View<'a>,
        op: Op,
        window: Window,
        is_padding_counted: bool,
    ) -> Result<View<'a>, ImportError> {
        if view.spatial_axes() != Some([2, 3]) {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected [1, channels, height, width]",
                view.dims
            )));
        }
        let input = self.builder.shape(view);
        check_pads(node, window, is_padding_counted)?;
        let [height, width] = output_size(node, window, input)?;
        check_ceil(node, window, input)?;
        let shape = Shape::new(height, width, input.channels);
        let dims = vec![1, input.channels, height, width];
        self.push(node, op, &[view], shape, dims, 1)
    }
}

fn pool_window(node: Node<'_>, extra: [usize; 4]) -> Result<Window, ImportError> {
    let kernel =
        window::kernel(node)?.ok_or_else(|| node.malformed("attribute kernel_shape is missing"))?;
    window::window(node, kernel, extra)
}

/// A window that covers nothing but padding has no mean and no maximum.
fn check_pads(node: Node<'_>, window: Window, is_padding_counted: bool) -> Result<(), ImportError> {
    let [rows, columns] = window.kernel;
    let sides = window::sides(window.padding).unwrap_or_default();
    let is_inside = sides
        .iter()
        .zip([rows, columns, rows, columns])
        .all(|(&side, kernel)| side < kernel);
    if is_inside || is_padding_counted {
        return Ok(());
    }
    Err(node.malformed(format!(
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
