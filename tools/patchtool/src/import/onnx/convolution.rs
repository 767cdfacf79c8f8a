//! Conv: dense, depthwise or pointwise.

use graft_patches::geometry::{Padding, Shape, Window};

use super::affine::NOT_DIRECT;
use super::constant::Constant;
use super::node::Node;
use super::value::{Call, View};
use super::walk::Walk;
use super::window;
use crate::import::error::ImportError;
use crate::import::graph::{Op, Weights};

impl<'a> Walk<'a> {
    pub(super) fn convolution(&mut self, call: &Call<'a>) -> Result<View<'a>, ImportError> {
        let node = call.node;
        let mut view = self.fused(call.padded_view(0)?)?;
        if view.spatial_axes() != Some([2, 3]) {
            return Err(node.unsupported(format!(
                "its input has shape {:?}, expected [1, channels, height, width]",
                view.dims
            )));
        }
        let constant = call.constant(1)?;
        let filters = filters(node, &constant)?;
        let extra = view.padding.take().map_or([0; 4], |(sides, _)| sides);
        let input = self.builder.shape(&view);
        let window = window::window(node, filters.kernel, extra, input)?;
        let weights = Weights {
            name: constant.name.clone(),
            values: constant.finite()?.to_vec(),
            outputs: filters.outputs,
            bias: call
                .optional_constant(2)?
                .map(|bias| bias.per_channel(filters.outputs))
                .transpose()?,
            batch_norm: None,
        };
        let groups = node.int("group", 1)?;
        let mut op = classify(node, input.channels, groups, &filters, window, weights)?;
        // Zeros around the input stay zeros.
        let is_unpadded = window.padding == Padding::VALID || matches!(op, Op::Pointwise(_));
        let foldable = view
            .affine
            .take_if(|(affine, _)| is_unpadded || !affine.shifts());
        if let Some((affine, map)) = foldable {
            if constant.quantised.is_some() {
                return Err(map.unsupported(NOT_DIRECT));
            }
            affine.fold_into(&mut op);
        }
        let view = self.map_as_layer(view)?;
        let [height, width] = output_size(node, window, input)?;
        let shape = Shape::new(height, width, filters.outputs);
        let dims = vec![1, filters.outputs, height, width];
        let output = self.push(node, op, &[&view], shape, dims, 1)?;
        self.keep_weight_scales(&output, &constant, filters.outputs, 0);
        Ok(output)
    }
}

/// Rows and columns behind a window.
pub(super) fn output_size(
    node: Node<'_>,
    window: Window,
    input: Shape,
) -> Result<[usize; 2], ImportError> {
    window.output(input).ok_or_else(|| {
        node.malformed(format!(
            "its {}x{} window does not fit the input of {input}",
            window.kernel[0], window.kernel[1]
        ))
    })
}

struct Filters {
    outputs: usize,
    /// Input channels of one filter.
    depth: usize,
    kernel: [usize; 2],
}

fn filters(node: Node<'_>, constant: &Constant) -> Result<Filters, ImportError> {
    let &[outputs, depth, rows, columns] = constant.dims.as_slice() else {
        return Err(node.unsupported(format!(
            "weights {:?} have shape {:?}, expected 4 dimensions",
            constant.name, constant.dims
        )));
    };
    let kernel = [rows, columns];
    if outputs == 0 || depth == 0 || window::kernel(node)?.is_some_and(|given| given != kernel) {
        return Err(node.malformed(format!(
            "weights {:?} have shape {:?}, which does not match kernel_shape",
            constant.name, constant.dims
        )));
    }
    for size in kernel {
        window::extent(node, size as i64, 1)?;
    }
    Ok(Filters {
        outputs,
        depth,
        kernel,
    })
}

fn classify(
    node: Node<'_>,
    channels: usize,
    groups: i64,
    filters: &Filters,
    window: Window,
    weights: Weights,
) -> Result<Op, ImportError> {
    let groups = usize::try_from(groups)
        .ok()
        .filter(|&groups| groups.checked_mul(filters.depth) == Some(channels))
        .ok_or_else(|| {
            node.malformed(format!(
                "found {groups} groups of {} input channels, expected {channels} channels in all",
                filters.depth
            ))
        })?;
    if groups == 1 {
        let is_point = filters.kernel == [1, 1] && window.stride == [1, 1];
        let is_unpadded = matches!(window.padding, Padding::VALID | Padding::Same);
        return Ok(if is_point && is_unpadded {
            Op::Pointwise(weights)
        } else {
            Op::Conv(window, weights)
        });
    }
    if groups == channels && filters.outputs == channels {
        return Ok(Op::Depthwise(window, weights));
    }
    let multiplier = filters.outputs / channels;
    Err(node.unsupported(if groups == channels {
        format!("depthwise with multiplier {multiplier}, expected one filter a channel")
    } else {
        format!("{groups} groups, expected 1 or one a channel ({channels})")
    }))
}
