//! What a data set has besides its images.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::image_file::ImageFileError;

/// What is left out of a data set, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LeftOut(BTreeMap<Kind, Group>);

/// The reason to leave something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An image that cannot be read or decoded.
    Unreadable,
    /// A folder that cannot be read.
    UnreadableFolder,
    /// An image of a format that is not read, by its name.
    OtherFormat,
    /// A link in an archive that leads to no file of the archive.
    Link,
    /// A link to a folder, which is not followed.
    LinkedFolder,
    /// An image that is in no class folder.
    Stray,
    /// A folder that is nested too deep to be looked into.
    Deep,
    /// A class folder without images.
    Empty,
    /// A device, a pipe, a sparse file in an archive.
    Special,
    /// A file that is not named like an image.
    Other,
    /// A file that the user did not put there.
    Hidden,
}

/// The files or folders of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Group {
    count: usize,
    /// The first by name.
    first: String,
}

impl LeftOut {
    /// Adds the file or folder `name`.
    pub fn add(&mut self, kind: Kind, name: String) {
        self.join(
            kind,
            Group {
                count: 1,
                first: name,
            },
        );
    }

    /// Adds images that cannot be read.
    pub fn add_unreadable(&mut self, errors: &[ImageFileError]) {
        for error in errors {
            self.add(Kind::Unreadable, error.name().to_owned());
        }
    }

    /// Adds all of another data set.
    pub fn extend(&mut self, other: Self) {
        for (kind, group) in other.0 {
            self.join(kind, group);
        }
    }

    fn join(&mut self, kind: Kind, group: Group) {
        let Some(found) = self.0.get_mut(&kind) else {
            self.0.insert(kind, group);
            return;
        };
        found.count += group.count;
        if group.first < found.first {
            found.first = group.first;
        }
    }

    /// Number of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.0.get(&kind).map_or(0, |group| group.count)
    }

    /// The first of this kind by name.
    pub(super) fn first(&self, kind: Kind) -> Option<&str> {
        self.0.get(&kind).map(|group| group.first.as_str())
    }

    /// Number of all kinds.
    pub fn total(&self) -> usize {
        self.0.values().map(|group| group.count).sum()
    }

    /// Whether there is something that the user may miss: more than hidden files.
    fn is_notable(&self) -> bool {
        self.total() > self.count(Kind::Hidden)
    }

    /// Tells the log what is left out of the data set at `path`, if the user may miss it.
    pub(super) fn warn(&self, path: &Path) {
        if self.is_notable() {
            tracing::warn!("left out: {self} ({})", path.display());
        }
    }
}

impl Kind {
    /// The noun for one and for several.
    fn nouns(self) -> [&'static str; 2] {
        match self {
            Self::Unreadable => ["unreadable image", "unreadable images"],
            Self::UnreadableFolder => ["folder that cannot be read", "folders that cannot be read"],
            Self::OtherFormat => [
                "file that is no JPEG or PNG",
                "files that are no JPEG or PNG",
            ],
            Self::Link => [
                "link that leads to no file of the archive",
                "links that lead to no file of the archive",
            ],
            Self::LinkedFolder => ["link to a folder", "links to folders"],
            Self::Stray => [
                "image outside the class folders",
                "images outside the class folders",
            ],
            Self::Deep => ["folder nested too deep", "folders nested too deep"],
            Self::Empty => [
                "class folder without images",
                "class folders without images",
            ],
            Self::Special => ["special file", "special files"],
            Self::Other => ["other file", "other files"],
            Self::Hidden => ["hidden file", "hidden files"],
        }
    }
}

/// Counts and the first name of each kind, on one line.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, Group { count, first })) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let [one, several] = kind.nouns();
            match count {
                1 => write!(f, "{separator}1 {one}: {first}")?,
                _ => write!(f, "{separator}{count} {several}, such as {first}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_with_the_first_name() {
        let mut left_out = LeftOut::default();
        left_out.add(Kind::Hidden, ".x".into());
        assert!(!left_out.is_notable());
        left_out.add(Kind::OtherFormat, "b/1.webp".into());
        let mut more = LeftOut::default();
        more.add(Kind::OtherFormat, "a/2.gif".into());
        left_out.extend(more);
        assert_eq!(
            left_out.to_string(),
            "2 files that are no JPEG or PNG, such as a/2.gif; 1 hidden file: .x"
        );
        assert_eq!(
            (left_out.total(), left_out.count(Kind::OtherFormat)),
            (3, 2)
        );
        assert_eq!(
            serde_json::to_string(&left_out).unwrap(),
            r#"{"other_format":{"count":2,"first":"a/2.gif"},"hidden":{"count":1,"first":".x"}}"#
        );
    }
}
