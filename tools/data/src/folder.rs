//! The files of folders: as deep as a data set may be nested, or all of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::dataset::DatasetError;
use super::layout::{self, Entry, EntryKind, Nesting, Place, Sorted};
use super::left_out::LeftOut;
use super::names::is_hidden;

/// Everything below `root`, one level deeper than images may lie, to notice those that are nested too deep. The limit
/// also ends walks through folders that link to themselves. Links are followed; hidden folders are not entered.
pub(super) fn entries(root: &Path, nesting: Nesting) -> Result<Vec<Entry>, DatasetError> {
    let mut found = Vec::new();
    walk(root, b"", Reach::Levels(nesting.deepest()), &mut found)?;
    Ok(found)
}

/// Files of images: those that are named, and the JPEG and PNG files in folders that are, however deep, by path; and what
/// else is in the folders. What is named but not there is noticed when it is opened.
///
/// # Errors
/// A folder that cannot be read, or that has no image.
pub fn images(paths: &[impl AsRef<Path>]) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let (mut files, mut left_out) = (Vec::new(), LeftOut::default());
    for path in paths.iter().map(AsRef::as_ref) {
        if path.is_dir() {
            let (images, others) = images_below(path)?;
            files.extend(images);
            left_out.extend(others);
        } else {
            files.push(path.to_owned());
        }
    }
    Ok((files, left_out))
}

/// Whether a file is an image, by its name.
pub fn is_image(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    layout::is_image(name.as_encoded_bytes())
}

fn images_below(folder: &Path) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let mut found = Vec::new();
    walk(folder, b"", Reach::All, &mut found)?;
    let Sorted {
        images, left_out, ..
    } = Sorted::new(found);
    if images.is_empty() {
        let path = folder.to_owned();
        let found = match left_out.total() {
            0 => "no files".to_owned(),
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

/// The folders that a walk enters.
#[derive(Clone, Copy)]
enum Reach {
    /// So many levels, behind links too. A data set lacks nothing: all of them must be readable.
    Levels(usize),
    /// All that can be read, but for those behind links, which may lead back.
    All,
}

/// Adds what is in a folder: its path below the root ends with a slash.
fn walk(
    folder: &Path,
    parents: &[u8],
    reach: Reach,
    found: &mut Vec<Entry>,
) -> Result<(), DatasetError> {
    let unreadable = |source| DatasetError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (file, name) = (entry.path(), entry.file_name());
        let path = [parents, name.as_encoded_bytes()].concat();
        let mut kind = kind_of(&file);
        if matches!(kind, EntryKind::Folder) && !is_hidden(name.as_encoded_bytes()) {
            kind = enter(&file, &path, reach, found)?;
        }
        found.push(Entry { path, kind });
    }
    Ok(())
}

/// Adds what is in a folder that was met, as far as the walk reaches.
fn enter(
    folder: &Path,
    path: &[u8],
    reach: Reach,
    found: &mut Vec<Entry>,
) -> Result<EntryKind, DatasetError> {
    let parents = [path, b"/"].concat();
    match reach {
        Reach::Levels(0) => return Ok(EntryKind::DeepFolder),
        Reach::Levels(levels) => walk(folder, &parents, Reach::Levels(levels - 1), found)?,
        Reach::All if folder.is_symlink() => return Ok(EntryKind::LinkedFolder),
        Reach::All => {
            if walk(folder, &parents, reach, found).is_err() {
                return Ok(EntryKind::UnreadableFolder);
            }
        }
    }
    Ok(EntryKind::Folder)
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

#[cfg(test)]
mod tests {
    use super::super::left_out::Kind;
    use super::*;

    #[test]
    fn folders_are_walked_in_order_and_what_is_left_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/deep/er")).unwrap();
        fs::create_dir(at("void")).unwrap();
        for name in [
            "b/deep/er/2.JPG",
            "b/1.png",
            "a.jpeg",
            "a.txt",
            "b/._1.png",
            "b/x.webp",
        ] {
            fs::write(at(name), "").unwrap();
        }
        let named = [at("b/1.png"), folder.path().to_owned()];
        let mut expected = ["b/1.png", "a.jpeg", "b/1.png", "b/deep/er/2.JPG"]
            .map(at)
            .to_vec();
        let kinds = [Kind::Other, Kind::Hidden, Kind::OtherFormat];
        let (files, left_out) = images(&named).unwrap();
        assert_eq!((files, left_out.total()), (expected.clone(), 3));
        assert_eq!(kinds.map(|kind| left_out.count(kind)), [1; 3]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path(), at("b/loop")).unwrap();
            // Opening it says what is wrong.
            std::os::unix::fs::symlink("nowhere", at("c.png")).unwrap();
            let _socket = std::os::unix::net::UnixListener::bind(at("pipe.png")).unwrap();
            expected.push(at("c.png"));
            let (files, left_out) = images(&named).unwrap();
            assert_eq!(files, expected);
            let left_out = left_out.to_string();
            for words in ["1 link to a folder: b/loop", "1 special file: pipe.png"] {
                assert!(left_out.contains(words), "{left_out}");
            }
        }
        let void = images(&[at("void")]).unwrap_err();
        assert!(void.to_string().ends_with("found no files"), "{void}");
        assert_eq!(images(&[at("missing")]).unwrap().0, [at("missing")]);
    }

    #[test]
    fn only_a_data_set_ends_at_a_folder_that_cannot_be_read() {
        let enter = |reach| enter(Path::new("/no/such"), b"such", reach, &mut Vec::new());
        assert!(matches!(enter(Reach::All), Ok(EntryKind::UnreadableFolder)));
        assert!(matches!(
            enter(Reach::Levels(1)),
            Err(DatasetError::Unreadable { .. })
        ));
    }
}
