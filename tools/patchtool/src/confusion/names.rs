//! Names of classes on the axes of a picture: short, all different, in letters that the font has.

use std::collections::HashMap;

use crate::picture::{can_write, fitted, text_width};

/// Name of each class, none wider than `width` units at this size. Where one is cut, what tells it from the others stays.
/// A name in letters that the font lacks becomes the number of its class.
pub(super) fn short(named: &[(usize, String)], size: i32, width: i32) -> Vec<String> {
    let written: Vec<String> = named
        .iter()
        .map(|(class, name)| writable(*class, name))
        .collect();
    let shared = shared_starts(&written);
    let cut: Vec<String> = written
        .iter()
        .zip(shared)
        .map(|(name, shared)| cut(name, shared, size, width))
        .collect();
    let mut uses = HashMap::new();
    for name in &cut {
        *uses.entry(name.as_str()).or_insert(0) += 1;
    }
    let unlike = |(name, (class, _)): (&String, &(usize, String))| match uses[name.as_str()] {
        1 => name.clone(),
        _ => fitted(size, &format!("{class}: {name}"), width),
    };
    cut.iter().zip(named).map(unlike).collect()
}

/// The name, or the number of the class beside those words that the font can write.
fn writable(class: usize, name: &str) -> String {
    if !name.trim().is_empty() && name.chars().all(can_write) {
        return name.to_owned();
    }
    let known: String = name
        .chars()
        .map(|letter| if can_write(letter) { letter } else { ' ' })
        .collect();
    let words: Vec<&str> = known.split_whitespace().collect();
    match known.chars().any(char::is_alphanumeric) {
        true => format!("{class}: {}", words.join(" ")),
        false => format!("class {class}"),
    }
}

/// Of each name: the letters at its start that another one has, too.
fn shared_starts(names: &[String]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|&index| &names[index]);
    let mut shared = vec![0; names.len()];
    // The longest start is shared with a neighbour.
    for pair in order.windows(2) {
        let [one, other] = [pair[0], pair[1]].map(|index| names[index].chars());
        let same = one.zip(other).take_while(|(a, b)| a == b).count();
        for &index in pair {
            shared[index] = shared[index].max(same);
        }
    }
    shared
}

/// The name, cut to the width: at its end, or where that would leave only the `shared` letters, among those.
fn cut(name: &str, shared: usize, size: i32, width: i32) -> String {
    let end_cut = fitted(size, name, width);
    // With two letters that are its own: one may be part of a longer number.
    if end_cut == name || end_cut.chars().count() > shared + 2 {
        return end_cut;
    }
    let letters: Vec<char> = name.chars().collect();
    let from = word_start(&letters, shared.min(letters.len().saturating_sub(1)));
    let own: String = letters[from..].iter().collect();
    let own = fitted(size, &own, 2 * width / 3);
    let mut start: String = letters[..from].iter().collect();
    while text_width(size, &format!("{start}…{own}")) > width && start.pop().is_some() {}
    format!("{}…{own}", start.trim_end())
}

/// The start of the word around a letter; the letter itself where the word starts far before.
fn word_start(letters: &[char], at: usize) -> usize {
    let is_break = |&index: &usize| !letters[index - 1].is_alphanumeric();
    let near = at.saturating_sub(8).max(1);
    (near..=at).rev().find(is_break).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(names: &[&str]) -> Vec<(usize, String)> {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .enumerate()
            .collect()
    }

    #[test]
    fn names_are_cut_where_they_are_alike() {
        let names = named(&[
            "Photographs of garden birds, 2024, blackbird",
            "Photographs of garden birds, 2024, robin",
            "a name as long as these that is alone in how it starts",
            "wren",
        ]);
        let short = short(&names, 24, 300);
        assert!(
            short[0].starts_with("Phot") && short[0].ends_with("…blackbird"),
            "{short:?}"
        );
        assert!(short[1].ends_with("…robin"), "{short:?}");
        assert!(
            short[2].starts_with("a name as long") && short[2].ends_with('…'),
            "{short:?}"
        );
        assert_eq!(short[3], "wren");
    }

    #[test]
    fn letters_that_the_font_lacks_become_numbers() {
        let names = named(&["犬", "قطة", "🐶 dog", "🐱 dog", "čáp", "", "Βήτα"]);
        let short = short(&names, 24, 300);
        assert_eq!(
            short,
            [
                "class 0", "class 1", "2: dog", "3: dog", "čáp", "class 5", "Βήτα"
            ]
        );
    }

    proptest! {
        #[test]
        fn names_stay_apart_and_narrow(
            words in prop::collection::hash_set("(one long start |another )?[a-c]{0,3}[0-9]{0,30}( and one long end)?", 2..12),
        ) {
            let names: Vec<(usize, String)> = words.into_iter().enumerate().collect();
            let short = short(&names, 24, 240);
            for (index, name) in short.iter().enumerate() {
                prop_assert!(text_width(24, name) <= 240, "{name}");
                prop_assert!(!short[..index].contains(name), "{short:?}");
            }
        }
    }
}
