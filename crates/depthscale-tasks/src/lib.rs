//! Synthetic reasoning tasks on which looped language models are trained and evaluated.
//!
//! Each task has problems of known difficulty, so that one can see how far a model gets with how many steps. A task
//! draws problems, reads the prompts that a user types, and grades answers. Every character is one token.
//!
//! | task | prompt | answer | difficulty | from, to |
//! |---|---|---|---|---|
//! | [`addition`](Addition) | `47+38=` | `85` | digits of the longer number | 1, 12 |
//! | [`multiplication`](Multiplication) | `12*34=` | `408` | digits of the longer number | 1, 6 |
//! | [`modular-chain`](ModularChain) | `m7:3+5*4-2=` | `2` | operations, left to right | 1, 16 |
//! | [`p-hop`](PHop) | `b=c;a=3;c=a;e=7;d=e;?b=` | `3` | hops to the digit | 1, 16 |
//! | [`sort`](Sort) | `sort:31542=` | `12345` | digits | 1, 16 |
//! | [`reverse`](Reverse) | `rev:31542=` | `24513` | characters | 1, 16 |
//! | [`boolean`](Boolean) | `(!(T&F)\|T)=` | `T` | depth of the nesting | 1, 10 |
//! | [`shortest-path`](ShortestPath) | `a-b,b-c,d-e;a>c=` | `2`, or `x` without a path | distance | 1, 9 |
//! | [`sudoku-4`](Sudoku) | `s4:12.434.2.143432.=` | `1234341221434321` | blanks | 1, 12 |
//! | [`sudoku-6`](Sudoku) | `s6:` and 36 cells | 36 digits | blanks | 1, 24 |
//!
//! A [`ProblemSampler`] draws from a mixture of tasks. [`HeldOut`] keeps a share of all problems out of training, by a
//! hash of their text that no release changes.
//!
//! ```
//! use depthscale_tasks::{HeldOut, ProblemSampler, Side, TaskKind, TaskMix, encode_problem, identify};
//!
//! let mixture = vec![
//!     TaskMix { task: TaskKind::Addition, difficulties: (1..=4).into(), weight: 1.0 },
//!     TaskMix { task: TaskKind::PHop, difficulties: (1..=8).into(), weight: 2.0 },
//! ];
//! let held_out = HeldOut { seed: 0, share: 0.1 };
//! let training = ProblemSampler::new(mixture.clone(), held_out, Side::Training, 42)?;
//! let evaluation = ProblemSampler::new(mixture, held_out, Side::HeldOut, 42)?;
//!
//! // Problem 1000 is the same whether or not the ones before it were drawn.
//! let problem = training.problem(1000)?;
//! let ids = encode_problem(&problem)?;
//! assert_eq!(ids.prompt.len(), 1 + problem.prompt.len());
//!
//! // Every difficulty has its own problems for evaluation, which training never sees.
//! let hard = evaluation.problem_at(TaskKind::PHop, 8, 0)?;
//! assert!(hard.task.task().check(&hard, &hard.answer));
//! assert!(held_out.holds(&hard) && !held_out.holds(&problem));
//!
//! // What a user types is recognised and solved.
//! let typed = identify("b=c;a=3;c=a;e=7;d=e;?b=").expect("the format of p-hop");
//! assert_eq!((typed.task, typed.answer.as_str(), typed.difficulty), (TaskKind::PHop, "3", 3));
//! # Ok::<(), depthscale_tasks::TaskError>(())
//! ```
//!
//! [`tokenizer_json`] writes the vocabulary as a `tokenizer.json`, to be put beside the weights of a model.

mod error;
mod kind;
mod mixture;
mod problem;
mod sampler;
mod scanner;
mod split;
mod task;
mod tasks;
mod tokenizer_json;
mod vocabulary;

pub use error::TaskError;
pub use kind::{TaskKind, identify};
pub use mixture::{Difficulties, TaskMix};
pub use problem::{FollowUp, Hint, Problem};
pub use sampler::ProblemSampler;
pub use split::{HeldOut, Side};
pub use task::Task;
pub use tasks::{Addition, Boolean, ModularChain, Multiplication, PHop, Reverse, ShortestPath, Sort, Sudoku};
pub use tokenizer_json::tokenizer_json;
pub use vocabulary::{EncodedProblem, NEWLINE_ID, PAD_ID, VOCAB_SIZE, decode, encode, encode_problem, vocabulary};
