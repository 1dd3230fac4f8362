use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::testing::{self, file, unseen};
use crate::{Corpus, Side, Split};

/// The newline of the character-level tokenizer, at which its checkpoint ends.
const NEWLINE: Option<u32> = Some(1);

fn line(prompt: &str, answer: &str) -> String {
    serde_json::json!({"prompt": prompt, "answer": answer}).to_string() + "\n"
}

fn open(contents: impl AsRef<[u8]>) -> Result<Lines, CorpusError> {
    let dir = tempfile::tempdir().unwrap();
    let files = [file(dir.path(), "a.jsonl", contents)];
    Lines::open(&files, &testing::arith(), NEWLINE, 16, &mut unseen)
}

fn side(pairs: &Pairs, side: Side) -> Vec<Sequence> {
    (0..pairs.len(side)).map(|index| pairs.sequence(side, index).unwrap()).collect()
}

#[test]
fn a_pair_is_prompt_answer_and_end() {
    // The tokenizer puts "\n", 1, in front of a prompt; digits are from 2 on, "+" is 12, "=" is 14.
    let lines = open("\n  \r\n{\"prompt\": \"47+38=\", \"answer\": \"85\"}\r\n\n").unwrap();
    let pairs = lines.pairs(Split::default()).unwrap();
    assert_eq!((pairs.len(Side::Training), pairs.len(Side::HeldOut)), (1, 0));
    let expected = Sequence { tokens: vec![1, 6, 9, 12, 5, 10, 14, 10, 7, 1], learn_from: 7 };
    assert_eq!(pairs.sequence(Side::Training, 12).unwrap(), expected);
    assert_eq!(pairs.longest(), 10);
    assert!(pairs.check_vocabulary(15).is_ok());
    assert!(matches!(
        pairs.check_vocabulary(14),
        Err(CorpusError::OutsideVocabulary { id: 14, tokenizer_size: 15, vocab_size: 14 })
    ));
    assert!(matches!(pairs.sequence(Side::HeldOut, 0), Err(CorpusError::EmptySide { side: Side::HeldOut })));
}

#[test]
fn each_failure_names_file_and_line() {
    let failure = |contents: &str| open(contents).unwrap_err();
    let good = line("1+1=", "2");

    assert!(matches!(failure(" \n\n"), CorpusError::EmptyFile { .. }));
    assert!(matches!(failure(&format!("{good}\n{{")), CorpusError::MalformedLine { line: 3, column: 1, .. }));
    let extra = r#"{"prompt": "1", "answer": "2", "id": 3}"#;
    assert!(matches!(failure(extra), CorpusError::UnknownKey { line: 1, key, .. } if key == "id"));
    // 1 and 15 tokens of the prompt, 1 of the answer, 1 for the end.
    let error = failure(&(good + &line(&"1".repeat(15), "2")));
    assert!(matches!(error, CorpusError::PairTooLong { line: 2, n_tokens: 18, most_tokens: 16, .. }));
    assert!(error.to_string().contains("a.jsonl: line 2: "), "{error}");

    let error = open(b"{\"prompt\": \"1\", \"answer\": \"2\"}\n{\"\xff").unwrap_err();
    // The first line has 30 bytes and a line end.
    assert!(matches!(error, CorpusError::NotUtf8 { offset: 33, .. }), "{error}");
}

#[test]
fn a_pair_needs_a_prompt_and_something_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = testing::byte_level();
    let open = |prompt: &str, answer: &str, end_token| {
        let files = [file(dir.path(), "a.jsonl", line(prompt, answer))];
        Lines::open(&files, &tokenizer, end_token, 16, &mut unseen)
    };
    let end = Some(testing::END_OF_TEXT_ID);
    assert!(matches!(open("", "a", end), Err(CorpusError::EmptyPrompt { line: 1, .. })));
    assert!(matches!(open("a", "", None), Err(CorpusError::EmptyAnswer { line: 1, .. })));
    // To end at once can be learnt.
    let pairs = open("a", "", end).unwrap().pairs(Split::default()).unwrap();
    assert_eq!(pairs.sequence(Side::Training, 0).unwrap(), Sequence { tokens: vec![97, 256], learn_from: 1 });
}

#[test]
fn a_prompt_stays_on_its_side() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<String> = (0..1000).map(|i| line(&format!("{i}="), "0")).collect();
    let reversed: Vec<String> = all.iter().rev().cloned().collect();
    let open = |name: &str, lines: &[String]| {
        let files = [file(dir.path(), name, lines.concat())];
        let lines = Lines::open(&files, &testing::arith(), NEWLINE, 16, &mut unseen).unwrap();
        lines.pairs(Split { held_out: 0.2, seed: 5 }).unwrap()
    };
    let sorted = |pairs: &Pairs, of: Side| {
        let mut tokens: Vec<Vec<u32>> = side(pairs, of).into_iter().map(|sequence| sequence.tokens).collect();
        tokens.sort();
        tokens
    };
    let (forwards, backwards) = (open("a", &all), open("b", &reversed));
    assert_eq!(sorted(&forwards, Side::HeldOut), sorted(&backwards, Side::HeldOut));
    assert_eq!(sorted(&forwards, Side::Training), sorted(&backwards, Side::Training));
    // 200 of 1000, with a standard deviation of sqrt(1000 * 0.2 * 0.8) = 13.
    let n_held_out = forwards.len(Side::HeldOut);
    assert!(n_held_out.abs_diff(200) < 4 * 13, "{n_held_out}");
    // Twice the same prompt, twice the same side.
    let doubled = open("c", &[all.clone(), all].concat());
    assert_eq!(doubled.len(Side::HeldOut), 2 * n_held_out);
}

#[test]
fn progress_ends_at_all_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let contents = line("1+1=", "2").repeat(40_000);
    let files = [file(dir.path(), "a", &contents), file(dir.path(), "b", line("1", "1"))];
    let mut seen = Vec::new();
    Lines::open(&files, &testing::arith(), NEWLINE, 16, &mut |at| seen.push(at)).unwrap();
    let bytes = contents.len() as u64 + line("1", "1").len() as u64;
    assert_eq!(seen.last(), Some(&Progress { bytes_done: bytes, bytes }));
    assert!(seen.is_sorted_by_key(|at| at.bytes_done) && seen.len() == 2, "{seen:?}");
}

#[test]
fn files_are_looked_for_before_any_is_read() {
    let missing = Path::new("no/such/file").to_owned();
    let open = |files: &[PathBuf]| Lines::open(files, &testing::arith(), NEWLINE, 16, &mut unseen).unwrap_err();
    assert!(matches!(open(&[]), CorpusError::NoFiles));
    assert!(matches!(open(std::slice::from_ref(&missing)), CorpusError::MissingFile { path } if path == missing));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn sides_are_disjoint_and_an_epoch_holds_everything(
        prompts in prop::collection::btree_set("[0-9]{1,5}", 1..40), held_out in 0.0..1.0, seed: u64, epoch in 0..9_u64,
    ) {
        let contents: String = prompts.iter().map(|prompt| line(prompt, "1")).collect();
        let pairs = open(contents).unwrap().pairs(Split { held_out, seed }).unwrap();
        let n = pairs.len(Side::Training);
        let training = (0..n).map(|index| pairs.sequence(Side::Training, epoch * n + index).unwrap());
        let mut all: Vec<Vec<u32>> = training.chain(side(&pairs, Side::HeldOut)).map(|s| s.tokens).collect();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), prompts.len());
    }

    #[test]
    fn any_bytes_are_pairs_or_an_error(contents: Vec<u8>) {
        let _ = open(contents);
    }
}
