//! `patchtool federate`: all clients of a federation in one process, for experiments, and what to compare them with.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use graft_data::dataset::Dataset;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::split::match_classes;
use patchtool::commands::arguments::Common;
use patchtool::hint::Hint;
use patchtool::report::{Report, Table};
use patchtool::threads;
use serde_json::json;

use crate::client::Round;
use crate::files;
use crate::lie::Lie;
use crate::member::Member;
use crate::setup::{Learning, Part, Setup, federation, labelled};
use crate::skew::{Shares, divide};
use crate::topology::Topology;
use crate::transport::{Place, Room};

/// Arguments of `federate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  patchtool federate --backbone demo.backbone --data fashion.tar --test fashion-test.tar --clients 5 --skew 100 --topology ring
  patchtool federate --backbone demo.backbone --client a=A --client b=B --public photos --labels labels.txt --test test -o patches
--method isolated, pooled and average are what to compare with.")]
pub struct Arguments {
    /// Backbone file. Of several, clients take turns: they need not have the same.
    #[arg(short, long, value_name = "B", required = true)]
    backbone: Vec<PathBuf>,
    /// Images to divide among clients, laid out class/image.(jpg|png): a folder, tar or zip archive.
    #[arg(long, value_name = "DIR", required_unless_present = "client")]
    data: Option<PathBuf>,
    /// A client and its own images, in place of --data; with --public and --labels.
    #[arg(long, value_name = "NAME=DIR", conflicts_with_all = ["data", "clients", "skew"], requires = "labels", value_parser = named)]
    client: Vec<(String, PathBuf)>,
    /// Clients to divide --data among.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    clients: u8,
    /// How much more a client sees of its main classes: 0 is even, 100 all but disjoint, inf disjoint.
    #[arg(long, value_name = "S", default_value_t = 100.0, value_parser = skew)]
    skew: f64,
    /// Public images, whose classes nobody knows: a share of every class of --data, or a data set (names of its folders are not
    /// looked at).
    #[arg(long, value_name = "SHARE or DIR", default_value = "0.1")]
    public: PathBuf,
    /// Class names, one a line, on which all clients agree; by default those of --data.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Images to test with, once, at the end; laid out as --data.
    #[arg(long, value_name = "DIR")]
    test: PathBuf,
    /// Use at most this many images of --data, evenly from all classes.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Way of learning.
    #[arg(long, value_enum, default_value_t = Method::Distil)]
    method: Method,
    /// Who learns from whom: complete, ring, or a file with the names of two neighbours on each line. Clients of --data are
    /// called 0, 1, ...
    #[arg(long, value_name = "HOW", default_value = "complete")]
    topology: Topology,
    /// Let the last client lie about all public images.
    #[arg(long, value_enum, value_name = "HOW")]
    lie: Option<Lie>,
    /// Folder for the patches of every client, NAME.main and NAME.shared, as .patch and as .safetensors.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Overwrite them if they exist.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    learning: Learning,
}

/// Ways of learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Method {
    /// Multi-headed distillation.
    Distil,
    /// Every client for itself.
    Isolated,
    /// One client with the images of all.
    Pooled,
    /// The values of all patches are averaged after each round (FedAvg, McMahan et al. 2017).
    Average,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distil => "distil",
            Self::Isolated => "isolated",
            Self::Pooled => "pooled",
            Self::Average => "average",
        })
    }
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=DIR")?;
    match name.is_empty() || path.is_empty() {
        true => Err("expected NAME=DIR".into()),
        false => Ok((name.into(), path.into())),
    }
}

fn skew(text: &str) -> Result<f64, String> {
    let skew = text.parse().ok().filter(|skew: &f64| *skew >= 0.0);
    skew.ok_or_else(|| "expected 0 or more, or inf".into())
}

/// Images of clients, of the public, and their labels.
struct Data {
    labels: Vec<String>,
    public: (Dataset, Vec<usize>),
    names: Vec<String>,
    /// Of each client: data set, and which of its images.
    private: Vec<(Dataset, Vec<usize>)>,
}

impl Arguments {
    fn data(&self) -> Result<Data> {
        let share = self
            .public
            .to_str()
            .and_then(|text| text.parse::<f64>().ok());
        let labels = self
            .labels
            .as_deref()
            .map(crate::setup::labels)
            .transpose()?;
        let all = |dataset: Dataset| {
            let indices = (0..dataset.len()).collect();
            (dataset, indices)
        };
        if let (Some(labels), None) = (&labels, &self.data) {
            if share.is_some() {
                bail!(Hint::new(
                    "--client needs a data set of public images".into(),
                    "give it with --public",
                ));
            }
            let private = self
                .client
                .iter()
                .map(|(_, path)| Ok(all(labelled(path, labels)?)));
            return Ok(Data {
                labels: labels.clone(),
                public: all(Dataset::open(&self.public)?),
                names: self.client.iter().map(|(name, _)| name.clone()).collect(),
                private: private.collect::<Result<_>>()?,
            });
        }
        let path = self
            .data
            .as_deref()
            .context("clap requires --data or --client")?;
        let open = || match &labels {
            Some(labels) => labelled(path, labels),
            None => Ok(Dataset::open(path)?),
        };
        let dataset = open()?;
        graft_data::split::check_classes(dataset.classes())?;
        let classes: Vec<usize> = dataset.items().iter().map(|item| item.class).collect();
        let mut chosen: Vec<usize> = (0..dataset.len()).collect();
        if let Some(limit) = self.limit {
            chosen = graft_data::split::limit(&chosen, &classes, limit, self.learning.seed);
        }
        let of_chosen: Vec<usize> = chosen.iter().map(|&image| classes[image]).collect();
        let public = share.unwrap_or(0.0);
        if !(0.0..1.0).contains(&public) {
            bail!(Hint::new(
                format!("{public} is no share of public images"),
                "give a share from 0 to below 1, or a data set, with --public",
            ));
        }
        let Shares { public, clients } = divide(
            &of_chosen,
            self.clients.into(),
            self.skew,
            public,
            self.learning.seed,
        );
        let own = |images: Vec<usize>| images.into_iter().map(|at| chosen[at]).collect();
        let private = clients.into_iter().map(|images| Ok((open()?, own(images))));
        Ok(Data {
            labels: dataset.classes().to_vec(),
            names: (0..self.clients).map(|name| name.to_string()).collect(),
            private: private.collect::<Result<_>>()?,
            public: match share {
                Some(_) => (dataset, own(public)),
                None => all(Dataset::open(&self.public)?),
            },
        })
    }
}

/// Accuracies of a client, 0 to 1, by head.
struct Accuracy {
    /// On images as the client sees them: classes weigh as many as it has of them.
    private: Vec<f64>,
    /// On images of all classes alike.
    shared: Vec<f64>,
}

/// Trains all clients and tests each.
///
/// # Errors
/// Whatever cannot be read, learned or written.
pub fn run(arguments: &Arguments, common: &Common) -> Result<Report> {
    let learning = &arguments.learning;
    threads::start(learning.threads)?;
    let mut data = arguments.data()?;
    if let Some(folder) = &arguments.output {
        files::check(folder, &data.names, arguments.force)?;
    }
    let method = arguments.method;
    let heads = match method {
        Method::Distil => usize::from(learning.heads),
        Method::Isolated | Method::Pooled | Method::Average => 0,
    };
    let neighbours = arguments.topology.neighbours(&data.names)?;
    let mixes = mixes(&data);
    if method == Method::Pooled {
        pool(&mut data);
    }
    let public = Part {
        dataset: &data.public.0,
        indices: &data.public.1,
    };
    if public.indices.is_empty() {
        bail!(Hint::new(
            "there are no public images".into(),
            "give a larger share, or a data set, with --public"
        ));
    }
    let federation = federation(&public, &data.labels, heads)?;
    let setups = arguments.backbone.iter();
    let setups = setups.map(|path| Setup::open(path, &data.labels, &public, learning, common));
    let setups: Vec<Setup<'_>> = setups.collect::<Result<_>>()?;
    if method == Method::Average && setups.len() > 1 {
        bail!(Hint::new(
            "patches of several backbones have no average".into(),
            "give one --backbone",
        ));
    }
    let room = Room::default();
    let mut members = Vec::new();
    for (at, (dataset, indices)) in data.private.iter().enumerate() {
        let private = Part { dataset, indices };
        let path = arguments
            .data
            .as_deref()
            .unwrap_or_else(|| &arguments.client[at].1);
        let client = setups[at % setups.len()]
            .client(heads, &private, path)
            .with_context(|| format!("client {}", data.names[at]))?;
        let names = neighbours.get(at).into_iter().flatten();
        let names = names
            .map(|&neighbour| data.names[neighbour].clone())
            .collect();
        let place = room.place(&data.names[at]);
        let of_all = (learning.rounds, learning.belief(), learning.fresh);
        members.push(Member::new(
            client,
            federation.clone(),
            names,
            place,
            of_all,
        ));
    }
    let mut seconds = Vec::new();
    for round in 0..learning.rounds {
        let start = std::time::Instant::now();
        let sums = one_round(&mut members, arguments)?;
        seconds.push(start.elapsed().as_secs_f64());
        let mean = |of: fn(&Round) -> f64| sums.iter().map(of).sum::<f64>() / sums.len() as f64;
        tracing::info!(
            "round {}: loss {:.3} on private images, {:.3} on public ones",
            round + 1,
            mean(|sums| sums.private_loss),
            mean(|sums| sums.public_loss)
        );
    }
    let mut test = Dataset::open(&arguments.test)?;
    match_classes(&mut test, &data.labels, "test")?;
    let indices: Vec<usize> = (0..test.len()).collect();
    let part = Part {
        dataset: &test,
        indices: &indices,
    };
    let tests = setups.iter().map(|setup| setup.test(&part));
    let tests: Vec<EvaluationSet> = tests.collect::<Result<_>>()?;
    let accuracies: Vec<Accuracy> = match &mut members[..] {
        // The pooled client has no mix of its own: it serves each of the others.
        [pooled] if method == Method::Pooled => {
            let counts = pooled.client.test(&tests[0]);
            mixes.iter().map(|mix| accuracy(&counts, mix)).collect()
        }
        members => {
            let members = members.iter_mut().zip(&mixes).enumerate();
            members
                .map(|(at, (member, mix))| {
                    accuracy(&member.client.test(&tests[at % tests.len()]), mix)
                })
                .collect()
        }
    };
    if let Some(folder) = &arguments.output {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for (member, name) in members.iter_mut().zip(&data.names) {
            files::write(folder, name, &mut member.client, heads, arguments.force)?;
        }
    }
    Ok(report(
        arguments,
        &data,
        &mixes,
        &members,
        &accuracies,
        seconds,
    ))
}

/// A round of all clients.
fn one_round(members: &mut [Member<Place>], arguments: &Arguments) -> Result<Vec<Round>> {
    let count = members.len();
    if arguments.method == Method::Distil {
        for (at, member) in members.iter_mut().enumerate() {
            match arguments.lie {
                Some(lie) if at + 1 == count => member.lie(lie),
                Some(_) | None => member.speak(),
            }
        }
        for member in &mut *members {
            while member.hear(Duration::ZERO) {}
        }
    }
    let rounds = members.iter_mut().map(|member| member.learn(|_| Ok(())));
    let rounds = rounds.collect::<Result<_>>()?;
    if arguments.method == Method::Average {
        let of_members: Vec<Vec<f32>> = members
            .iter_mut()
            .map(|member| member.client.values())
            .collect();
        let mean =
            |at: usize| of_members.iter().map(|values| values[at]).sum::<f32>() / count as f32;
        let average: Vec<f32> = (0..of_members[0].len()).map(mean).collect();
        for member in members {
            member.client.set_values(&average);
        }
    }
    Ok(rounds)
}

/// Number of images of each client and class.
fn mixes(data: &Data) -> Vec<Vec<usize>> {
    let mix = |(dataset, indices): &(Dataset, Vec<usize>)| {
        let mut counts = vec![0; data.labels.len()];
        for &image in indices {
            counts[dataset.items()[image].class] += 1;
        }
        counts
    };
    data.private.iter().map(mix).collect()
}

/// Leaves one client, with the images of all.
fn pool(data: &mut Data) {
    let mut all: Vec<usize> = Vec::new();
    for (_, indices) in &data.private {
        all.extend(indices);
    }
    all.sort_unstable();
    data.private.truncate(1);
    data.private[0].1 = all;
}

/// Accuracies by head, from numbers of images by head and class.
fn accuracy(counts: &[Vec<(usize, usize)>], mix: &[usize]) -> Accuracy {
    let weighed = |counts: &Vec<(usize, usize)>, weight: &dyn Fn(usize) -> f64| {
        let classes = counts.iter().enumerate().filter(|(_, (_, all))| *all > 0);
        let (sum, total) = classes.fold((0.0, 0.0), |(sum, total), (class, &(right, all))| {
            let weight = weight(class);
            (sum + weight * right as f64 / all as f64, total + weight)
        });
        if total > 0.0 { sum / total } else { 0.0 }
    };
    let private = counts
        .iter()
        .map(|counts| weighed(counts, &|class| mix[class] as f64));
    let shared = counts.iter().map(|counts| weighed(counts, &|_| 1.0));
    Accuracy {
        private: private.collect(),
        shared: shared.collect(),
    }
}

fn report(
    arguments: &Arguments,
    data: &Data,
    mixes: &[Vec<usize>],
    members: &[Member<Place>],
    accuracies: &[Accuracy],
    seconds: Vec<f64>,
) -> Report {
    let heads = accuracies[0].private.len();
    let mut heads_of = vec!["client".to_owned(), "images".into()];
    heads_of.extend((0..heads).map(|head| format!("head {head} private %")));
    heads_of.extend((0..heads).map(|head| format!("head {head} shared %")));
    let mut table = Table::new(&heads_of.iter().map(String::as_str).collect::<Vec<_>>());
    let percent = |accuracy: f64| format!("{:.1}", 100.0 * accuracy);
    for (at, accuracy) in accuracies.iter().enumerate() {
        let all = accuracy.private.iter().chain(&accuracy.shared);
        let images: usize = mixes[at].iter().sum();
        let first = [data.names[at].clone(), images.to_string()];
        table.row(
            first
                .into_iter()
                .chain(all.map(|&accuracy| percent(accuracy))),
        );
    }
    // Who lies is no measure of the others.
    let honest = accuracies.len() - usize::from(arguments.lie.is_some());
    let mean = |of: fn(&Accuracy) -> &Vec<f64>| -> Vec<f64> {
        let of_head = |head: usize| {
            accuracies[..honest]
                .iter()
                .map(|accuracy| of(accuracy)[head])
                .sum::<f64>()
        };
        (0..heads)
            .map(|head| of_head(head) / honest.max(1) as f64)
            .collect()
    };
    let (private, shared) = (
        mean(|accuracy| &accuracy.private),
        mean(|accuracy| &accuracy.shared),
    );
    let all = private.iter().chain(&shared);
    table.row(
        ["mean".to_owned(), String::new()]
            .into_iter()
            .chain(all.map(|&accuracy| percent(accuracy))),
    );
    let sent = members.iter().map(|member| member.sent).max().unwrap_or(0)
        / u64::from(arguments.learning.rounds);
    let public = data.public.1.len();
    let text = format!(
        "{table}{} public images; {sent} bytes from each client in each round\n",
        public
    );
    let clients = accuracies.iter().enumerate().map(|(at, accuracy)| {
        json!({
            "name": data.names[at],
            "images": mixes[at],
            "private": accuracy.private,
            "shared": accuracy.shared,
            "messages": members.get(at).map(Member::counts),
        })
    });
    let clients: Vec<_> = clients.collect();
    Report::new(
        text,
        json!({
            "method": arguments.method.to_string(),
            "private": private,
            "shared": shared,
            "clients": clients,
            "public_images": public,
            "bytes_per_round": sent,
            "round_seconds": seconds,
        }),
    )
}
