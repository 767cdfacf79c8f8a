//! Finished images with another section: signatures, temperatures and labels.

use alloc::string::String;
use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::little_endian::F32;

use crate::assemble::assemble;
use crate::backbone::BackboneImage;
use crate::checked::checked;
use crate::container::{Header, Kind, Verify};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::patch::{PatchImage, TEMPERATURES};
use crate::section::SectionKind;
use crate::signature::{KeyId, PublicKey, SignatureRecord, Signed, TaskId, message};

/// A key that images are signed with: whoever has it can make what devices run.
pub struct SigningKey(ed25519_compact::KeyPair);

impl SigningKey {
    /// The key of these 32 bytes, which must be random and remain secret.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = ed25519_compact::Seed::new(seed);
        Self(ed25519_compact::KeyPair::from_seed(seed))
    }

    /// The key that its signatures are checked with. Its name is the first bytes of the key's BLAKE3 digest.
    pub fn public(&self) -> PublicKey {
        let bytes = *self.0.pk;
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(&bytes).0;
        PublicKey::new(KeyId([a, b, c, d, e, f, g, h]), bytes)
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        *self.0.sk.sign(message, None)
    }
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

/// The same backbone or patch, aligned to 64, with a signature in place of any that it had. It is signed for the task that
/// its metadata name.
///
/// # Errors
/// The fault of the bytes: nothing that a reader would refuse is signed.
pub fn sign(bytes: &[u8], key: &SigningKey, counter: u64) -> Result<Vec<u8>, ImageError> {
    let image = Checked::of(bytes)?;
    let signed = Signed {
        key: key.public().id(),
        task: TaskId::of(&image.name),
        counter,
    };
    let mut record = SignatureRecord {
        key: signed.key,
        task: signed.task,
        counter: counter.into(),
        signature: [0; 64],
    };
    // Where it will lie is signed, too.
    let unsigned = image.with(&[(SectionKind::Signature, record.as_bytes())]);
    let header = checked(Header::parse(&unsigned).ok_or(()));
    record.signature = key.sign(&message(header, &signed));
    Ok(image.with(&[(SectionKind::Signature, record.as_bytes())]))
}

/// The same patch, aligned to 64, with this temperature ([`PatchImage::temperature`]) and without a signature.
///
/// # Errors
/// The fault of the bytes, and a temperature that is none of [`TEMPERATURES`].
pub fn with_temperature(bytes: &[u8], temperature: f32) -> Result<Vec<u8>, ImageError> {
    let image = Checked::of(bytes)?;
    if image.kind != Kind::Patch {
        return Err(ImageError::Kind {
            found: image.kind,
            expected: Kind::Patch,
        });
    }
    if !TEMPERATURES.contains(&temperature) {
        return Err(ImageError::Section {
            section: SectionKind::Temperature,
            problem: "not a number from 0.01 to 100",
        });
    }
    Ok(image.with(&[
        (SectionKind::Temperature, F32::new(temperature).as_bytes()),
        (SectionKind::Signature, &[]),
    ]))
}

/// The same patch, aligned to 64, with these class names in place of its own, and without a signature.
///
/// # Errors
/// The fault of the bytes, and another number of names than it has.
pub fn with_labels(bytes: &[u8], labels: &[String]) -> Result<Vec<u8>, ImageError> {
    let mut metadata = PatchImage::open(bytes, Verify::Full)?.metadata()?;
    if labels.len() != metadata.labels.len() {
        return Err(ImageError::Section {
            section: SectionKind::Metadata,
            problem: "not as many labels as the patch has",
        });
    }
    metadata.labels = labels.to_vec();
    let metadata = postcard::to_allocvec(&metadata).map_err(|_| ImageError::Metadata)?;
    Ok(Checked::of(bytes)?.with(&[
        (SectionKind::Metadata, &metadata),
        (SectionKind::Signature, &[]),
    ]))
}

/// A backbone or a patch that a reader takes.
struct Checked<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    kind: Kind,
    /// In its metadata.
    name: String,
}

impl<'a> Checked<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let (kind, name) = match PatchImage::open(bytes, Verify::Full) {
            Err(ImageError::Kind { .. }) => {
                let image = BackboneImage::open(bytes, Verify::Full)?;
                (Kind::Backbone, image.metadata()?.name)
            }
            patch => (Kind::Patch, patch?.metadata()?.name),
        };
        Ok(Self {
            bytes,
            header: checked(Header::parse(bytes).ok_or(())),
            kind,
            name,
        })
    }

    /// The image with these contents of sections in place of its own; empty ones are left out.
    fn with(&self, contents: &[(SectionKind, &[u8])]) -> Vec<u8> {
        let kinds = crate::records::Kinds::from_bits(self.header.kinds.get());
        assemble(
            self.kind,
            checked(kinds.ok_or(())),
            self.header.backbone_id,
            |section| match contents.iter().find(|(other, _)| *other == section) {
                Some((_, content)) => content,
                None => self.section(section),
            },
        )
    }

    fn section(&self, section: SectionKind) -> &[u8] {
        let Some(record) = self.header.section(section) else {
            return &[];
        };
        let start = record.offset.get() as usize;
        &self.bytes[start..start + record.length.get() as usize]
    }
}
