//! `a-b,b-c,d-e;a>c=`: distances in a small graph.

mod graph;

use std::ops::RangeInclusive;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngCore};

use self::graph::Edges;
use crate::scanner::Scanner;
use crate::{Problem, Task, TaskError, TaskKind};

/// The answer where no path exists.
const NO_PATH: &str = "x";
/// How often a drawn problem has no path.
const NO_PATH_SHARE: f64 = 1.0 / 8.0;
/// How many nodes there are beside those that the distance needs.
const SPARE_NODES: u32 = 3;

/// `a-b,b-c,d-e;a>c=` -> `2`: the number of edges on the shortest path between two nodes, `x` if there is no path.
///
/// Edges have no direction. The difficulty is the distance; without a path it is the distance from the first node to
/// the farthest one that it reaches, which is how far one has to look to be sure.
///
/// A drawn graph of difficulty d has d + 4 nodes, is in one piece or in two, and usually has more edges than these need
/// to hang together. About one problem of eight has no path.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShortestPath;

/// A node of a graph that is being drawn.
#[derive(Clone, Copy)]
struct Node {
    /// Whether the first node of the query reaches it.
    is_reached: bool,
    /// The distance from the first node of its piece. No edge joins levels more than one apart, which keeps it.
    level: u32,
}

impl Task for ShortestPath {
    fn kind(&self) -> TaskKind {
        TaskKind::ShortestPath
    }

    fn description(&self) -> &'static str {
        "the number of edges on the shortest path between two nodes"
    }

    fn difficulty_unit(&self) -> &'static str {
        "edges of distance"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=9
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let has_path = !rng.random_bool(NO_PATH_SHARE);
        // The size of the piece that the first node does not reach, out of the spare nodes.
        let apart =
            if has_path { *[0, 2, SPARE_NODES].choose(rng).unwrap_or(&0) } else { rng.random_range(2..=SPARE_NODES) };

        // A path of the wanted length from node 0 on.
        let mut nodes: Vec<Node> = (0..=difficulty).map(|level| Node { is_reached: true, level }).collect();
        let mut edges: Vec<(usize, usize)> = (1..nodes.len()).map(|node| (node - 1, node)).collect();
        for spare in 0..SPARE_NODES {
            let is_reached = spare >= apart;
            // Without a path, nothing may be farther away than the path is long.
            let can_be_parent = |parent: &Node| {
                parent.is_reached == is_reached && (has_path || !is_reached || parent.level < difficulty)
            };
            let parents: Vec<usize> = (0..nodes.len()).filter(|&node| can_be_parent(&nodes[node])).collect();
            let parent = parents.choose(rng);
            edges.extend(parent.map(|&parent| (parent, nodes.len())));
            nodes.push(Node { is_reached, level: parent.map_or(0, |&parent| nodes[parent].level + 1) });
        }
        let mut more = edges_that_keep_levels(&nodes);
        more.retain(|edge| !edges.contains(edge));
        more.shuffle(rng);
        more.truncate(rng.random_range(1..=nodes.len() / 2));
        edges.extend(more);

        let first_apart = difficulty as usize + 1;
        let goal = if has_path { difficulty as usize } else { first_apart + rng.random_range(0..apart as usize) };
        let answer = if has_path { difficulty.to_string() } else { NO_PATH.to_owned() };
        Ok(Problem { task: self.kind(), prompt: write_prompt(edges, goal, rng), answer, difficulty })
    }

    /// Searches the graph level by level, where `sample` lays it out so that the distance is known.
    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let mut scanner = Scanner::new(self.kind(), prompt);
        let mut edges = Edges::default();
        loop {
            let a = parse_node(&mut scanner)?;
            scanner.expect("-")?;
            let b = parse_node(&mut scanner)?;
            edges.insert(a, b).map_err(|reason| self.unanswerable(reason))?;
            if scanner.one("`,` or `;`", |c| matches!(c, ',' | ';'))? == ';' {
                break;
            }
        }
        let start = parse_node(&mut scanner)?;
        scanner.expect(">")?;
        let goal = parse_node(&mut scanner)?;
        scanner.finish()?;
        for node in [start, goal] {
            if !edges.has_node(node) {
                return Err(self.unanswerable(format!("no edge names `{node}`; expected a node of the graph")));
            }
        }

        let distances = edges.distances_from(start);
        let (answer, difficulty) = match distances.get(&goal) {
            Some(&distance) => (distance.to_string(), distance),
            None => (NO_PATH.to_owned(), distances.into_values().max().unwrap_or(0)),
        };
        self.allow(difficulty)?;
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer, difficulty })
    }

    /// The edges and the ends of each in alphabetical order; so are the two nodes of the query.
    fn canonical(&self, problem: &Problem) -> String {
        let prompt = problem.prompt.as_str();
        let parts = prompt.strip_suffix('=').and_then(|rest| rest.split_once(';'));
        let Some((edges, query)) = parts else {
            return prompt.to_owned();
        };
        let mut edges: Vec<String> = edges.split(',').map(|edge| in_order(edge, '-')).collect();
        edges.sort_unstable();
        format!("{};{}=", edges.join(","), in_order(query, '>'))
    }
}

impl ShortestPath {
    fn unanswerable(&self, reason: String) -> TaskError {
        TaskError::Unanswerable { task: self.kind(), reason }
    }
}

/// All pairs of nodes in one piece whose levels are equal or next to one another.
fn edges_that_keep_levels(nodes: &[Node]) -> Vec<(usize, usize)> {
    let pairs = (0..nodes.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let keeps_levels = |&(a, b): &(usize, usize)| {
        nodes[a].is_reached == nodes[b].is_reached && nodes[a].level.abs_diff(nodes[b].level) <= 1
    };
    pairs.filter(keeps_levels).collect()
}

fn parse_node(scanner: &mut Scanner<'_>) -> Result<char, TaskError> {
    scanner.one("a lowercase letter", |c| c.is_ascii_lowercase())
}

/// `a-b` for `b-a`.
fn in_order(pair: &str, separator: char) -> String {
    match pair.split_once(separator) {
        Some((a, b)) if b < a => format!("{b}{separator}{a}"),
        _ => pair.to_owned(),
    }
}

/// The prompt that asks for the way from node 0 to the goal, with random names for the nodes and edges in random order.
fn write_prompt(mut edges: Vec<(usize, usize)>, goal: usize, rng: &mut dyn RngCore) -> String {
    let mut names: Vec<char> = ('a'..='z').collect();
    names.shuffle(rng);
    edges.shuffle(rng);
    let mut written = Vec::with_capacity(edges.len());
    for (a, b) in edges {
        let (a, b) = if rng.random_bool(0.5) { (a, b) } else { (b, a) };
        written.push(format!("{}-{}", names[a], names[b]));
    }
    format!("{};{}>{}=", written.join(","), names[0], names[goal])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_counted_by_hand() {
        for (prompt, answer, difficulty) in [
            ("a-b,b-c,d-e;a>c=", "2", 2),
            ("b-a,c-b,a-c;a>c=", "1", 1),
            // The square a b c d with the diagonal b d: a-d, d-c.
            ("a-b,b-c,c-d,d-a,b-d;a>c=", "2", 2),
            // From a one reaches b and c, at most 2 away; from d only e.
            ("a-b,b-c,d-e;a>e=", "x", 2),
            ("a-b,b-c,d-e;e>a=", "x", 1),
        ] {
            let problem = ShortestPath.parse(prompt).unwrap();
            assert_eq!((problem.answer.as_str(), problem.difficulty), (answer, difficulty), "{prompt}");
        }
    }

    #[test]
    fn what_is_not_a_graph_is_refused() {
        for prompt in ["a-b;a>a=", "a-b;a>c=", "a-a;a>a=", "a-b,b-a;a>b=", ";a>b=", "a-b,;a>b=", "a-b;a-b=", "a-b"] {
            assert!(ShortestPath.parse(prompt).is_err(), "{prompt}");
        }
        let error = ShortestPath.parse("a-b,b-a;a>b=").unwrap_err();
        assert_eq!(
            error.to_string(),
            "shortest-path: the prompt has no answer: the edge `b-a` is there twice; expected each edge once"
        );
    }

    #[test]
    fn about_one_problem_of_eight_has_no_path() {
        for difficulty in ShortestPath.difficulties() {
            let has_none = |_: &i32| ShortestPath.sample(difficulty, &mut rand::rng()).unwrap().answer == NO_PATH;
            let n = (0..1600).filter(has_none).count();
            // The standard deviation is sqrt(1600 * 1/8 * 7/8) = 13; this is six of them.
            assert!(n.abs_diff(200) < 80, "{n} of 1600 at distance {difficulty}");
        }
    }

    #[test]
    fn the_order_of_edges_and_ends_makes_no_other_problem() {
        let canonical = |prompt| ShortestPath.canonical(&ShortestPath.parse(prompt).unwrap());
        assert_eq!(canonical("c-b,b-a,d-e;c>a="), "a-b,b-c,d-e;a>c=");
        assert_eq!(canonical("d-e,a-b,b-c;a>c="), "a-b,b-c,d-e;a>c=");
    }
}
