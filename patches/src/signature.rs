//! Signatures: whose an image is, for which task it was made, and how new it is. See `FORMAT.md`, "Signature".
//!
//! ed25519, verified by `ed25519-compact` in its small form: of three verifiers that were built for a Cortex-M4 (optimised
//! for size) `ed25519-dalek` takes 42 kB of flash, this one 17 kB, `salty` 10 kB; counted by QEMU, a check takes 1.9, 1.7 and
//! 4.3 million instructions. This one signs as well.

use core::fmt;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::container::Header;
use crate::digest::Digest;
use crate::error::ImageError;
use crate::section::SectionKind;

/// The start of every signed message, so that no other message of a key is taken for an image's.
const CONTEXT: [u8; 16] = *b"graft signature\x01";

/// The name of a key, for people and programs to find it by: it proves nothing.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    /// 16 hexadecimal digits, as minisign shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u64::from_le_bytes(self.0);
        write!(f, "{:08X}{:08X}", (id >> 32) as u32, id as u32)
    }
}

/// The task that a signature is for: the first bytes of the BLAKE3 digest of its name
/// ([`PatchMetadata::name`](crate::metadata::PatchMetadata::name)), so that it can be compared without memory.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct TaskId(pub [u8; 8]);

impl TaskId {
    /// The task of this name.
    pub fn of(name: &str) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = Digest::of(name.as_bytes()).0;
        Self([a, b, c, d, e, f, g, h])
    }
}

/// The signature section.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct SignatureRecord {
    pub(crate) key: KeyId,
    pub(crate) task: TaskId,
    pub(crate) counter: U64,
    pub(crate) signature: [u8; 64],
}

/// What a signature says of an image. Whether it is true is for [`Trust`] to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The key that it was made with.
    pub key: KeyId,
    /// The task that the image is for.
    pub task: TaskId,
    /// Grows with each image of a task: a device refuses to install a lower one than it has seen.
    pub counter: u64,
}

impl SignatureRecord {
    pub(crate) fn signed(&self) -> Signed {
        Signed {
            key: self.key,
            task: self.task,
            counter: self.counter.get(),
        }
    }
}

/// The message that is signed: a context, key, task and counter, and the digest of the header, which covers that of every
/// other section.
pub(crate) fn message(header: &Header, signed: &Signed) -> [u8; 72] {
    #[derive(IntoBytes, Immutable, Unaligned)]
    #[repr(C)]
    struct Message {
        context: [u8; 16],
        key: KeyId,
        task: TaskId,
        counter: U64,
        header: Digest,
    }
    let mut header = *header;
    header.digest = Digest::default();
    for record in &mut header.sections {
        if record.kind == SectionKind::Signature as u32 {
            record.digest = Digest::default();
        }
    }
    zerocopy::transmute!(Message {
        context: CONTEXT,
        key: signed.key,
        task: signed.task,
        counter: signed.counter.into(),
        header: Digest::of(header.as_bytes()),
    })
}

/// A key that signatures are checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    bytes: [u8; 32],
}

impl PublicKey {
    /// A key of this name: an ed25519 public key, 32 bytes.
    pub const fn new(id: KeyId, bytes: [u8; 32]) -> Self {
        Self { id, bytes }
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key itself.
    pub fn bytes(&self) -> [u8; 32] {
        self.bytes
    }

    /// Whether a message was signed with this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let key = ed25519_compact::PublicKey::new(self.bytes);
        let signature = ed25519_compact::Signature::new(*signature);
        key.verify(message, &signature).is_ok()
    }
}

/// The policy of a device: the keys whose images it runs. There is room for two, so that a key can be changed: devices
/// learn the next one while images are still signed with the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    keys: [Option<PublicKey>; 2],
}

impl Trust {
    /// Trust in one key.
    pub const fn one(key: PublicKey) -> Self {
        Self {
            keys: [Some(key), None],
        }
    }

    /// Trust in either of two keys.
    pub const fn two(key: PublicKey, other: PublicKey) -> Self {
        Self {
            keys: [Some(key), Some(other)],
        }
    }

    /// The keys, one or two.
    pub fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().flatten()
    }

    /// Checks what an image says of itself against its header, and returns the key that has signed it. The digests in the
    /// header are for the caller to check.
    pub(crate) fn check(
        &self,
        header: &Header,
        record: Option<&SignatureRecord>,
    ) -> Result<PublicKey, ImageError> {
        let record = record.ok_or(ImageError::Unsigned)?;
        let signed = record.signed();
        // Two keys may have the same name, which anybody can choose.
        let named = || self.keys().filter(|key| key.id == signed.key);
        if named().next().is_none() {
            return Err(ImageError::UnknownKey {
                found: signed.key,
                expected: self.keys.map(|key| key.map(|key| key.id)),
            });
        }
        let message = message(header, &signed);
        let signer = named().find(|key| key.verifies(&message, &record.signature));
        let wrong = ImageError::WrongSignature { key: signed.key };
        signer.copied().ok_or(wrong)
    }
}
