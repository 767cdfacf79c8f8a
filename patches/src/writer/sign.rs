//! Signs images.

use alloc::vec::Vec;

use zerocopy::{FromBytes, IntoBytes};

use crate::backbone::BackboneImage;
use crate::container::{ALIGN, HEADER_LEN, Header, Verify};
use crate::digest::Digest;
use crate::error::ImageError;
use crate::patch::PatchImage;
use crate::section::{SectionKind, SectionRecord};
use crate::signature::{KeyId, PublicKey, SignatureRecord, Signed, TaskId, message};

use super::container::seal;

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
    let signed = Signed {
        key: key.public().id(),
        task: TaskId::of(&task(bytes)?),
        counter,
    };
    let (mut header, mut bytes) = cut(bytes)?;
    let at = usize::from(header.section_count.get());
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    let start = bytes.len();
    header.sections[at] = SectionRecord {
        kind: (SectionKind::Signature as u32).into(),
        reserved: 0.into(),
        offset: (start as u64).into(),
        length: (size_of::<SignatureRecord>() as u64).into(),
        digest: Digest::default(),
    };
    header.section_count += 1;
    header.length = ((start + size_of::<SignatureRecord>()) as u64).into();
    let record = SignatureRecord {
        key: signed.key,
        task: signed.task,
        counter: counter.into(),
        signature: key.sign(&message(&header, &signed)),
    };
    bytes.extend_from_slice(record.as_bytes());
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    seal(&mut bytes);
    Ok(bytes)
}

/// The same backbone or patch, aligned to 64, without a signature.
///
/// # Errors
/// The fault of the bytes.
pub fn unsigned(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    task(bytes)?;
    let (header, mut bytes) = cut(bytes)?;
    bytes[..HEADER_LEN].copy_from_slice(header.as_bytes());
    seal(&mut bytes);
    Ok(bytes)
}

/// Checks an image of either kind, and returns the name in its metadata.
fn task(bytes: &[u8]) -> Result<alloc::string::String, ImageError> {
    match PatchImage::open(bytes, Verify::Full) {
        Err(ImageError::Kind { .. }) => {
            Ok(BackboneImage::open(bytes, Verify::Full)?.metadata()?.name)
        }
        patch => Ok(patch?.metadata()?.name),
    }
}

/// The header and the bytes of a checked image up to its signature, which is the last section.
fn cut(bytes: &[u8]) -> Result<(Header, Vec<u8>), ImageError> {
    let damaged = ImageError::Header {
        problem: "no sections",
    };
    let (mut header, _) = Header::read_from_prefix(bytes).map_err(|_| damaged)?;
    let mut count = usize::from(header.section_count.get());
    if header.section(SectionKind::Signature).is_some() {
        count -= 1;
        header.sections[count] = zerocopy::FromZeros::new_zeroed();
    }
    let last = count
        .checked_sub(1)
        .map(|last| header.sections[last])
        .ok_or(damaged)?;
    let end = (last.offset.get() + last.length.get()) as usize;
    header.section_count = (count as u16).into();
    header.length = (end as u64).into();
    Ok((header, bytes[..end].to_vec()))
}
