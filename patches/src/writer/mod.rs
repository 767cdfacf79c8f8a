//! Writers of images, in memory: the caller puts the bytes where it wants them.

mod backbone;
mod edit;
mod fuse;
mod int8;
mod patch;
mod plan;

pub use backbone::{BackboneWriter, SiteValues};
pub use edit::{SigningKey, sign, with_labels, with_temperature};
pub use int8::{Int8PatchWriter, Int8Values, int8_backbone};
pub use patch::PatchWriter;

/// The reason why an image cannot be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The layers do not fit together, or are too many or too large for the format.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// Index of the layer.
        layer: usize,
        /// The fault.
        problem: &'static str,
    },
    /// The values of a site have another size than its layer.
    #[error("site {site}: {found} {what}, expected {expected}")]
    Values {
        /// Index of the site.
        site: usize,
        /// The name of the values.
        what: &'static str,
        /// The number that was given.
        found: usize,
        /// The number that the site has.
        expected: usize,
    },
    /// A site that the backbone does not have.
    #[error(transparent)]
    Image(#[from] crate::ImageError),
    /// A value that half precision cannot hold.
    #[error("site {site}: {what} of {value}, half precision holds numbers from -65504 to 65504")]
    Half {
        /// Index of the site.
        site: usize,
        /// The part of the site that it belongs to.
        what: crate::records::What,
        /// The value.
        value: f32,
    },
    /// Values of an int8 site that no kernel can compute with.
    #[error(
        "site {site}: int8 weights are -127 to 127, their scales above zero, all values and their quotients finite"
    )]
    Int8 {
        /// Index of the site.
        site: usize,
    },
    /// The metadata cannot be encoded.
    #[error("the metadata cannot be encoded")]
    Metadata,
}

impl WriteError {
    /// The remedy for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Half { .. } => "export it without --f16",
            Self::Image(error) => error.hint(),
            Self::Layer { .. } | Self::Values { .. } | Self::Int8 { .. } | Self::Metadata => {
                "import it at a smaller --resolution; if that is no cure, please report it with the model's architecture"
            }
        }
    }
}

/// Computes every digest of an image again, and a backbone's id: the last step of the writers, and how tests make images whose
/// digests are right and whose records are not. Leaves bytes alone that are not laid out as an image.
pub fn seal(bytes: &mut [u8]) {
    crate::assemble::seal(bytes);
}

/// Appends values at the next multiple of 64 and returns their offset.
fn append<T>(section: &mut alloc::vec::Vec<u8>, values: &[T]) -> u32
where
    T: zerocopy::IntoBytes + zerocopy::Immutable,
{
    use zerocopy::IntoBytes;
    section.resize(section.len().next_multiple_of(crate::section::ALIGN), 0);
    let offset = section.len() as u32;
    section.extend_from_slice(values.as_bytes());
    offset
}
