//! `patchtool keygen`: a key to sign with, and the one that devices know.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use graft_patches::minisign;
use serde_json::json;

use crate::commands::arguments::Output;
use crate::keys;
use crate::report::Report;
use graft_data::output;

/// Arguments of `keygen`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  patchtool keygen -o fleet.key

The secret key is PKCS #8 in PEM, without a password: keep it off the devices. The public one beside it, fleet.pub, is for
devices, verify and minisign.")]
pub struct Arguments {
    #[command(flatten)]
    output: Output,
}

/// Makes a pair of keys.
///
/// # Errors
/// Files that cannot be written.
pub fn run(arguments: &Arguments) -> Result<Report> {
    let Output { output, force } = &arguments.output;
    let public_file = output.with_extension("pub");
    output::check_all(&[output, &public_file], &[], *force)?;
    let (key, secret) = keys::generate();
    let public = minisign::public_key(&key.public());
    keys::write_secret(output, &secret, *force)?;
    output::write_atomically(&public_file, *force, |file| {
        file.write_all(public.as_bytes())
    })?;
    let id = key.public().id().to_string();
    let text = format!(
        "{}: secret key {id}: whoever has it can make what your devices run\n{}: its public key, for devices and for verify\n",
        output.display(),
        public_file.display(),
    );
    let json = json!({
        "key": id,
        "secret": output.display().to_string(),
        "public": public_file.display().to_string(),
    });
    Ok(Report::new(text, json))
}
