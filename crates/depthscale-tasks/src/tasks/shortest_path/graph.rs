//! An undirected graph, and how far its nodes are from one another.

use std::collections::{BTreeMap, BTreeSet};

/// The edges of an undirected graph, each in both directions.
#[derive(Default)]
pub(super) struct Edges {
    both_ways: BTreeSet<(char, char)>,
}

impl Edges {
    /// Adds an edge, or says why it cannot be one.
    pub(super) fn insert(&mut self, a: char, b: char) -> Result<(), String> {
        if a == b {
            return Err(format!("the edge `{a}-{b}` leads nowhere; expected two different nodes"));
        }
        if !self.both_ways.insert((a, b)) {
            return Err(format!("the edge `{a}-{b}` is there twice; expected each edge once"));
        }
        self.both_ways.insert((b, a));
        Ok(())
    }

    /// Whether an edge has this node as an end.
    pub(super) fn has_node(&self, node: char) -> bool {
        self.neighbours(node).next().is_some()
    }

    /// The number of edges to every node that can be reached, by breadth-first search.
    pub(super) fn distances_from(&self, start: char) -> BTreeMap<char, u32> {
        let mut distances = BTreeMap::from([(start, 0)]);
        let mut level = vec![start];
        let mut distance = 0;
        while !level.is_empty() {
            distance += 1;
            let neighbours: BTreeSet<char> = level.into_iter().flat_map(|node| self.neighbours(node)).collect();
            level = neighbours.into_iter().filter(|node| !distances.contains_key(node)).collect();
            distances.extend(level.iter().map(|&node| (node, distance)));
        }
        distances
    }

    fn neighbours(&self, node: char) -> impl Iterator<Item = char> + '_ {
        self.both_ways.range((node, char::MIN)..=(node, char::MAX)).map(|&(_, neighbour)| neighbour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_on_a_cycle_counted_by_hand() {
        let mut edges = Edges::default();
        for (a, b) in [('a', 'b'), ('b', 'c'), ('c', 'd'), ('d', 'e'), ('e', 'a'), ('x', 'y')] {
            edges.insert(a, b).unwrap();
        }
        let distances = edges.distances_from('a');
        assert_eq!(distances, BTreeMap::from([('a', 0), ('b', 1), ('c', 2), ('d', 2), ('e', 1)]));
        assert!(edges.has_node('y') && !edges.has_node('z'));
    }
}
