//! Reasons why a data set cannot be opened, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use zip::result::ZipError;

use super::listed;

/// Reasons why a data set cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Nothing is there.
    #[error("the data set {} does not exist", path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The system refused to read it.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file that is no archive.
    #[error("{} is neither a folder nor a tar or zip archive: found {found}", path.display())]
    NotADataset {
        /// The file.
        path: PathBuf,
        /// Description of its first bytes.
        found: &'static str,
    },
    /// The archive ends early.
    #[error("the tar archive {} is truncated: it ends after {after}", path.display())]
    TruncatedTar {
        /// The archive.
        path: PathBuf,
        /// The last entry that was found.
        after: String,
    },
    /// The archive's structure is broken.
    #[error("the tar archive {} is damaged after {after}", path.display())]
    DamagedTar {
        /// The archive.
        path: PathBuf,
        /// The last entry that was found.
        after: String,
        /// The reader's error.
        source: io::Error,
    },
    /// The zip archive's list of files, which is at its end, is missing or broken.
    #[error("the zip archive {} is truncated or damaged", path.display())]
    DamagedZip {
        /// The archive.
        path: PathBuf,
        /// The reader's error.
        source: ZipError,
    },
    /// The zip archive's images are stored in a way that is not read.
    #[error("the zip archive {} {obstacle}, such as {example}", path.display())]
    UnsupportedZip {
        /// The archive.
        path: PathBuf,
        /// The way that they are stored.
        obstacle: ZipObstacle,
        /// The first of them.
        example: String,
    },
    /// Nothing inside.
    #[error("the data set {} is empty", path.display())]
    Empty {
        /// The folder or archive.
        path: PathBuf,
    },
    /// Files, but no JPEG or PNG among them.
    #[error("no images in {}: found {found}", path.display())]
    NoImages {
        /// The folder or archive.
        path: PathBuf,
        /// Files that are there instead.
        found: String,
    },
    /// Images without folders that say what they show.
    #[error("{} has no class folders: {images} images lie directly in it, such as {example}", path.display())]
    NoClassFolders {
        /// The folder or archive.
        path: PathBuf,
        /// Their number.
        images: usize,
        /// One of them.
        example: String,
    },
    /// Images in folders of folders: probably several data sets (train, test) side by side.
    #[error("the images of {} are nested too deep, such as {example}: expected {expected}", path.display())]
    TooDeep {
        /// The folder or archive.
        path: PathBuf,
        /// One of them.
        example: String,
        /// Depth at which they may be nested.
        expected: &'static str,
    },
    /// A folder of an archive that is a link to another: where the archive is unpacked, it is a class.
    #[error("the archive {} has a link to a folder, {link}, which is not followed", path.display())]
    LinkedFolder {
        /// The archive.
        path: PathBuf,
        /// The first by name.
        link: String,
    },
    /// Class folders with nothing in them to learn from.
    #[error("class folders without images in {}: {}", path.display(), listed(classes))]
    EmptyClasses {
        /// The folder or archive.
        path: PathBuf,
        /// Their names.
        classes: Vec<String>,
    },
}

/// Ways to store files in a zip archive that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZipObstacle {
    /// Encrypted.
    #[error("has encrypted files")]
    Password,
    /// Compressed in another way than deflate.
    #[error("has files of the unsupported compression method {number} ({})", name.to_lowercase())]
    Compression {
        /// In the zip format.
        number: u16,
        /// Of the method.
        name: &'static str,
    },
}

impl DatasetError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { path } if path == Path::new("-") => {
                "a data set cannot come from stdin: name a folder, tar or zip archive"
            }
            Self::NotFound { .. } => "check the path",
            Self::Unreadable { .. } => "check the permissions",
            Self::NotADataset { .. } => {
                "unpack it first, or make a .zip or a plain, uncompressed .tar of class/image.jpg"
            }
            Self::TruncatedTar { .. } | Self::DamagedTar { .. } | Self::DamagedZip { .. } => {
                "copy, download or make the archive again"
            }
            Self::UnsupportedZip { obstacle, .. } => match obstacle {
                ZipObstacle::Password => "make the archive again without a password, or unpack it",
                ZipObstacle::Compression { .. } => {
                    "make the archive again with deflate, or unpack it"
                }
            },
            Self::Empty { .. } | Self::NoImages { .. } => {
                "name a folder with JPEG or PNG images (.jpg, .jpeg, .png); in a data set, one folder for each class"
            }
            Self::NoClassFolders { .. } => {
                "sort the images into one folder for each class: class/image.jpg"
            }
            Self::TooDeep { .. } => "name the folder that directly holds the class folders",
            Self::LinkedFolder { .. } => {
                "unpack the archive, or make it again with the files in place of links: tar --dereference"
            }
            Self::EmptyClasses { .. } => {
                "add images (JPEG or PNG) to these folders or remove the folders"
            }
        }
    }
}
