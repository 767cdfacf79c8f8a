//! Whom a client believes about a public image: of all teachers the most confident.
//!
//! "Decentralized Learning with Multi-Headed Distillation" (Zhmoginov et al. 2023) compares probabilities. A client that
//! says everything with probability 1 then teaches everybody, whatever it says. By [`Trust::Rank`], a confidence is its
//! place among all confidences of the same teacher, and of n teachers each is believed about one image in n at most: whoever
//! raises all of its confidences raises none, and whoever knows those of the others has no more than its share either.

use std::fmt;

use rand::Rng;
use rand::seq::SliceRandom as _;
use rand::seq::index::sample;

use crate::predictions::Predictions;

/// The measure of a teacher's confidence about an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Trust {
    /// The share of the images about which the same teacher is less confident; those with equal confidence count half. Nobody is
    /// believed about more than its share of the images.
    #[default]
    Rank,
    /// The probability of the most probable class, as the paper has it: for clients that trust each other.
    Probability,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rank => "rank",
            Self::Probability => "probability",
        })
    }
}

/// Whom to ask, and whom of them to believe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Belief {
    /// Measure of confidence.
    pub trust: Trust,
    /// Others that are asked about an image, drawn at random each time; `None` asks all. The paper asks one.
    pub asked: Option<usize>,
}

/// The index of the teacher that is believed about each image; all know the same images. The first, which is the client
/// itself, is always asked, and the first of equals is believed.
///
/// # Panics
/// If there is no teacher.
pub fn choose(
    teachers: &[&Predictions],
    Belief { trust, asked }: Belief,
    random: &mut impl Rng,
) -> Vec<usize> {
    let measures: Vec<[f32; 256]> = teachers
        .iter()
        .map(|teacher| match trust {
            Trust::Rank => ranks(teacher),
            Trust::Probability => std::array::from_fn(|share| share as f32),
        })
        .collect();
    let confidence =
        |teacher: usize, image| measures[teacher][usize::from(teachers[teacher].confidence(image))];
    let (images, others) = (teachers[0].images(), teachers.len() - 1);
    // All that are asked about each image, as pairs of image and teacher.
    let mut asked_about: Vec<(usize, usize)> = Vec::new();
    for image in 0..images {
        let drawn = match asked {
            Some(count) if count < others => sample(random, others, count).into_vec(),
            Some(_) | None => (0..others).collect(),
        };
        asked_about.push((image, 0));
        asked_about.extend(drawn.into_iter().map(|other| (image, other + 1)));
    }
    let asked_each = asked.map_or(others, |count| count.min(others)) + 1;
    let mut left: Vec<usize> = match trust {
        Trust::Rank => {
            let asked_of = |teacher| {
                asked_about
                    .iter()
                    .filter(|(_, own)| *own == teacher)
                    .count()
            };
            (0..=others)
                .map(|teacher| asked_of(teacher).div_ceil(asked_each))
                .collect()
        }
        Trust::Probability => vec![images; others + 1],
    };
    // Whoever of equals comes first is drawn.
    asked_about.shuffle(random);
    asked_about.sort_by(|a, b| confidence(b.1, b.0).total_cmp(&confidence(a.1, a.0)));
    // Where nobody may be believed any more, the client stays with what it says itself.
    let mut believed = vec![0; images];
    let mut is_open = vec![true; images];
    for (image, teacher) in asked_about {
        if is_open[image] && left[teacher] > 0 {
            (believed[image], is_open[image]) = (teacher, false);
            left[teacher] -= 1;
        }
    }
    believed
}

/// The rank of each confidence among those of a teacher, 0 to 1.
fn ranks(teacher: &Predictions) -> [f32; 256] {
    let mut counts = [0_usize; 256];
    for image in 0..teacher.images() {
        counts[usize::from(teacher.confidence(image))] += 1;
    }
    let mut below = 0;
    counts.map(|count| {
        let rank = (below as f32 + count as f32 / 2.0) / teacher.images() as f32;
        below += count;
        rank
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_data::random::{Purpose, generator};
    use graft_tests::Random;

    fn believed(teachers: &[&Predictions], trust: Trust, asked: Option<usize>) -> Vec<usize> {
        let mut random = generator(1, Purpose::Start);
        choose(teachers, Belief { trust, asked }, &mut random)
    }

    /// A teacher of two classes, as confident about each image as this score says.
    fn teacher(scores: &[f32]) -> Predictions {
        let rows: Vec<f32> = scores.iter().flat_map(|&score| [score, 0.0]).collect();
        Predictions::of(&rows, 2)
    }

    #[test]
    fn the_most_confident_is_believed() {
        let teachers = [&teacher(&[3.0, 1.0, 2.0]), &teacher(&[1.0, 3.0, 1.5])];
        for trust in [Trust::Rank, Trust::Probability] {
            assert_eq!(believed(&teachers, trust, None), [0, 1, 0], "{trust}");
        }
    }

    #[test]
    fn by_rank_nobody_is_believed_about_more_than_its_share() {
        let images = 1000;
        let scores = |seed| Random(seed).values(images, 5.0).into_iter().map(f32::abs);
        let at_random = |seed| teacher(&scores(seed).collect::<Vec<_>>());
        // Honest ones who are sure of most images are no better off, nor worse.
        let mostly_sure =
            |seed| teacher(&scores(seed).map(|score| 40.0 * score).collect::<Vec<_>>());
        let sure = teacher(&vec![50.0; images]);
        let of_last = |honest: &[Predictions], last: &Predictions, trust| {
            let teachers: Vec<&Predictions> = honest.iter().chain([last]).collect();
            let chosen = believed(&teachers, trust, None);
            chosen.into_iter().filter(|&teacher| teacher == 4).count()
        };
        let unsure: Vec<Predictions> = (0..4).map(at_random).collect();
        let surer: Vec<Predictions> = (0..4).map(mostly_sure).collect();
        assert_eq!(of_last(&unsure, &sure, Trust::Probability), images);
        for honest in [&unsure, &surer] {
            // One that knows what the others say is most confident where they are least.
            let highest = |image: usize| honest.iter().map(|one| one.confidence(image)).max();
            let informed: Vec<f32> = (0..images)
                .map(|image| 9.0 - f32::from(highest(image).unwrap()) / 50.0)
                .collect();
            for last in [&sure, &at_random(9), &teacher(&informed)] {
                assert!(of_last(honest, last, Trust::Rank) <= images / 5);
            }
        }
    }

    #[test]
    fn of_others_that_are_drawn_each_is_asked_as_often() {
        let images = 4000;
        let unsure = teacher(&vec![0.0; images]);
        let sure = teacher(&vec![9.0; images]);
        let teachers = [&unsure, &sure, &sure, &sure, &sure];
        let chosen = believed(&teachers, Trust::Probability, Some(1));
        for teacher in 1..5 {
            let count = chosen.iter().filter(|&&chosen| chosen == teacher).count();
            assert!((900..1100).contains(&count), "{teacher}: {count}");
        }
    }
}
