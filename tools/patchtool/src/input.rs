//! Files that commands read. The name `-` is stdin.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use graft_patches::container::MAGIC;
use graft_patches::{BackboneImage, PatchImage};
use graft_runtime::{Backbone, ImageBytes, ImageError, Patch, Verify};

use crate::file_kind::{Expected, FileKind, WrongKind};

/// Whether the name means stdin.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// A whole file, or all of stdin.
///
/// # Errors
/// A file that cannot be opened.
pub fn read(path: &Path) -> Result<ImageBytes> {
    match is_stdin(path) {
        true => stdin().context("cannot read stdin"),
        false => Ok(ImageBytes::read(path)?),
    }
}

/// All of stdin, which can be read once: who asks again gets the same.
fn stdin() -> io::Result<ImageBytes> {
    static STDIN: OnceLock<ImageBytes> = OnceLock::new();
    if let Some(bytes) = STDIN.get() {
        return Ok(bytes.clone());
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(STDIN.get_or_init(|| ImageBytes::copied(&bytes)).clone())
}

/// Opens a backbone; a file is mapped.
///
/// # Errors
/// A file that cannot be opened, or is no backbone.
pub fn backbone(path: &Path) -> Result<Backbone> {
    if is_stdin(path) {
        let file = ImageFile::of_graft(path)?;
        return Backbone::from_bytes(file.bytes()).context("cannot use stdin");
    }
    match map_backbone(path, Verify::Full) {
        // Another kind of file has an error of its own.
        Err(error) => Err(ImageFile::of_graft(path).err().unwrap_or(error.into())),
        Ok(backbone) => Ok(backbone),
    }
}

/// Maps the file of a backbone, so that what is measured is what a program has that maps it.
///
/// # Errors
/// A file that cannot be opened, or is no backbone.
pub fn map_backbone(path: &Path, verify: Verify) -> Result<Backbone, graft_runtime::Error> {
    // SAFETY: patchtool itself replaces files by renaming others; the manual asks its user not to write to a backbone while
    // a command runs with it.
    unsafe { Backbone::map(path, verify) }
}

/// Opens a patch and binds it to its backbone.
///
/// # Errors
/// A file that cannot be opened, or is no patch of this backbone.
pub fn patch(path: &Path, backbone: &Backbone) -> Result<Patch> {
    let file = ImageFile::of_graft(path)?;
    if is_stdin(path) {
        return Patch::from_bytes(file.bytes(), backbone).context("cannot use stdin");
    }
    Ok(Patch::open(path, backbone)?)
}

/// A backbone or a patch file, whichever it is.
pub struct ImageFile {
    path: PathBuf,
    bytes: ImageBytes,
}

impl ImageFile {
    /// Reads any file.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.into(),
            bytes: read(path)?,
        })
    }

    /// Reads a backbone or a patch.
    ///
    /// # Errors
    /// A file that cannot be opened, or is known to be something else.
    pub fn of_graft(path: &Path) -> Result<Self> {
        let file = Self::read(path)?;
        if !file.bytes().starts_with(&MAGIC) {
            file.check_kind(Expected::Graft)?;
        }
        Ok(file)
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Refuses a file that is known to be something else than what is `expected`.
    ///
    /// # Errors
    /// [`WrongKind`].
    pub fn check_kind(&self, expected: Expected) -> Result<(), WrongKind> {
        match FileKind::of(self.bytes()) {
            Some(found) if !expected.is(found) => Err(WrongKind {
                path: self.path.clone(),
                found,
                expected,
            }),
            _ => Ok(()),
        }
    }

    /// The patch, or `None` where the file is a backbone.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn patch(&self) -> Result<Option<PatchImage<'_>>> {
        match PatchImage::open(self.bytes(), Verify::Full) {
            Ok(patch) => Ok(Some(patch)),
            Err(ImageError::Kind { .. }) => Ok(None),
            Err(error) => Err(self.invalid(error)),
        }
    }

    /// The backbone.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn backbone(&self) -> Result<BackboneImage<'_>> {
        BackboneImage::open(self.bytes(), Verify::Full).map_err(|error| self.invalid(error))
    }

    fn invalid(&self, error: ImageError) -> anyhow::Error {
        anyhow::Error::new(error).context(format!("cannot use {}", self.path.display()))
    }
}
