//! One data set divided among clients that see different things.

use graft_data::random::{Purpose, generator};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

/// Images of a data set by who has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Nobody's, to be looked at by all, without their classes.
    pub public: Vec<usize>,
    /// Of each client.
    pub clients: Vec<Vec<usize>>,
}

/// Divides images with these classes. A share `public` of every class is public. Classes take turns at a primary client:
/// each other image goes to one of `clients` with a weight of `1 + skew` to the primary one and 1 to the others (Zhmoginov et
/// al. 2023, section 4.1); with an infinite skew to the primary one alone.
pub fn divide(labels: &[usize], clients: usize, skew: f64, public: f64, seed: u64) -> Shares {
    let mut random = generator(seed, Purpose::Split);
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut shares = Shares {
        public: Vec::new(),
        clients: vec![Vec::new(); clients],
    };
    for class in 0..classes {
        let mut images: Vec<usize> = (0..labels.len())
            .filter(|&image| labels[image] == class)
            .collect();
        images.shuffle(&mut random);
        let count = (public * images.len() as f64).round() as usize;
        shares
            .public
            .extend(images.drain(..count.min(images.len())));
        // Classes in a row are one client's: two main classes each, where there are ten classes and five clients.
        let primary = class * clients / classes;
        for image in images {
            let others = if skew.is_finite() {
                clients as f64 / (clients as f64 + skew)
            } else {
                0.0
            };
            let client = match random.random_bool(others) {
                true => random.random_range(0..clients),
                false => primary,
            };
            shares.clients[client].push(image);
        }
    }
    shares.public.sort_unstable();
    for images in &mut shares.clients {
        images.sort_unstable();
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_somebodys_and_primary_clients_have_the_most() {
        let labels: Vec<usize> = (0..10_000).map(|image| image % 10).collect();
        let shares = divide(&labels, 5, 100.0, 0.1, 1);
        assert_eq!(shares.public.len(), 1000);
        let mut all = [shares.public.clone(), shares.clients.concat()].concat();
        all.sort_unstable();
        assert_eq!(all, Vec::from_iter(0..10_000));
        // 1 of 105 weights for each of the four others: 34 of 3,600 images of the classes of one client.
        for (client, images) in shares.clients.iter().enumerate() {
            let own = images
                .iter()
                .filter(|&&image| labels[image] / 2 == client)
                .count();
            assert!((1680..1760).contains(&own), "{own}");
            assert!(
                (40..110).contains(&(images.len() - own)),
                "{}",
                images.len()
            );
        }
    }

    #[test]
    fn a_skew_of_zero_is_even_and_an_infinite_one_disjoint() {
        let labels: Vec<usize> = (0..10_000).map(|image| image % 10).collect();
        let even = divide(&labels, 5, 0.0, 0.1, 1);
        assert!(
            even.clients
                .iter()
                .all(|images| (1650..1950).contains(&images.len()))
        );
        let disjoint = divide(&labels, 5, f64::INFINITY, 0.1, 1);
        for (client, images) in disjoint.clients.iter().enumerate() {
            assert!(images.iter().all(|&image| labels[image] / 2 == client));
        }
        assert_eq!(disjoint, divide(&labels, 5, f64::INFINITY, 0.1, 1));
        assert_ne!(
            disjoint.public,
            divide(&labels, 5, f64::INFINITY, 0.1, 2).public
        );
    }
}
