//! Links inside an archive, followed to the files that they lead to.

use std::collections::{HashMap, HashSet};
use std::iter::successors;

use super::layout::{Entry, EntryKind};
use super::names;

/// Links from one to the next that are followed, as many as Linux follows: loops end.
const MAX_LINKS: usize = 40;

/// Makes each link the file that it leads to, by way of other links too, or tells that it leads to a folder. Links that
/// lead to nothing stay.
pub(super) fn follow(entries: &mut [Entry]) {
    let is_link = |entry: &&Entry| matches!(entry.kind, EntryKind::Link(_));
    if !entries.iter().any(|entry| is_link(&entry)) {
        return;
    }
    let known = Known::new(entries);
    let destinations: Vec<Option<EntryKind>> = entries
        .iter()
        .filter(is_link)
        .map(|link| known.destination(&link.kind))
        .collect();
    let mut destinations = destinations.into_iter();
    for entry in entries {
        if let EntryKind::Link(_) = entry.kind
            && let Some(Some(destination)) = destinations.next()
        {
            entry.kind = destination;
        }
    }
}

/// Levels of folders of an archive that a link may lead to. Paths of more are no data set's, and to look at every folder of
/// one takes the square of its length.
const MAX_DEPTH: usize = 64;

/// What is in the archive, by path.
struct Known<'a> {
    kinds: HashMap<&'a [u8], &'a EntryKind>,
    /// Folders that something lies in, which an archive need not list.
    folders: HashSet<&'a [u8]>,
}

impl<'a> Known<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let paths = entries.iter().map(|entry| entry.path.as_slice());
        let paths = paths.filter(|path| names::parts(path).count() <= MAX_DEPTH);
        // The archive itself is one.
        let mut folders = HashSet::from([b"".as_slice()]);
        for path in paths {
            let mut above = successors(names::split(path).0, |folder| names::split(folder).0);
            while above.next().is_some_and(|folder| folders.insert(folder)) {}
        }
        let kinds = entries.iter();
        let kinds = kinds.map(|entry| (entry.path.as_slice(), &entry.kind));
        Self {
            kinds: kinds.collect(),
            folders,
        }
    }

    fn destination(&self, link: &EntryKind) -> Option<EntryKind> {
        let mut at = link;
        for _ in 0..MAX_LINKS {
            match at {
                EntryKind::File(place) => return Some(EntryKind::File(place.clone())),
                EntryKind::Link(target) => {
                    let target = target.as_deref()?;
                    if self.folders.contains(target) {
                        return Some(EntryKind::LinkedFolder);
                    }
                    at = self.kinds.get(target)?;
                }
                EntryKind::Folder
                | EntryKind::DeepFolder
                | EntryKind::UnreadableFolder
                | EntryKind::LinkedFolder => return Some(EntryKind::LinkedFolder),
                EntryKind::Special => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Place;
    use super::*;

    #[test]
    fn a_path_of_a_million_folders_takes_no_longer_than_it_is() {
        let deep = "a/".repeat(1_000_000) + "1.png";
        let entry = |path: &str, kind| Entry {
            path: path.into(),
            kind,
        };
        let place = || EntryKind::File(Place::Zip { index: 0 });
        let link = |to: &str| EntryKind::Link(Some(to.into()));
        let mut entries = [
            entry(&deep, place()),
            entry("a/1.png", place()),
            entry("b/1.png", link("a/1.png")),
            entry("b/2.png", link(&deep)),
            entry("c", link("b")),
        ];
        follow(&mut entries);
        let [_, _, file, deep, folder] = &entries;
        assert!(matches!(file.kind, EntryKind::File(_)));
        assert!(matches!(deep.kind, EntryKind::File(_)));
        assert!(matches!(folder.kind, EntryKind::LinkedFolder));
    }
}
