//! From a list of paths to classes and their images: the `class/image` rule, for folders and archives alike.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::dataset::{DatasetError, Item};

/// Place of the bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A piece of the tar archive.
    Tar { offset: u64, length: u64 },
    /// An entry of the zip archive.
    Zip { index: usize },
}

/// Depth at which class folders may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    /// Side by side, in at most one wrapping folder.
    Flat,
    /// In folders of folders: a class is a folder that directly holds images.
    Deep,
}

impl Nesting {
    /// The longest path to an image, in parts.
    pub(super) fn deepest(self) -> usize {
        match self {
            Self::Flat => 3,
            Self::Deep => 8,
        }
    }
}

/// A file or folder below the root of the data set.
#[derive(Debug)]
pub(super) struct Entry {
    /// The path's parts, from the root of the data set.
    pub(super) parts: Vec<String>,
    pub(super) kind: EntryKind,
}

#[derive(Debug)]
pub(super) enum EntryKind {
    Folder,
    File(Place),
    /// A device, a pipe, a link inside an archive.
    Other,
}

/// Result of [`arrange`].
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) classes: Vec<String>,
    pub(super) items: Vec<Item>,
    pub(super) skipped: usize,
}

/// Images by their path; of two entries with one path the later counts, as when a tar is unpacked.
type Images = BTreeMap<Vec<String>, Place>;

/// Applies the `class/image` rule to everything that was found below `root`.
pub(super) fn arrange(
    root: &Path,
    entries: Vec<Entry>,
    nesting: Nesting,
) -> Result<Layout, DatasetError> {
    let path = root.to_owned();
    if entries.is_empty() {
        return Err(DatasetError::Empty { path });
    }
    let mut images = Images::new();
    let mut folders = BTreeSet::new();
    let mut others = Vec::new();
    for Entry { parts, kind } in entries {
        if parts.iter().any(|part| is_hidden(part)) {
            others.push(parts.join("/"));
            continue;
        }
        match kind {
            EntryKind::Folder => drop(folders.insert(parts)),
            EntryKind::File(place) if is_image(&parts) => drop(images.insert(parts, place)),
            EntryKind::File(_) | EntryKind::Other => others.push(parts.join("/")),
        }
    }
    if images.is_empty() {
        return Err(DatasetError::NoImages {
            path,
            found: described(folders.len(), &others),
        });
    }
    let depth = wrapping(&images, nesting);
    check_depth(root, &images, depth, nesting)?;
    let (classes, items, stray) = by_class(images, depth);
    let empty = match nesting {
        Nesting::Flat => without_images(folders, depth, &classes),
        Nesting::Deep => Vec::new(),
    };
    if empty.is_empty() {
        Ok(Layout {
            classes,
            items,
            skipped: others.len() + stray,
        })
    } else {
        Err(DatasetError::EmptyClasses {
            path,
            classes: empty,
        })
    }
}

/// The named parts of a path in an archive: without `./`, `/` and `..`, none of which may lead out of the data set.
pub(super) fn parts(path: &Path) -> Vec<String> {
    let named = path.components().filter_map(|component| {
        let Component::Normal(name) = component else {
            return None;
        };
        Some(name.to_string_lossy().into_owned())
    });
    named.collect()
}

/// Names that the user did not put there: hidden files and what macOS adds to archives.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX"
}

fn is_image(parts: &[String]) -> bool {
    let extension = parts
        .last()
        .and_then(|name| Path::new(name).extension()?.to_str());
    extension.is_some_and(|found| {
        ["jpg", "jpeg", "png"]
            .iter()
            .any(|known| found.eq_ignore_ascii_case(known))
    })
}

fn described(folders: usize, others: &[String]) -> String {
    match others.first() {
        Some(example) => format!("{} other files, such as {example}", others.len()),
        None => format!("{folders} empty folders"),
    }
}

/// Number of folders that are wrapped around the class folders: one if every image is `wrapping/class/image`, else none.
fn wrapping(images: &Images, nesting: Nesting) -> usize {
    let first = images.keys().next().map(|parts| &parts[0]);
    let in_class = |length| match nesting {
        Nesting::Flat => length == 3,
        Nesting::Deep => length >= 3,
    };
    let wrapped = images
        .keys()
        .all(|parts| in_class(parts.len()) && Some(&parts[0]) == first);
    usize::from(wrapped)
}

fn check_depth(
    root: &Path,
    images: &Images,
    depth: usize,
    nesting: Nesting,
) -> Result<(), DatasetError> {
    let path = root.to_owned();
    let (deepest, expected) = match nesting {
        Nesting::Flat => (depth + 2, "class/image"),
        Nesting::Deep => (nesting.deepest(), "at most 7 folders"),
    };
    if let Some(deep) = images.keys().find(|parts| parts.len() > deepest) {
        return Err(DatasetError::TooDeep {
            path,
            example: deep.join("/"),
            expected,
        });
    }
    match images.keys().next() {
        Some(first) if images.keys().all(|parts| parts.len() == 1) => {
            Err(DatasetError::NoClassFolders {
                path,
                images: images.len(),
                example: first.join("/"),
            })
        }
        _ => Ok(()),
    }
}

/// The classes, their images, and how many images lie outside any class.
fn by_class(images: Images, depth: usize) -> (Vec<String>, Vec<Item>, usize) {
    let (mut classes, mut items, mut stray) = (Vec::<String>::new(), Vec::new(), 0);
    // By folder first, so that each class comes in one piece even where other classes lie in its folder.
    let mut images: Vec<_> = images.into_iter().collect();
    // Stable: names stay sorted.
    images.sort_by(|(a, _), (b, _)| a[..a.len() - 1].cmp(&b[..b.len() - 1]));
    for (mut parts, place) in images {
        let name = parts.split_off(depth).join("/");
        let Some((class, _)) = name.rsplit_once('/') else {
            stray += 1;
            continue;
        };
        if classes.last().is_none_or(|last| last != class) {
            classes.push(class.to_owned());
        }
        items.push(Item {
            class: classes.len() - 1,
            name,
            place,
        });
    }
    (classes, items, stray)
}

/// The class folders that no image lies in.
fn without_images(folders: BTreeSet<Vec<String>>, depth: usize, classes: &[String]) -> Vec<String> {
    let mut names: Vec<String> = folders
        .into_iter()
        .filter(|parts| parts.len() == depth + 1)
        .filter_map(|mut parts| parts.pop())
        .filter(|name| !classes.contains(name))
        .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths as entries; a trailing slash means a folder.
    fn arranged_as(paths: &[&str], nesting: Nesting) -> Result<Layout, DatasetError> {
        let entry = |path: &&str| {
            let parts = path
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            let kind = match path.ends_with('/') {
                true => EntryKind::Folder,
                false => EntryKind::File(Place::File(path.into())),
            };
            Entry { parts, kind }
        };
        arrange(
            Path::new("data"),
            paths.iter().map(entry).collect(),
            nesting,
        )
    }

    fn arranged(paths: &[&str]) -> Result<Layout, DatasetError> {
        arranged_as(paths, Nesting::Flat)
    }

    fn names(layout: &Layout) -> Vec<(&str, usize)> {
        layout
            .items
            .iter()
            .map(|item| (item.name.as_str(), item.class))
            .collect()
    }

    #[test]
    fn classes_and_items_are_sorted() {
        let layout =
            arranged(&["b/2.png", "a-b/1.JPG", "b/1.jpeg", "a/", "a/9.Png", "b/"]).unwrap();
        assert_eq!(layout.classes, ["a", "a-b", "b"]);
        assert_eq!(
            names(&layout),
            [
                ("a/9.Png", 0),
                ("a-b/1.JPG", 1),
                ("b/1.jpeg", 2),
                ("b/2.png", 2)
            ]
        );
    }

    #[test]
    fn what_is_no_image_is_counted() {
        let paths = [
            "a/1.png",
            "a/._1.png",
            "__MACOSX/a/._1.png",
            "README.md",
            "a/notes.txt",
            ".git/x.png",
            "sheet.png",
        ];
        let layout = arranged(&paths).unwrap();
        assert_eq!((names(&layout), layout.skipped), (vec![("a/1.png", 0)], 6));
    }

    #[test]
    fn one_wrapping_folder_is_looked_through() {
        let layout = arranged(&[
            "set/",
            "set/a/",
            "set/a/1.png",
            "set/b/1.png",
            "set/LICENSE",
            "docs/",
        ])
        .unwrap();
        assert_eq!(names(&layout), [("a/1.png", 0), ("b/1.png", 1)]);
        let train_and_test = arranged(&["train/a/1.png", "test/a/1.png"]).unwrap_err();
        assert!(
            matches!(train_and_test, DatasetError::TooDeep { .. }),
            "{train_and_test}"
        );
        let mixed = arranged(&["a/1.png", "a/more/2.png"]).unwrap_err();
        assert!(mixed.to_string().contains("a/more/2.png"), "{mixed}");
    }

    #[test]
    fn nested_classes_are_the_folders_that_hold_images() {
        let nested = |paths: &[&str]| arranged_as(paths, Nesting::Deep);
        let layout = nested(&[
            "all/",
            "all/Greek/",
            "all/Greek/a/2.png",
            "all/Greek/a/1.png",
            "all/Greek/b.png",
            "all/empty/",
            "all/Latin/a/1.png",
        ])
        .unwrap();
        assert_eq!(layout.classes, ["Greek", "Greek/a", "Latin/a"]);
        assert_eq!(
            names(&layout),
            [
                ("Greek/b.png", 0),
                ("Greek/a/1.png", 1),
                ("Greek/a/2.png", 1),
                ("Latin/a/1.png", 2)
            ]
        );
        let between = nested(&["a/1.png", "a/more/2.png", "a/z.png", "x/y/z/1.png"]).unwrap();
        assert_eq!(between.classes, ["a", "a/more", "x/y/z"]);
        assert_eq!(between.items[1].name, "a/z.png");
        let deep = nested(&["1/2/3/4/5/6/7/8/x.png"]).unwrap_err().to_string();
        assert!(deep.ends_with("expected at most 7 folders"), "{deep}");
        let flat = nested(&["1.png"]).unwrap_err();
        assert!(
            matches!(flat, DatasetError::NoClassFolders { .. }),
            "{flat}"
        );
    }

    #[test]
    fn the_last_of_two_equal_paths_counts() {
        let entry = |offset| Entry {
            parts: vec!["a".to_owned(), "1.png".to_owned()],
            kind: EntryKind::File(Place::Tar { offset, length: 1 }),
        };
        let layout = arrange(
            Path::new("x.tar"),
            vec![entry(512), entry(2048)],
            Nesting::Flat,
        )
        .unwrap();
        assert_eq!(layout.items.len(), 1);
        assert_eq!(
            layout.items[0].place,
            Place::Tar {
                offset: 2048,
                length: 1
            }
        );
    }

    #[test]
    fn refusals_say_what_was_found() {
        assert!(matches!(arranged(&[]), Err(DatasetError::Empty { .. })));
        let none = arranged(&["a/", "a/1.webp", "b/2.txt"]).unwrap_err();
        assert!(
            none.to_string()
                .ends_with("found 2 other files, such as a/1.webp"),
            "{none}"
        );
        let folders = arranged(&["a/", "b/"]).unwrap_err().to_string();
        assert!(folders.ends_with("found 2 empty folders"), "{folders}");
        let flat = arranged(&["1.png", "2.png"]).unwrap_err().to_string();
        assert!(
            flat.contains("2 images") && flat.contains("1.png"),
            "{flat}"
        );
        let empty = arranged(&["a/1.png", "b/", "c/", "c/x.txt"])
            .unwrap_err()
            .to_string();
        assert!(empty.ends_with("data: b, c"), "{empty}");
    }
}
