//! `patchtool federate`: all clients of a federation in one process, for experiments, and what to compare them with.

mod data;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use data::Data;
use graft_data::dataset::Dataset;
use graft_data::evaluation_set::EvaluationSet;
use graft_data::split::match_classes;
use patchtool::commands::arguments::Common;
use patchtool::hint::Hint;
use patchtool::report::{Report, Table};
use patchtool::threads;
use serde_json::json;

use crate::files;
use crate::lessons::Round;
use crate::lie::Lie;
use crate::member::Member;
use crate::message::Federation;
use crate::setup::{Learning, Part, Setup, federation};
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
    /// The values of all patches are averaged after each round, weighed by images (FedAvg, McMahan et al. 2017).
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
    arguments.check(&data)?;
    let method = arguments.method;
    let heads = match method {
        Method::Distil => usize::from(learning.heads),
        Method::Isolated | Method::Pooled | Method::Average => 0,
    };
    let neighbours = arguments.topology.neighbours(&data.names)?;
    let mixes = data.mixes();
    if method == Method::Pooled {
        data.pool();
    }
    let public = Part {
        dataset: &data.public.0,
        indices: &data.public.1,
    };
    let setups = arguments.backbone.iter();
    let setups = setups.map(|path| Setup::open(path, &data.labels, &public, learning, common));
    let setups: Vec<Setup<'_>> = setups.collect::<Result<_>>()?;
    let tests = tests(&arguments.test, &data.labels, &setups)?;
    let federation = federation(&public, &data.labels, (heads, learning.rounds))?;
    let mut members = members(arguments, &data, &setups, &federation, &neighbours)?;
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
    let accuracies: Vec<Accuracy> = match &mut members[..] {
        // The pooled client has no mix of its own: it serves each of the others.
        [pooled] if method == Method::Pooled => {
            let counts = pooled.client.test(&tests[0]);
            mixes.iter().map(|mix| accuracy(&counts, mix)).collect()
        }
        members => {
            let members = members.iter_mut().zip(&mixes).enumerate();
            let measured = members.map(|(at, (member, mix))| {
                let test = &tests[at % tests.len()];
                accuracy(&member.client.test(test), mix)
            });
            measured.collect()
        }
    };
    if let Some(folder) = &arguments.output {
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

impl Arguments {
    /// Before hours of work: whether it can be done, and its results written.
    fn check(&self, data: &Data) -> Result<()> {
        files::check_names(&data.names)?;
        if data.public.1.is_empty() {
            bail!(Hint::new(
                "there are no public images".into(),
                "give a larger share, or a data set, with --public",
            ));
        }
        let is_alone = data.names.len() < 2;
        if self.lie.is_some() && (self.method != Method::Distil || is_alone) {
            bail!(Hint::new(
                "nobody is there to be lied to".into(),
                "give several clients and --method distil, or leave --lie out",
            ));
        }
        if self.method == Method::Pooled && self.data.is_none() {
            bail!(Hint::new(
                "the images of --client are in data sets of their own".into(),
                "put them into one, and give it with --data, for --method pooled",
            ));
        }
        if self.method == Method::Average && self.backbone.len() > 1 {
            bail!(Hint::new(
                "patches of several backbones have no average".into(),
                "give one --backbone",
            ));
        }
        if let Some(folder) = &self.output {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            files::check(folder, &data.names, self.force)?;
        }
        Ok(())
    }
}

/// The test images, as each backbone sees them.
fn tests(path: &Path, labels: &[String], setups: &[Setup<'_>]) -> Result<Vec<EvaluationSet>> {
    let mut dataset = Dataset::open(path)?;
    match_classes(&mut dataset, labels, "test")?;
    let indices: Vec<usize> = (0..dataset.len()).collect();
    let part = Part {
        dataset: &dataset,
        indices: &indices,
    };
    setups.iter().map(|setup| setup.test(&part)).collect()
}

/// All clients, each with its neighbours.
fn members(
    arguments: &Arguments,
    data: &Data,
    setups: &[Setup<'_>],
    federation: &Federation,
    neighbours: &[Vec<usize>],
) -> Result<Vec<Member<Place>>> {
    let learning = &arguments.learning;
    let room = Room::default();
    let private = data.private.iter().enumerate();
    let members = private.map(|(at, (dataset, indices))| {
        let name = &data.names[at];
        let path = arguments.data.as_deref();
        let path = path.unwrap_or_else(|| &arguments.client[at].1);
        let client = setups[at % setups.len()]
            .client(federation.speaking, &Part { dataset, indices }, path)
            .with_context(|| format!("client {name}"))?;
        let names = neighbours[at]
            .iter()
            .map(|&other| data.names[other].clone());
        let of_all = (learning.rounds, learning.belief(), learning.fresh);
        let place = room.place(name);
        Ok(Member::new(
            client,
            federation.clone(),
            names.collect(),
            place,
            of_all,
        ))
    });
    members.collect()
}

/// A round of all clients.
fn one_round(members: &mut [Member<Place>], arguments: &Arguments) -> Result<Vec<Round>> {
    let last = members.len() - 1;
    if arguments.method == Method::Distil {
        let honest = last + usize::from(arguments.lie.is_none());
        for member in &mut members[..honest] {
            member.speak();
        }
        for member in &mut *members {
            member.hear(Duration::ZERO)?;
        }
        // Who lies has heard the others.
        if let Some(lie) = arguments.lie {
            members[last].lie(lie);
            for member in &mut *members {
                member.hear(Duration::ZERO)?;
            }
        }
    }
    let rounds = members.iter_mut().map(Member::learn);
    let rounds = rounds.collect::<Result<_>>()?;
    if arguments.method == Method::Average {
        average(members);
    }
    Ok(rounds)
}

/// Gives all clients the mean of their values, weighed by their images; what their optimisers remember stays their own.
fn average(members: &mut [Member<Place>]) {
    let mut mean: Vec<f32> = Vec::new();
    let all: usize = members
        .iter()
        .map(|member| member.client.private_images())
        .sum();
    for member in &mut *members {
        let weight = member.client.private_images() as f32 / all as f32;
        let values = member.client.values();
        mean.resize(values.len(), 0.0);
        for (mean, value) in mean.iter_mut().zip(values) {
            *mean += weight * value;
        }
    }
    for member in members {
        member.client.set_values(&mean);
    }
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
