//! The frozen weights of a backbone as one file of external data, shared by the ONNX models of all its tasks.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use graft_patches::BackboneImage;

use super::ExportError;
use super::tensors::Sites;
use graft_data::output::{self, OutputError};

/// Every tensor starts on a page of its own, so that an engine can map it: the ONNX format recommends it.
const PAGE: usize = 4096;

/// The file of one backbone: the same bytes whatever the task.
#[derive(Debug)]
pub struct WeightsFile {
    name: String,
    bytes: Vec<u8>,
    /// Offset and length by tensor name.
    places: HashMap<String, [usize; 2]>,
}

impl WeightsFile {
    /// All values of a backbone in the order of its sites, as ONNX nodes take them.
    ///
    /// # Errors
    /// Metadata that cannot be decoded.
    pub fn new(backbone: &BackboneImage<'_>) -> Result<Self, ExportError> {
        let metadata = backbone.metadata()?;
        let sites = Sites::new(*backbone, &metadata);
        let mut file = Self {
            name: format!(
                "{}-{:.12}.weights",
                file_name(&metadata.name),
                backbone.id()
            ),
            bytes: Vec::new(),
            places: HashMap::new(),
        };
        for index in 0..backbone.site_count() {
            for tensor in sites.get(index, None).all() {
                let offset = file.bytes.len().next_multiple_of(PAGE);
                file.bytes.resize(offset, 0);
                let values = tensor.values.iter().flat_map(|value| value.to_le_bytes());
                file.bytes.extend(values);
                let place = [offset, file.bytes.len() - offset];
                file.places.insert(tensor.name.clone(), place);
            }
        }
        Ok(file)
    }

    /// Its name, `NAME-ID.weights`: models look for it in their own folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes in it.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of it that are between tensors.
    pub fn padding(&self) -> usize {
        let tensors = self.places.values().map(|[_, length]| length);
        self.bytes.len() - tensors.sum::<usize>()
    }

    pub(super) fn place(&self, tensor: &str) -> Option<[usize; 2]> {
        self.places.get(tensor).copied()
    }

    /// Puts it in a folder. One that is there already is compared, and kept if it is the same.
    ///
    /// # Errors
    /// A file of this name that holds something else, unless `force` is set, and whatever cannot be read or written.
    pub fn write(&self, folder: &Path, force: bool) -> Result<PathBuf> {
        let path = folder.join(&self.name);
        if path.exists() {
            if self.is_at(&path)? {
                return Ok(path);
            }
            if !force {
                return Err(ExportError::OtherWeights { path }.into());
            }
        }
        let written = output::write_atomically(&path, force, |file| file.write_all(&self.bytes));
        match written {
            // Another export was faster, with the same bytes.
            Err(OutputError::Exists { .. }) if self.is_at(&path)? => Ok(path),
            written => written.map(|()| path).map_err(Into::into),
        }
    }

    fn is_at(&self, path: &Path) -> Result<bool> {
        let found =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(found == self.bytes)
    }
}

/// A backbone's name without what file systems and ONNX locations do not take.
fn file_name(name: &str) -> String {
    let keep = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name
        .chars()
        .map(|c| if keep(c) { c } else { '-' })
        .collect();
    match name.trim_start_matches('.') {
        "" => "backbone".into(),
        name => name.into(),
    }
}
