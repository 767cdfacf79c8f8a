//! The files of minisign (<https://jedisct1.github.io/minisign/>): its public keys are those of [`crate::signature`], and a
//! signature beside a file lets a program that knows nothing of Graft check it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use ct_codecs::{Base64, Decoder, Encoder};

use crate::signature::{KeyId, PublicKey};
use crate::writer::SigningKey;

/// Marks keys, and signatures of a file itself. Those of a file's BLAKE2b digest, `ED`, are minisign's other kind.
const ALGORITHM: [u8; 2] = *b"Ed";
const COMMENT: &str = "untrusted comment: ";
const TRUSTED_COMMENT: &str = "trusted comment: ";

/// Text that is no public key of minisign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// No line of base64, alone or after a line with a comment.
    #[error("not a public key of minisign: expected a comment line and a line of base64")]
    Text,
    /// Other bytes than a key has.
    #[error("not a public key of minisign: {found} bytes, expected 42")]
    Length {
        /// Bytes.
        found: usize,
    },
    /// A key of another algorithm.
    #[error("a public key for another algorithm than ed25519")]
    Algorithm,
}

/// A public key as minisign writes it: a comment, then `Ed`, the key's id and the key in base64.
pub fn public_key(key: &PublicKey) -> String {
    let bytes = [&ALGORITHM[..], &key.id().0, &key.bytes()].concat();
    format!(
        "{COMMENT}minisign public key {}\n{}\n",
        key.id(),
        base64(&bytes)
    )
}

/// Reads a public key: the whole file, or its line of base64 alone.
///
/// # Errors
/// [`NotAKey`].
pub fn parse_public_key(text: &str) -> Result<PublicKey, NotAKey> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines
        .find(|line| !line.starts_with(COMMENT.trim_end()))
        .ok_or(NotAKey::Text)?;
    let mut buffer = [0; 64];
    let bytes = Base64::decode(&mut buffer, line.as_bytes(), None).map_err(|_| NotAKey::Text)?;
    if bytes.len() != 42 {
        return Err(NotAKey::Length { found: bytes.len() });
    }
    let (&algorithm, rest) = bytes.split_first_chunk().ok_or(NotAKey::Text)?;
    let (&id, rest) = rest.split_first_chunk().ok_or(NotAKey::Text)?;
    let &key = rest.first_chunk().ok_or(NotAKey::Text)?;
    match algorithm {
        ALGORITHM => Ok(PublicKey::new(KeyId(id), key)),
        _ => Err(NotAKey::Algorithm),
    }
}

/// A signature of a whole file as minisign writes it beside the file; `trusted_comment` is signed with it, a line of text.
pub fn signature(file: &[u8], key: &SigningKey, trusted_comment: &str) -> String {
    let comment: String = trusted_comment
        .chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect();
    let signature = key.sign(file);
    let id = key.public().id();
    let line: Vec<u8> = [&ALGORITHM[..], &id.0, &signature].concat();
    let all = key.sign(&[&signature[..], comment.as_bytes()].concat());
    format!(
        "{COMMENT}signature of graft's key {id}\n{}\n{TRUSTED_COMMENT}{comment}\n{}\n",
        base64(&line),
        base64(&all)
    )
}

fn base64(bytes: &[u8]) -> String {
    let mut text = alloc::vec![0; bytes.len().div_ceil(3) * 4];
    // The buffer has room for all of it, and base64 is ASCII.
    let text = Base64::encode(&mut text, bytes).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
