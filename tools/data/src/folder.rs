//! The files of a folder, as deep as a data set may be nested.

use std::fs;
use std::path::Path;

use super::dataset::DatasetError;
use super::layout::{Entry, EntryKind, Nesting, Place, is_hidden};

/// Everything below `root`, one level deeper than images may lie, to notice those that are nested too deep. The limit
/// also ends walks through folders that link to themselves. Links are followed; hidden folders are not entered.
pub(super) fn entries(root: &Path, nesting: Nesting) -> Result<Vec<Entry>, DatasetError> {
    let mut found = Vec::new();
    walk(root, &[], nesting.deepest() + 1, &mut found)?;
    Ok(found)
}

fn walk(
    folder: &Path,
    parents: &[String],
    deepest: usize,
    found: &mut Vec<Entry>,
) -> Result<(), DatasetError> {
    let unreadable = |source| DatasetError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        let mut parts = parents.to_vec();
        parts.push(name);
        let kind = kind_of(&path);
        let enter = matches!(kind, EntryKind::Folder)
            && parts.len() < deepest
            && !parts.iter().any(|p| is_hidden(p));
        if enter {
            walk(&path, &parts, deepest, found)?;
        }
        found.push(Entry { parts, kind });
    }
    Ok(())
}

fn kind_of(path: &Path) -> EntryKind {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => EntryKind::Folder,
        // A pipe or a device named like an image could block the reader for ever.
        Ok(metadata) if !metadata.is_file() => EntryKind::Other,
        // A dangling link counts as a file: reading it will say what is wrong.
        _ => EntryKind::File(Place::File(path.to_owned())),
    }
}
