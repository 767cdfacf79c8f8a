//! From the importer's graph to the bytes of a backbone.

use graft_patches::geometry::{Shape, Window};
use graft_patches::metadata::{BackboneMetadata, SiteMetadata};
use graft_patches::records::{Input, Layer as LayerRecord, Op as Code};
use graft_patches::writer::{BackboneWriter, SiteValues, WriteError};

use super::graph::{Graph, Layer, Op, Weights};

/// Settings that the graph does not hold.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Mean and standard deviation per channel; the shape is the graph's.
    pub mean: [f32; 4],
    /// See `mean`.
    pub std: [f32; 4],
    /// Most classes of a head.
    pub max_classes: usize,
    /// Name, labels and so on; layers and sites are filled in.
    pub metadata: BackboneMetadata,
}

/// Writes a graph as a backbone: batch norm becomes the epilogue, weights are packed, memory is planned.
///
/// # Errors
/// A network that does not fit the format.
pub fn compile(graph: &Graph, settings: Settings) -> Result<Vec<u8>, WriteError> {
    let mut writer = BackboneWriter::new(Input {
        shape: graph.tensors.first().copied().unwrap_or_default(),
        mean: settings.mean,
        std: settings.std,
    });
    let mut metadata = settings.metadata;
    let mut written = vec![None; graph.tensors.len()];
    if let Some(input) = written.first_mut() {
        *input = Some((0, graph.tensors[0]));
    }
    for (index, layer) in graph.layers.iter().enumerate() {
        let operand = |at: usize| layer.inputs.get(at).and_then(|&tensor| written[tensor]);
        let (left, input) = operand(0).ok_or(WriteError::Layer {
            layer: index,
            problem: "reads a tensor that no layer has written",
        })?;
        let right = operand(1).map_or(left, |(tensor, _)| tensor);
        let record = record(layer, [left, right]);
        let site = Site::new(layer, input);
        written[layer.output] = Some(writer.push(record, site.as_ref().map(Site::values))?);
        metadata.layers.push(layer.name.clone());
        metadata.sites.extend(site.map(|site| site.metadata));
    }
    writer.finish(settings.max_classes, &metadata)
}

fn record(layer: &Layer, inputs: [usize; 2]) -> LayerRecord {
    let (op, window, count_padding) = match &layer.op {
        Op::Conv(window, _) => (Code::Conv, *window, false),
        Op::Depthwise(window, _) => (Code::Depthwise, *window, false),
        Op::Pointwise(_) => (Code::Pointwise, Window::POINT, false),
        Op::Linear(_) => (Code::Linear, Window::POINT, false),
        Op::Add => (Code::Add, Window::POINT, false),
        Op::Multiply => (Code::Multiply, Window::POINT, false),
        Op::AveragePool(window, count_padding) => (Code::AveragePool, *window, *count_padding),
        Op::MaxPool(window) => (Code::MaxPool, *window, false),
        Op::GlobalAveragePool => (Code::GlobalAveragePool, Window::POINT, false),
    };
    LayerRecord {
        op,
        inputs,
        site: None,
        window,
        activation: layer.activation,
        count_padding,
    }
}

/// A site's values in the order of the image.
struct Site {
    weights: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    metadata: SiteMetadata,
}

impl Site {
    fn new(layer: &Layer, input: Shape) -> Option<Self> {
        let (weights, taps) = match &layer.op {
            Op::Conv(window, weights) => (weights, window.kernel[0] * window.kernel[1]),
            Op::Depthwise(_, weights) | Op::Pointwise(weights) | Op::Linear(weights) => {
                (weights, 1)
            }
            Op::Add
            | Op::Multiply
            | Op::AveragePool(..)
            | Op::MaxPool(_)
            | Op::GlobalAveragePool => return None,
        };
        let (scale, bias) = epilogue(weights);
        Some(Self {
            weights: channels_last(&weights.values, input.channels, taps),
            scale,
            bias,
            metadata: SiteMetadata {
                weight: weights.name.clone(),
                bias: weights.bias.clone(),
                batch_norm: weights.batch_norm.clone(),
            },
        })
    }

    fn values(&self) -> SiteValues<'_> {
        SiteValues {
            weights: &self.weights,
            scale: &self.scale,
            bias: &self.bias,
        }
    }
}

/// The fold of the batch norm; without one, scale 1 and the layer's own bias.
fn epilogue(weights: &Weights) -> (Vec<f32>, Vec<f32>) {
    match &weights.batch_norm {
        Some(norm) => norm.fold(weights.bias.as_deref()),
        None => {
            let bias = weights.bias.clone();
            (
                vec![1.0; weights.outputs],
                bias.unwrap_or_else(|| vec![0.0; weights.outputs]),
            )
        }
    }
}

/// `[out][in][taps]` to `[out][taps][in]`. With one tap the order is the same.
fn channels_last(values: &[f32], inputs: usize, taps: usize) -> Vec<f32> {
    if taps == 1 {
        return values.to_vec();
    }
    values
        .chunks_exact(inputs * taps)
        .flat_map(|filter| {
            (0..taps).flat_map(move |tap| (0..inputs).map(move |input| filter[input * taps + tap]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_goes_to_channels_last() {
        let filter = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
        assert_eq!(
            channels_last(&filter, 2, 3),
            [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]
        );
    }
}
