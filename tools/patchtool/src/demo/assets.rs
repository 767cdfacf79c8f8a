//! Files that the demo carries with it: `tools/assets/demo`, the generator of Omniglot's characters, and what the guide
//! needs besides.

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
    /// Augmentation of its training images.
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

/// Characters that no backbone and no generator was trained on.
#[derive(Clone, Copy, Debug)]
pub struct Unseen {
    /// Stem of the drawings to learn from, and of the patch.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// Stem of the drawings to recognise.
    pub test: &'static str,
}

/// The first five characters of an alphabet that was held out, from one drawing of each and from five.
pub const UNSEEN: [Unseen; 2] = [
    Unseen {
        name: "sanskrit-1",
        title: "Sanskrit, of 1 each",
        test: "sanskrit-test",
    },
    Unseen {
        name: "sanskrit-5",
        title: "Sanskrit, of 5 each",
        test: "sanskrit-test",
    },
];

/// File name of the generator.
pub const HYPER: &str = "omniglot.hyper";

/// File name of the backbone that it generates for.
pub const HYPER_BACKBONE: &str = "omniglot.backbone";

/// File name of the backbone.
pub const BACKBONE: &str = "demo.backbone";

macro_rules! embedded {
    ($($folder:literal $name:literal),*) => {
        [$(($name, include_bytes!(concat!("../../../assets/", $folder, $name)) as &[u8])),*]
    };
}

static FILES: [(&str, &[u8]); 18] = embedded![
    "demo/" "demo.backbone",
    "demo/" "sign-digits.patch",
    "demo/" "sign-digits-train.tar",
    "demo/" "sign-digits-test.tar",
    "demo/" "fashion.patch",
    "demo/" "fashion-train.tar",
    "demo/" "fashion-test.tar",
    "demo/" "greek-train.tar",
    "demo/" "greek-test.tar",
    "demo/" "sanskrit-1.tar",
    "demo/" "sanskrit-5.tar",
    "demo/" "sanskrit-test.tar",
    "demo/recipes/" "gd++.json",
    "" "omniglot.hyper",
    "" "omniglot.backbone",
    "" "imagenet-classes.tsv",
    "" "chelsea.jpg",
    "" "coffee.jpg"
];

/// Writes all files to this folder.
///
/// # Errors
/// The system's error.
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
    use crate::hyper::Hyper;
    use graft_data::dataset::Dataset;
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

    #[test]
    fn the_generator_fits_its_backbone_and_both_parts_of_its_data_have_the_same_classes() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path()).unwrap();
        let backbone = Backbone::open(folder.path().join(HYPER_BACKBONE)).unwrap();
        let hyper = Hyper::open(&folder.path().join(HYPER)).unwrap();
        assert_eq!(hyper.backbone(), backbone.image().id());
        let open = |name| Dataset::open(folder.path().join(format!("{name}.tar"))).unwrap();
        for (task, shots) in UNSEEN.into_iter().zip([1, 5]) {
            let (support, test) = (open(task.name), open(task.test));
            assert_eq!(support.classes(), test.classes());
            assert_eq!([support.len(), test.len()], [5 * shots, 75]);
        }
    }
}
