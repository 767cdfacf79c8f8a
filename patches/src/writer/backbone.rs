//! Writes a backbone: infers shapes, plans memory, packs weights.

use alloc::vec::Vec;

use zerocopy::IntoBytes;

use crate::assemble::assemble;
use crate::backbone::dtype;
use crate::digest::Digest;
use crate::geometry::{Padding, Shape};
use crate::layout::{pack_epilogue, pack_weights, padded};
use crate::metadata::BackboneMetadata;
use crate::records::{
    Block, BlockRecord, Input, InputRecord, Kinds, Layer, LayerRecord, MAX_LAYERS, MAX_SIDE, Op,
    PlanRecord, SiteRecord, TensorRecord,
};
use crate::scale::ScaleRecord;
use crate::section::{Kind, SectionKind};

use super::{WriteError, append, fuse, plan};

/// The values of one site, row-major.
#[derive(Clone, Copy, Debug)]
pub struct SiteValues<'a> {
    /// `[outputs][depth]`: dense weights with depth in (kernel row, kernel column, input channel) order, or depthwise
    /// `[channels][kernel row, kernel column]`.
    pub weights: &'a [f32],
    /// One per output channel.
    pub scale: &'a [f32],
    /// One per output channel.
    pub bias: &'a [f32],
}

/// Collects layers in execution order, then writes the image.
#[derive(Debug)]
pub struct BackboneWriter {
    input: Input,
    shapes: Vec<Shape>,
    layers: Vec<Layer>,
    sites: Vec<SiteRecord>,
    epilogues: Vec<u8>,
    frozen: Vec<u8>,
    scales: Vec<ScaleRecord>,
}

/// A site's values as they are stored.
pub(super) struct Packed {
    pub(super) outputs: usize,
    /// Weights of each output channel.
    pub(super) depth: usize,
    pub(super) weights: Vec<u8>,
    pub(super) epilogue: Vec<u8>,
    /// Of int8 weights.
    pub(super) weight_scales: Option<Vec<f32>>,
}

impl BackboneWriter {
    /// A backbone for this input. Its resolution is the largest that patches may use.
    pub fn new(input: Input) -> Self {
        Self::with_scales(input, Vec::new())
    }

    /// An int8 backbone whose tensors have these scales; with none, an f32 one.
    pub(super) fn with_scales(input: Input, scales: Vec<ScaleRecord>) -> Self {
        Self {
            scales,
            shapes: alloc::vec![input.shape],
            input,
            layers: Vec::new(),
            sites: Vec::new(),
            epilogues: Vec::new(),
            frozen: Vec::new(),
        }
    }

    /// Adds a layer that reads earlier tensors (0 is the input, i + 1 the output of layer i); `layer.site` is filled
    /// in. Returns its output tensor and shape.
    ///
    /// # Errors
    /// The misfit.
    pub fn push(
        &mut self,
        layer: Layer,
        values: Option<SiteValues<'_>>,
    ) -> Result<(usize, Shape), WriteError> {
        let Some(values) = values else {
            return self.push_packed(layer, None);
        };
        let site = self.sites.len();
        let outputs = values.scale.len();
        let depth = values.weights.len() / outputs.max(1);
        let sizes = [
            ("weights", values.weights.len(), outputs * depth),
            ("biases", values.bias.len(), outputs),
        ];
        check_sizes(site, &sizes)?;
        let is_depthwise = layer.op == Op::Depthwise;
        let weights = pack_weights(values.weights, outputs, depth.max(1), is_depthwise);
        let packed = Packed {
            outputs,
            depth,
            weights: weights.as_bytes().to_vec(),
            epilogue: pack_epilogue(values.scale, values.bias).as_bytes().to_vec(),
            weight_scales: None,
        };
        self.push_packed(layer, Some(packed))
    }

    pub(super) fn push_packed(
        &mut self,
        mut layer: Layer,
        values: Option<Packed>,
    ) -> Result<(usize, Shape), WriteError> {
        let index = self.layers.len();
        let wrong = |problem| WriteError::Layer {
            layer: index,
            problem,
        };
        if index >= MAX_LAYERS {
            return Err(wrong("more layers than the format has numbers for"));
        }
        let operands = &layer.inputs[..layer.op.arity()];
        if operands.iter().any(|&input| input > index) {
            return Err(wrong("reads a tensor that is not written yet"));
        }
        let window = layer.window;
        let sides = window.kernel.iter().chain(&window.stride);
        if sides.into_iter().any(|side| !(1..=255).contains(side)) {
            return Err(wrong("a kernel side or stride outside of 1 to 255"));
        }
        if let Padding::Explicit {
            top,
            left,
            bottom,
            right,
        } = window.padding
            && (top.max(bottom) >= window.kernel[0] || left.max(right) >= window.kernel[1])
        {
            return Err(wrong("padding as large as the kernel"));
        }
        let left = self.shapes[operands[0]];
        let right = self.shapes[operands[operands.len() - 1]];
        let outputs = values.as_ref().map(|values| values.outputs);
        let shape = layer.output_shape(left, right, outputs).map_err(wrong)?;
        if shape.channels > MAX_SIDE || outputs == Some(0) {
            return Err(wrong("no output channels, or more than 65,536"));
        }
        layer.site = match values {
            Some(values) => Some(self.push_site(&layer, left, values)?),
            None if layer.op.is_site() => return Err(wrong("no values for a site")),
            None => None,
        };
        self.layers.push(layer);
        self.shapes.push(shape);
        Ok((index + 1, shape))
    }

    fn push_site(
        &mut self,
        layer: &Layer,
        input: Shape,
        values: Packed,
    ) -> Result<usize, WriteError> {
        let site = self.sites.len();
        let depth = layer.depth(input.channels);
        let outputs = values.outputs;
        check_sizes(
            site,
            &[("weights", outputs * values.depth, outputs * depth)],
        )?;
        let weights = append(&mut self.frozen, &values.weights);
        let weight_scales = values.weight_scales.map_or(0, |mut scales| {
            scales.resize(padded(outputs), 0.0);
            append(&mut self.frozen, &scales)
        });
        self.sites.push(SiteRecord {
            layer: (self.layers.len() as u16).into(),
            reserved: 0.into(),
            outputs: (outputs as u32).into(),
            depth: (depth as u32).into(),
            weights: weights.into(),
            epilogue: append(&mut self.epilogues, &values.epilogue).into(),
            weight_scales: weight_scales.into(),
            reserved2: [0.into(); 2],
        });
        if u32::try_from(self.frozen.len()).is_err() {
            return Err(WriteError::Layer {
                layer: self.layers.len(),
                problem: "more than 4 GiB of weights",
            });
        }
        Ok(site)
    }

    /// Writes the image, with room in its plan for heads of up to `max_classes` classes.
    ///
    /// # Errors
    /// The misfit.
    pub fn finish(
        self,
        max_classes: usize,
        metadata: &BackboneMetadata,
    ) -> Result<Vec<u8>, WriteError> {
        let blocks = fuse::fuse(&self.layers, &self.shapes, dtype(&self.scales).size());
        let (plan, tensors) = self.plan(&blocks, max_classes)?;
        let layers: Vec<LayerRecord> = self.layers.iter().map(LayerRecord::from).collect();
        let metadata = postcard::to_allocvec(metadata).map_err(|_| WriteError::Metadata)?;
        let mut plan_section = plan.as_bytes().to_vec();
        plan_section.extend_from_slice(tensors.as_bytes());
        let blocks: Vec<BlockRecord> = blocks.iter().map(BlockRecord::from).collect();
        plan_section.extend_from_slice(blocks.as_bytes());
        let input = InputRecord::from(&self.input);
        Ok(assemble(
            Kind::Backbone,
            Kinds::default(),
            // Follows from the sections.
            Digest::default(),
            |section| match section {
                SectionKind::Input => input.as_bytes(),
                SectionKind::Layers => layers.as_bytes(),
                SectionKind::Sites => self.sites.as_bytes(),
                SectionKind::Plan => &plan_section,
                SectionKind::Epilogues => &self.epilogues,
                SectionKind::Frozen => &self.frozen,
                SectionKind::Metadata => &metadata,
                SectionKind::Scales => self.scales.as_bytes(),
                SectionKind::Records
                | SectionKind::Values
                | SectionKind::Signature
                | SectionKind::ContinualState
                | SectionKind::Temperature
                | SectionKind::HeadSums => &[],
            },
        ))
    }

    fn plan(
        &self,
        blocks: &[Block],
        max_classes: usize,
    ) -> Result<(PlanRecord, Vec<TensorRecord>), WriteError> {
        let too_large = WriteError::Layer {
            layer: self.layers.len(),
            problem: "the activations need more than 4 GiB",
        };
        let Some(scores) = self.shapes.last().filter(|_| !self.layers.is_empty()) else {
            return Err(WriteError::Layer {
                layer: 0,
                problem: "the network has no layers",
            });
        };
        let max_classes = max_classes.clamp(scores.channels, MAX_SIDE);
        let size = dtype(&self.scales).size() as u64;
        let mut bytes: Vec<u64> = self
            .shapes
            .iter()
            .map(|shape| size * shape.len() as u64)
            .collect();
        bytes[self.layers.len()] = size * scores.pixels() as u64 * max_classes as u64;
        let tensors = plan::place(&self.layers, blocks, &bytes);
        let end = tensors.iter().map(|tensor| tensor.end).max().unwrap_or(0);
        let arena = u32::try_from(end).map_err(|_| too_large)?;
        let plan = PlanRecord {
            arena: arena.into(),
            max_classes: (max_classes as u32).into(),
            blocks: (blocks.len() as u32).into(),
            reserved: 0.into(),
        };
        let records = self
            .shapes
            .iter()
            .zip(&tensors)
            .map(|(shape, tensor)| TensorRecord {
                height: (shape.height as u32).into(),
                width: (shape.width as u32).into(),
                channels: (shape.channels as u32).into(),
                offset: (tensor.offset as u32).into(),
                last: (tensor.last as u16).into(),
                reserved: [0.into(); 3],
            });
        Ok((plan, records.collect()))
    }
}

/// Fails at the first of these numbers of values that is not the expected one: `(what, found, expected)`.
pub(super) fn check_sizes(
    site: usize,
    sizes: &[(&'static str, usize, usize)],
) -> Result<(), WriteError> {
    match sizes.iter().find(|(_, found, expected)| found != expected) {
        Some(&(what, found, expected)) => Err(WriteError::Values {
            site,
            what,
            found,
            expected,
        }),
        None => Ok(()),
    }
}
