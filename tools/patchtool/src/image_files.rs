//! The images that users name: files, and all of a folder.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Reasons why a folder gives no images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFilesError {
    /// It cannot be read.
    #[error("cannot read the folder {}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is none in it.
    #[error("the folder {} has no .jpg, .jpeg or .png file in it", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
}

impl ImageFilesError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the permissions",
            Self::NoImages { .. } => "name JPEG or PNG images, or a folder that has some",
        }
    }
}

/// Files of images: those that are named, and the JPEG and PNG files in folders that are, however deep, by path. Folders
/// behind links and what is hidden are not entered.
///
/// # Errors
/// A folder that cannot be read, or has no image in it.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ImageFilesError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        walk(path, &mut files)?;
        if files.len() == before {
            let path = path.clone();
            return Err(ImageFilesError::NoImages { path });
        }
        files[before..].sort();
    }
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ImageFilesError> {
    let unreadable = |source| ImageFilesError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
        } else if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&path, files)?;
        } else if is_image(&path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    extension.is_some_and(|found| ["jpg", "jpeg", "png"].iter().any(|known| found == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_hidden_files_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/deep/er")).unwrap();
        fs::create_dir(at("void")).unwrap();
        for name in ["b/deep/er/2.JPG", "b/1.png", "a.jpeg", "a.txt", "b/._1.png"] {
            fs::write(at(name), "").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), at("b/loop")).unwrap();
        let named = [at("b/1.png"), folder.path().to_owned()];
        let expected = ["b/1.png", "a.jpeg", "b/1.png", "b/deep/er/2.JPG"].map(at);
        assert_eq!(find(&named).unwrap(), expected);
        assert!(matches!(
            find(&[at("void")]),
            Err(ImageFilesError::NoImages { .. })
        ));
        // What is not there is noticed when it is opened.
        assert_eq!(find(&[at("missing")]).unwrap(), [at("missing")]);
    }
}
