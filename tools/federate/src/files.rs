//! The patches of a client: the main head's, for its own use, and the last head's, which knows what the others know.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use graft_data::output;

use crate::client::Client;

/// Names of the heads that become patches.
const ROLES: [&str; 2] = ["main", "shared"];
const KINDS: [&str; 2] = ["safetensors", "patch"];

fn path(folder: &Path, name: &str, role: &str, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{role}.{kind}"))
}

/// Whether the patches of these clients can be written.
///
/// # Errors
/// A file that exists, without `force`.
pub fn check(folder: &Path, names: &[String], force: bool) -> Result<()> {
    for name in names {
        for role in ROLES {
            for kind in KINDS {
                let path = path(folder, name, role, kind);
                if path.exists() {
                    output::check(&path, force)?;
                }
            }
        }
    }
    Ok(())
}

/// Writes the patches of a client with so many heads besides the main one; the paths of the patches.
///
/// # Errors
/// Values that cannot be compiled, and what cannot be written.
pub fn write(
    folder: &Path,
    name: &str,
    client: &mut Client,
    heads: usize,
    force: bool,
) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let of_roles = ROLES.into_iter().zip([0, heads]);
    // Without other heads there is nothing that others know.
    for (role, head) in of_roles.take(if heads == 0 { 1 } else { 2 }) {
        let trained = client.trained(head, format!("{name}.{role}"));
        for (kind, bytes) in KINDS.into_iter().zip(client.files(&trained)?) {
            let path = path(folder, name, role, kind);
            output::write_atomically(&path, force, |file| file.write_all(&bytes))?;
            written.push(path);
        }
    }
    Ok(written)
}
