//! `--dump-inputs`: the preprocessed images as raw files, for other engines to run on the very same input.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::hint::Hint;

/// A folder of raw inputs: `0000.f32`, `0001.f32`, ..., little-endian f32, NHWC.
#[derive(Debug)]
pub(super) struct InputsFolder {
    folder: PathBuf,
    count: usize,
}

impl InputsFolder {
    /// Creates the folder where it is missing. One that has something in it is refused: what is left of an earlier
    /// run must not be taken for this one's.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let mut entries = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read the folder {}", folder.display()))?;
        if entries.next().is_some() {
            bail!(Hint::new(
                format!("the folder {} is not empty", folder.display()),
                "give a new or empty folder to --dump-inputs",
            ));
        }
        Ok(Self {
            folder: folder.into(),
            count: 0,
        })
    }

    /// Writes the next input.
    pub(super) fn push(&mut self, values: &[f32]) -> Result<()> {
        let path = self.folder.join(format!("{:04}.f32", self.count));
        self.count += 1;
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        graft_data::output::write_atomically(&path, true, |file| file.write_all(&bytes))?;
        Ok(())
    }
}
