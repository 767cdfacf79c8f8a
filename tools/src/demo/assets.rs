//! What the demo carries with it: `tools/assets/demo`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A task of the demo.
#[derive(Clone, Copy, Debug)]
pub struct DemoTask {
    /// Stem of its files.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// How its training images may be varied.
    pub augment: &'static str,
}

/// Two tasks with a ready patch.
pub const READY: [DemoTask; 2] = [
    DemoTask {
        name: "sign-digits",
        title: "hand signs",
        augment: "crop,color",
    },
    DemoTask {
        name: "fashion",
        title: "clothes",
        augment: "crop,flip",
    },
];

/// The task that is trained while the user watches.
pub const LIVE: DemoTask = DemoTask {
    name: "greek",
    title: "Greek letters",
    augment: "crop",
};

/// File name of the backbone.
pub const BACKBONE: &str = "demo.backbone";

macro_rules! embedded {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("../../assets/demo/", $name)) as &[u8])),*]
    };
}

static FILES: [(&str, &[u8]); 9] = embedded![
    "demo.backbone",
    "sign-digits.patch",
    "sign-digits-train.tar",
    "sign-digits-test.tar",
    "fashion.patch",
    "fashion-train.tar",
    "fashion-test.tar",
    "greek-train.tar",
    "greek-test.tar"
];

/// Writes all files to this folder.
///
/// # Errors
/// What the system says.
pub fn unpack(folder: &Path) -> Result<()> {
    for (name, bytes) in FILES {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Dataset;
    use graft_runtime::{Backbone, Patch};

    #[test]
    fn ready_patches_fit_the_backbone_and_the_classes_of_their_data() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path()).unwrap();
        let backbone = Backbone::open(folder.path().join(BACKBONE)).unwrap();
        for task in READY {
            let patch = Patch::open(
                folder.path().join(format!("{}.patch", task.name)),
                &backbone,
            )
            .unwrap();
            let labels = patch.image().unwrap().metadata().unwrap().labels;
            for part in ["train", "test"] {
                let data =
                    Dataset::open(folder.path().join(format!("{}-{part}.tar", task.name))).unwrap();
                assert_eq!(data.classes(), labels, "{} {part}", task.name);
            }
        }
    }
}
