//! The patches of a client: the main head's, for its own use, and the last head's, which knows what the others know.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use graft_data::output;
use patchtool::hint::Hint;

use crate::client::Client;

/// Names of the heads that become patches.
const ROLES: [&str; 2] = ["main", "shared"];
const KINDS: [&str; 2] = ["safetensors", "patch"];

fn path(folder: &Path, name: &str, role: &str, kind: &str) -> PathBuf {
    folder.join(format!("{name}.{role}.{kind}"))
}

/// Whether files, and topics of a broker, can have the names of these clients, and no two the same.
///
/// # Errors
/// A name that is none, or is there twice.
pub fn check_names(names: &[String]) -> Result<()> {
    for (at, name) in names.iter().enumerate() {
        let is_odd = |sign: char| !sign.is_alphanumeric() && !"-_.".contains(sign);
        if name.is_empty() || name.starts_with('.') || name.contains(is_odd) {
            bail!(Hint::new(
                format!("{name:?} cannot be the name of a client"),
                "use letters, digits, - and _",
            ));
        }
        if names[..at].contains(name) {
            bail!(Hint::new(
                format!("two clients are called {name}"),
                "give each a name of its own",
            ));
        }
    }
    Ok(())
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
