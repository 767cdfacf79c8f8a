//! The images of an experiment: those of clients, and the public ones.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use graft_data::dataset::Dataset;
use graft_data::split::{check_classes, limit};
use patchtool::hint::Hint;

use super::Arguments;
use crate::setup;
use crate::skew::{Shares, divide};

/// Some images of a data set.
type Images = (Rc<Dataset>, Vec<usize>);

/// Images of clients, of the public, and their labels.
pub(super) struct Data {
    pub(super) labels: Vec<String>,
    pub(super) public: Images,
    pub(super) names: Vec<String>,
    /// Of each client.
    pub(super) private: Vec<Images>,
}

impl Arguments {
    pub(super) fn data(&self) -> Result<Data> {
        let labels = self.labels.as_deref().map(setup::labels).transpose()?;
        match (labels, &self.data) {
            (Some(labels), None) => self.data_of_clients(labels),
            (labels, _) => self.divided(labels.as_deref()),
        }
    }

    /// The share of the images that are public, where it is no data set.
    fn public_share(&self) -> Option<f64> {
        self.public.to_str()?.parse().ok()
    }

    fn data_of_clients(&self, labels: Vec<String>) -> Result<Data> {
        if self.public_share().is_some() {
            bail!(Hint::new(
                "--client needs a data set of public images".into(),
                "give it with --public",
            ));
        }
        let own = |(_, path): &(String, PathBuf)| Ok(all(setup::labelled(path, &labels)?));
        Ok(Data {
            public: all(Dataset::open(&self.public)?),
            names: self.client.iter().map(|(name, _)| name.clone()).collect(),
            private: self.client.iter().map(own).collect::<Result<_>>()?,
            labels,
        })
    }

    fn divided(&self, labels: Option<&[String]>) -> Result<Data> {
        let path = self.data.as_deref();
        let path = path.context("clap requires --data or --client")?;
        let dataset = match labels {
            Some(labels) => setup::labelled(path, labels)?,
            None => Dataset::open(path)?,
        };
        check_classes(dataset.classes())?;
        let share = self.public_share();
        let public = share.unwrap_or(0.0);
        if !(0.0..1.0).contains(&public) {
            bail!(Hint::new(
                format!("{public} is no share of public images"),
                "give a share from 0 to below 1, or a data set, with --public",
            ));
        }
        let seed = self.learning.seed;
        let classes: Vec<usize> = dataset.items().iter().map(|item| item.class).collect();
        let mut chosen: Vec<usize> = (0..dataset.len()).collect();
        if let Some(count) = self.limit {
            chosen = limit(&chosen, &classes, count, seed);
        }
        let of_chosen: Vec<usize> = chosen.iter().map(|&image| classes[image]).collect();
        let Shares { public, clients } =
            divide(&of_chosen, self.clients.into(), self.skew, public, seed);
        let dataset = Rc::new(dataset);
        let own = |images: Vec<usize>| -> Images {
            let images = images.into_iter().map(|at| chosen[at]);
            (dataset.clone(), images.collect())
        };
        Ok(Data {
            labels: dataset.classes().to_vec(),
            names: (0..self.clients).map(|name| name.to_string()).collect(),
            private: clients.into_iter().map(own).collect(),
            public: match share {
                Some(_) => own(public),
                None => all(Dataset::open(&self.public)?),
            },
        })
    }
}

fn all(dataset: Dataset) -> Images {
    let indices = (0..dataset.len()).collect();
    (Rc::new(dataset), indices)
}

impl Data {
    /// Number of images of each client and class.
    pub(super) fn mixes(&self) -> Vec<Vec<usize>> {
        let mix = |(dataset, indices): &Images| {
            let mut counts = vec![0; self.labels.len()];
            for &image in indices {
                counts[dataset.items()[image].class] += 1;
            }
            counts
        };
        self.private.iter().map(mix).collect()
    }

    /// Leaves one client, with the images of all, which are of one data set.
    pub(super) fn pool(&mut self) {
        let images = self.private.iter().flat_map(|(_, indices)| indices);
        let mut all: Vec<usize> = images.copied().collect();
        all.sort_unstable();
        self.private.truncate(1);
        self.private[0].1 = all;
    }
}
