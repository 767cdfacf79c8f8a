//! Files of keys: secret ones in PKCS #8 as openssl writes it, public ones as minisign does.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use ed25519_compact::KeyPair;
use graft_patches::minisign;
use graft_patches::signature::{PublicKey, Trust};
use graft_patches::writer::SigningKey;

use crate::hint::Hint;
use graft_data::output::{self, OutputError};

/// A new secret key of the system's random numbers, as text.
pub fn generate() -> (SigningKey, String) {
    let pair = KeyPair::generate();
    (SigningKey::from_seed(*pair.sk.seed()), pair.to_pem())
}

/// Writes a secret key, for nobody but its owner to read.
///
/// # Errors
/// As [`output::write_atomically`].
pub fn write_secret(path: &Path, text: &str, force: bool) -> Result<(), OutputError> {
    output::write_atomically(path, force, |file| {
        #[cfg(unix)]
        {
            let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            file.get_ref().set_permissions(owner)?;
        }
        file.write_all(text.as_bytes())
    })
}

/// Reads a secret key.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn signing(path: &Path) -> Result<SigningKey> {
    let text = read(path)?;
    let Ok(pair) = KeyPair::from_pem(&text) else {
        bail!(Hint::new(
            format!("{} is no secret key", path.display()),
            "give the .key file that `patchtool keygen` made",
        ));
    };
    Ok(SigningKey::from_seed(*pair.sk.seed()))
}

/// Reads a public key.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn public(path: &Path) -> Result<PublicKey> {
    let text = read(path)?;
    minisign::parse_public_key(&text).map_err(|error| {
        let cause = Hint::new(
            error.to_string(),
            "give the .pub file that `patchtool keygen` made beside the secret key, or one of minisign",
        );
        anyhow::Error::new(cause).context(format!("cannot use {}", path.display()))
    })
}

/// Reads one or two public keys.
///
/// # Errors
/// As [`public`], and another number of them.
pub fn trust(paths: &[impl AsRef<Path>]) -> Result<Trust> {
    match paths {
        [one] => Ok(Trust::one(public(one.as_ref())?)),
        [one, other] => Ok(Trust::two(public(one.as_ref())?, public(other.as_ref())?)),
        _ => bail!(Hint::new(
            format!("{} keys, expected 1 or 2", paths.len()),
            "name the key that is in use, and the one that takes its place",
        )),
    }
}

/// The counter of what is signed now: seconds since 1970, so that what is signed later has a higher one and nobody has to
/// keep count.
pub fn counter_of_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A counter as it is given: none beyond the time in the year 2100, after which no other would come.
///
/// # Errors
/// Text that is no such number.
pub fn counter(text: &str) -> Result<u64, String> {
    const LAST: u64 = 4_102_444_800;
    let counter = text.parse().ok().filter(|counter| *counter <= LAST);
    counter.ok_or_else(|| {
        format!("expected a number up to {LAST}: devices never take a lower one again")
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
