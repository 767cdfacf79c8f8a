//! The keys whose patches are run: those of the files that `GRAFT_TRUST` named when this was built.

use graft_patches::signature::{KeyId, PublicKey, Trust};

/// One or two keys.
pub const TRUST: Trust = include!(concat!(env!("OUT_DIR"), "/trust.rs"));
