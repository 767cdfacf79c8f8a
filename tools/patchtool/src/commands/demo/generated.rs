//! The scene of the demo that trains nothing: a generator makes patches of a few drawings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use graft_runtime::Backbone;

use super::{Player, Story};
use crate::demo::assets::{self, Unseen};
use crate::demo::measure::{self, accuracy};
use crate::hyper::{Hyper, SupportSet, prototype};
use crate::report::bytes;
use crate::task;
use graft_data::preprocess::Preprocess;

/// Generated patches, for a backbone of their own.
pub(super) struct Generated {
    pub(super) backbone: Backbone,
    pub(super) players: Vec<Player>,
    /// Time that each took.
    pub(super) times: Vec<Duration>,
}

impl Story<'_> {
    /// Patches of few drawings; `first` is the backbone of the other scenes, to compare with.
    pub(super) fn generate(&self, first: &Backbone) -> Result<Generated> {
        let hyper = Hyper::open(&self.path(assets::HYPER))?;
        let backbone = Backbone::open(self.path(assets::HYPER_BACKBONE))?;
        self.tell(&format!(
            "5. Characters that it has never seen: patches without any training\n\
             A second backbone, {}, and a generator of all of its weights, {} at rest, meta-trained on other alphabets.",
            bytes(backbone.image().bytes().len()),
            bytes(std::fs::metadata(self.path(assets::HYPER))?.len() as usize),
        ))?;
        let mut generated = Generated {
            backbone,
            players: Vec::new(),
            times: Vec::new(),
        };
        for task in assets::UNSEEN {
            let (player, time) = self.unseen(first, &hyper, &generated.backbone, task)?;
            generated.players.push(player);
            generated.times.push(time);
        }
        self.tell("")?;
        Ok(generated)
    }

    fn unseen(
        &self,
        first: &Backbone,
        hyper: &Hyper,
        backbone: &Backbone,
        task: Unseen,
    ) -> Result<(Player, Duration)> {
        let Unseen { name, title, test } = task;
        let line = format!(
            "patchtool generate --hyper {} --support {name}.tar",
            assets::HYPER
        );
        self.tell(&format!("$ {line} -o {name}.patch"))?;
        let support = self.support(name, backbone)?;
        let (patch, time) = measure::generate(hyper, name, backbone, &support)?;
        let path = self.path(&format!("{name}.patch"));
        let written = patch.image().map_or(&[][..], |image| image.bytes());
        std::fs::write(&path, written)
            .with_context(|| format!("cannot write {}", path.display()))?;

        let means = prototype::generate(name, first, &self.support(name, first)?)?.bind(first)?;
        let images =
            |backbone| measure::open(&self.path(&format!("{test}.tar")), &preprocess(backbone)?);
        let own = images(backbone)?;
        let player = Player {
            name,
            title,
            accuracy: [
                // The backbone has no classes of its own.
                1.0 / own.classes().len() as f64,
                accuracy(first, &means, &images(first)?)?,
                accuracy(backbone, &patch, &own)?,
            ],
            images: own,
            patch: Arc::new(patch),
        };
        self.tell(&format!(
            "{} drawings -> {} in {:.1} ms, right on {:.0} % of {} drawings by other people",
            support.classes.len(),
            bytes(player.patch.receipt().bytes_mapped),
            1e3 * time.as_secs_f64(),
            100.0 * player.accuracy[2],
            player.images.len(),
        ))?;
        Ok((player, time))
    }

    /// The drawings to learn from, as this backbone wants them.
    fn support(&self, name: &str, backbone: &Backbone) -> Result<SupportSet> {
        let path = self.path(&format!("{name}.tar"));
        Ok(SupportSet::read(
            &path,
            &preprocess(backbone)?,
            &self.common.watch(),
        )?)
    }
}

fn preprocess(backbone: &Backbone) -> Result<Preprocess> {
    let image = backbone.image();
    task::preprocess(&image.input(), image.metadata()?.resize.uncropped())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use graft_runtime::Patch;

    use super::*;
    use crate::commands::arguments::Common;

    #[test]
    fn few_drawings_make_patches_that_know_what_other_people_draw() {
        let folder = tempfile::tempdir().unwrap();
        assets::unpack(folder.path()).unwrap();
        let story = Story {
            folder: folder.path(),
            common: Common {
                json: true,
                quiet: true,
                verbose: 0,
                watcher: None,
            },
            start: Instant::now(),
        };
        let first = Backbone::open(folder.path().join(assets::BACKBONE)).unwrap();
        let generated = story.generate(&first).unwrap();
        for (player, least) in generated.players.iter().zip([0.6, 0.8]) {
            let [_, means, patch] = player.accuracy;
            assert!(patch > means.max(least), "{patch}, class means {means}");
            let kept = folder.path().join(format!("{}.patch", player.name));
            let kept = Patch::open(kept, &generated.backbone).unwrap();
            let again = accuracy(&generated.backbone, &kept, &player.images).unwrap();
            assert_eq!(again, patch);
        }
        let [one, five] = &generated.players[..] else {
            panic!("two patches");
        };
        assert!(five.accuracy[2] > one.accuracy[2]);
    }
}
