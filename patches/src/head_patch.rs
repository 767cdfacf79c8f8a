//! A patch of a head, written into memory of the caller: what a device that learns writes to its flash, without an allocator.
//! The same head gives the same bytes on every target.

use core::fmt;

use half::f16;
use serde::{Serialize, Serializer};
use zerocopy::IntoBytes;
use zerocopy::little_endian::{F32, I32};

use crate::assemble::{assemble_in, assembled_len};
use crate::backbone::BackboneImage;
use crate::error::ImageError;
use crate::head_sums::HeadSumsRecord;
use crate::layout::{PANEL, dense_index, quad_index, scale_index};
use crate::records::{Dtype, Input, InputRecord, Kinds, PatchRecord, Site, What};
use crate::requantize::RequantizePanel;
use crate::resize::Resize;
use crate::scale::{Requantization, ScaleRecord, TensorScale, weight_byte, weight_scale};
use crate::section::{Kind, SectionKind};

/// A head, and what is written beside it.
#[derive(Clone, Copy)]
pub struct HeadPatch<'a> {
    /// The backbone that it is for, f32 or int8.
    pub backbone: BackboneImage<'a>,
    /// Storage of values: f32 or half precision for an f32 backbone, int8 for an int8 one.
    pub dtype: Dtype,
    /// The task.
    pub name: &'a str,
    /// The origin of its values.
    pub source: &'a dyn fmt::Display,
    /// Class names; as many as the head has classes, at least one.
    pub labels: &'a [&'a str],
    /// The weight of a class for a value of the embedding.
    pub weight: &'a dyn Fn(usize, usize) -> f32,
    /// The bias of a class.
    pub bias: &'a dyn Fn(usize) -> f32,
    /// Lowest and highest score that an int8 head tells apart.
    pub scores: [f32; 2],
    /// The sums that it was learned from, if they are kept.
    pub sums: Option<(HeadSumsRecord, &'a [i32])>,
}

/// The reason why a head cannot be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadPatchError {
    /// The backbone does not end in a head.
    #[error("the backbone has no head")]
    NoHead,
    /// Values that this backbone cannot have.
    #[error("a head in {found} for a backbone in {expected}")]
    Dtype {
        /// Asked for.
        found: Dtype,
        /// Of the backbone.
        expected: Dtype,
    },
    /// A head without classes, or with more than the backbone has room for.
    #[error("{found} classes, the backbone has room for 1 to {expected}")]
    Classes {
        /// Asked for.
        found: usize,
        /// Most.
        expected: usize,
    },
    /// Too little memory.
    #[error("the patch has {expected} bytes, there is memory for {found}")]
    Memory {
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// A weight or bias that its storage cannot hold.
    #[error("class {class}: a value of {value}, which {dtype} cannot hold")]
    Weight {
        /// The class.
        class: usize,
        /// The value.
        value: f32,
        /// The storage.
        dtype: Dtype,
    },
    /// The metadata of the backbone cannot be read.
    #[error(transparent)]
    Backbone(#[from] ImageError),
}

impl HeadPatchError {
    /// The remedy, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoHead => "give a backbone that ends in a fully connected layer",
            Self::Dtype { .. } => {
                "heads are stored in f32 or f16 for an f32 backbone, in int8 for an int8 one"
            }
            Self::Classes { .. } => "learn fewer classes, or import with room for more",
            Self::Memory { .. } => "give more memory, learn fewer classes or leave out the sums",
            Self::Weight { .. } => "learn with smaller steps, or store the head in f32",
            Self::Backbone(error) => error.hint(),
        }
    }
}

/// As [`crate::metadata::PatchMetadata`] is encoded.
#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    source: Text<'a>,
    tool: &'a str,
    resize: Resize,
    first_patched_layer: u16,
    labels: &'a [&'a str],
    training: Option<()>,
    calibration: Option<()>,
}

struct Text<'a>(&'a dyn fmt::Display);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self.0)
    }
}

/// What a head's sections are written from, once everything is checked.
struct Parts<'a> {
    patch: &'a HeadPatch<'a>,
    index: usize,
    site: Site,
    input: Input,
    metadata: Metadata<'a>,
    metadata_len: usize,
    /// Of the head's output, in int8.
    output: Option<TensorScale>,
}

impl HeadPatch<'_> {
    /// Bytes that it will have.
    ///
    /// # Errors
    /// As [`HeadPatch::write`], but for the memory and the weights.
    pub fn length(&self) -> Result<usize, HeadPatchError> {
        let parts = self.parts()?;
        Ok(assembled_len(Kind::Patch, |section| {
            parts.section_len(section)
        }))
    }

    /// Writes it to the start of `bytes`, and returns that part.
    ///
    /// # Errors
    /// [`HeadPatchError`].
    pub fn write<'b>(&self, bytes: &'b mut [u8]) -> Result<&'b mut [u8], HeadPatchError> {
        let parts = self.parts()?;
        self.check_weights(parts.site.depth)?;
        let length = |section| parts.section_len(section);
        let expected = assembled_len(Kind::Patch, length);
        let found = bytes.len();
        let bytes = bytes
            .get_mut(..expected)
            .ok_or(HeadPatchError::Memory { found, expected })?;
        bytes.fill(0);
        let fill = |section, content: &mut [u8]| parts.fill(section, content);
        let id = self.backbone.id();
        assemble_in(Kind::Patch, Kinds::HEAD, id, length, fill, bytes);
        Ok(bytes)
    }

    fn parts(&self) -> Result<Parts<'_>, HeadPatchError> {
        let backbone = &self.backbone;
        let index = backbone.head().ok_or(HeadPatchError::NoHead)?;
        let (found, expected) = (self.labels.len(), backbone.max_classes());
        if !(1..=expected).contains(&found) {
            return Err(HeadPatchError::Classes { found, expected });
        }
        let (found, expected) = (self.dtype, backbone.dtype());
        if found == Dtype::I8Half || found.of_backbone() != expected {
            return Err(HeadPatchError::Dtype { found, expected });
        }
        let site = backbone.site(index);
        let metadata = Metadata {
            name: self.name,
            source: Text(self.source),
            tool: concat!("graft ", env!("CARGO_PKG_VERSION")),
            resize: resize(backbone)?,
            first_patched_layer: site.layer as u16,
            labels: self.labels,
            training: None,
            calibration: None,
        };
        let size = postcard::ser_flavors::Size::default();
        let metadata_len = postcard::serialize_with_flavor(&metadata, size);
        let [low, high] = self.scores;
        let activation = backbone.layer(site.layer).activation;
        let output = TensorScale::of_range(activation, low, high);
        Ok(Parts {
            patch: self,
            index,
            site,
            input: backbone.input(),
            metadata,
            metadata_len: metadata_len.map_err(|_| ImageError::Metadata)?,
            output: (self.dtype == Dtype::I8).then_some(output),
        })
    }

    fn check_weights(&self, depth: usize) -> Result<(), HeadPatchError> {
        let most = match self.dtype {
            Dtype::F16 => f16::MAX.to_f32(),
            Dtype::F32 | Dtype::I8 | Dtype::I8Half => f32::MAX,
        };
        for class in 0..self.labels.len() {
            let weights = (0..depth).map(|input| (self.weight)(class, input));
            for value in weights.chain([(self.bias)(class)]) {
                if !(value >= -most && value <= most) {
                    let dtype = self.dtype;
                    return Err(HeadPatchError::Weight {
                        class,
                        value,
                        dtype,
                    });
                }
            }
        }
        Ok(())
    }
}

/// The resizing of photographs for a head that was learned from whole ones.
fn resize(backbone: &BackboneImage<'_>) -> Result<Resize, ImageError> {
    type Start<'a> = (&'a str, &'a str, &'a str, Resize);
    let start = postcard::take_from_bytes::<Start<'_>>(backbone.metadata_bytes());
    let ((_, _, _, own), _) = start.map_err(|_| ImageError::Metadata)?;
    Ok(own.uncropped())
}

impl Parts<'_> {
    fn outputs(&self) -> usize {
        self.patch.labels.len()
    }

    fn bytes_of(&self, what: What) -> usize {
        self.site.bytes(what, self.patch.dtype, self.outputs())
    }

    fn section_len(&self, section: SectionKind) -> usize {
        match section {
            SectionKind::Input => size_of::<InputRecord>(),
            SectionKind::Records => What::ALL.len() * size_of::<PatchRecord>(),
            // Both are whole panels, which keep the alignment.
            SectionKind::Values => What::ALL.into_iter().map(|what| self.bytes_of(what)).sum(),
            SectionKind::Metadata => self.metadata_len,
            SectionKind::Scales => self.patch.backbone.scales().as_bytes().len(),
            SectionKind::HeadSums => self.patch.sums.map_or(0, |(record, words)| {
                size_of_val(&record) + size_of_val(words)
            }),
            SectionKind::Layers
            | SectionKind::Sites
            | SectionKind::Plan
            | SectionKind::Epilogues
            | SectionKind::Frozen
            | SectionKind::ContinualState
            | SectionKind::Temperature
            | SectionKind::Signature => 0,
        }
    }

    fn fill(&self, section: SectionKind, content: &mut [u8]) {
        match section {
            SectionKind::Input => {
                content.copy_from_slice(InputRecord::from(&self.input).as_bytes())
            }
            SectionKind::Records => content.copy_from_slice(self.records().as_bytes()),
            SectionKind::Values => self.values(content),
            SectionKind::Metadata => {
                // Its length was measured by the same serialisation.
                let written = postcard::to_slice(&self.metadata, content);
                debug_assert!(written.is_ok_and(|bytes| bytes.len() == self.metadata_len));
            }
            SectionKind::Scales => self.scales(content),
            SectionKind::HeadSums => {
                if let Some((record, words)) = &self.patch.sums {
                    let (start, rest) = content.split_at_mut(size_of_val(record));
                    start.copy_from_slice(record.as_bytes());
                    for (bytes, &word) in rest.chunks_exact_mut(4).zip(*words) {
                        bytes.copy_from_slice(I32::new(word).as_bytes());
                    }
                }
            }
            SectionKind::Layers
            | SectionKind::Sites
            | SectionKind::Plan
            | SectionKind::Epilogues
            | SectionKind::Frozen
            | SectionKind::ContinualState
            | SectionKind::Temperature
            | SectionKind::Signature => {}
        }
    }

    fn records(&self) -> [PatchRecord; 2] {
        let mut offset = 0;
        What::ALL.map(|what| {
            let length = self.bytes_of(what);
            offset += length;
            PatchRecord {
                site: (self.index as u16).into(),
                what: what as u8,
                dtype: self.patch.dtype as u8,
                outputs: (self.outputs() as u32).into(),
                offset: ((offset - length) as u32).into(),
                length: (length as u32).into(),
            }
        })
    }

    fn scales(&self, content: &mut [u8]) {
        let own = self.patch.backbone.scales();
        content.copy_from_slice(own.as_bytes());
        if let Some(output) = self.output {
            let at = (self.site.layer + 1) * size_of::<ScaleRecord>();
            content[at..][..size_of::<ScaleRecord>()]
                .copy_from_slice(ScaleRecord::from(output).as_bytes());
        }
    }

    fn values(&self, content: &mut [u8]) {
        let (epilogue, weights) = content.split_at_mut(self.bytes_of(What::Epilogue));
        match self.output {
            Some(output) => self.int8_values(output.inner.scale, epilogue, weights),
            None => {
                for class in 0..self.outputs() {
                    self.store(epilogue, scale_index(class), 1.0);
                    self.store(
                        epilogue,
                        scale_index(class) + PANEL,
                        (self.patch.bias)(class),
                    );
                    for input in 0..self.site.depth {
                        let at = dense_index(class, input, self.site.depth);
                        self.store(weights, at, (self.patch.weight)(class, input));
                    }
                }
            }
        }
    }

    /// A value in f32 or half precision, at its place among such values.
    fn store(&self, values: &mut [u8], at: usize, value: f32) {
        let size = self.patch.dtype.size();
        let place = &mut values[at * size..][..size];
        match self.patch.dtype {
            Dtype::F16 => place.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
            Dtype::F32 | Dtype::I8 | Dtype::I8Half => {
                place.copy_from_slice(F32::new(value).as_bytes())
            }
        }
    }

    fn int8_values(&self, output: f32, epilogue: &mut [u8], weights: &mut [u8]) {
        let layer = self.patch.backbone.layer(self.site.layer);
        let around = Requantization {
            input: self.patch.backbone.scales()[layer.inputs[0]].get().outer,
            output,
        };
        let panels = epilogue.chunks_exact_mut(size_of::<RequantizePanel>());
        for (panel, bytes) in panels.enumerate() {
            let mut table = RequantizePanel::default();
            let classes = panel * PANEL..self.outputs().min((panel + 1) * PANEL);
            for class in classes {
                let row = (0..self.site.depth).map(|input| (self.patch.weight)(class, input));
                let scale = weight_scale(row.clone());
                let mut sum = 0;
                for (input, weight) in row.enumerate() {
                    let byte = weight_byte(scale, weight);
                    sum += i32::from(byte);
                    weights[quad_index(class, input, self.site.depth)] = byte as u8;
                }
                let entry = around.channel(1.0, (self.patch.bias)(class), scale, sum);
                let at = class % PANEL;
                (table.multiplier[at], table.bias[at]) = entry;
            }
            bytes.copy_from_slice(table.as_bytes());
        }
    }
}
