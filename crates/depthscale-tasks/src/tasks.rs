//! The tasks, one a file.

mod addition;
mod boolean;
mod modular_chain;
mod multiplication;
mod operands;
mod p_hop;
mod reverse;
mod shortest_path;
mod sort;
mod sudoku;

pub use addition::Addition;
pub use boolean::Boolean;
pub use modular_chain::ModularChain;
pub use multiplication::Multiplication;
pub use p_hop::PHop;
pub use reverse::Reverse;
pub use shortest_path::ShortestPath;
pub use sort::Sort;
pub use sudoku::Sudoku;
