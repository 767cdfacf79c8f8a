//! The files of a folder: as deep as a data set may be nested, or those that lie directly in it.

use std::fs;
use std::path::{Path, PathBuf};

use super::dataset::DatasetError;
use super::layout::{Entry, EntryKind, Nesting, Place, Sorted};
use super::left_out::LeftOut;
use super::names::{self, is_hidden};

/// Everything below `root`, one level deeper than images may lie, to notice those that are nested too deep. The limit
/// also ends walks through folders that link to themselves. Links are followed; hidden folders are not entered.
pub(super) fn entries(root: &Path, nesting: Nesting) -> Result<Vec<Entry>, DatasetError> {
    let mut found = Vec::new();
    walk(root, b"", nesting.deepest(), &mut found)?;
    Ok(found)
}

/// The images that lie directly in `folder`, by name, and what else is there.
///
/// # Errors
/// A folder that cannot be read, or that has no image.
pub fn images(folder: &Path) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let mut found = Vec::new();
    walk(folder, b"", 0, &mut found)?;
    let Sorted {
        images, left_out, ..
    } = Sorted::new(found);
    if images.is_empty() {
        let path = folder.to_owned();
        let found = match left_out.total() {
            0 => "an empty folder".to_owned(),
            _ => left_out.to_string(),
        };
        return Err(DatasetError::NoImages { path, found });
    }
    left_out.warn(folder);
    let files = images.into_values().filter_map(|place| match place {
        Place::File(path) => Some(path),
        Place::Tar { .. } | Place::Zip { .. } => None,
    });
    Ok((files.collect(), left_out))
}

/// Adds what is in a folder: its path below the root ends with a slash. Folders are entered `deeper` levels down.
fn walk(
    folder: &Path,
    parents: &[u8],
    deeper: usize,
    found: &mut Vec<Entry>,
) -> Result<(), DatasetError> {
    let unreadable = |source| DatasetError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (file, name) = (entry.path(), entry.file_name());
        let mut path = [parents, name.as_encoded_bytes()].concat();
        let mut kind = kind_of(&file);
        if matches!(kind, EntryKind::Folder) {
            path.push(b'/');
            if deeper == 0 {
                kind = EntryKind::DeepFolder;
            } else if !is_hidden(name.as_encoded_bytes()) {
                walk(&file, &path, deeper - 1, found)?;
            }
        }
        let path = names::path(&path);
        found.push(Entry { path, kind });
    }
    Ok(())
}

fn kind_of(path: &Path) -> EntryKind {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => EntryKind::Folder,
        // A pipe or a device named like an image could block the reader for ever.
        Ok(metadata) if !metadata.is_file() => EntryKind::Special,
        // A dangling link counts as a file: reading it will say what is wrong.
        _ => EntryKind::File(Place::File(path.to_owned())),
    }
}
