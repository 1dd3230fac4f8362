use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::testing::{self, END_OF_TEXT_ID, file, unseen};
use crate::{Corpus, Sequence, Side, Split};

const END: Option<u32> = Some(END_OF_TEXT_ID);

/// Packs one text with the byte-level tokenizer, in pieces of 8 bytes.
fn packed(text: impl AsRef<[u8]>) -> Result<PackedText, CorpusError> {
    let dir = tempfile::tempdir().unwrap();
    let files = [file(dir.path(), "a.txt", text)];
    PackedText::in_pieces_of(8, &files, &testing::byte_level(), END, dir.path(), &mut unseen)
}

fn side(windows: &Windows, side: Side) -> Vec<Sequence> {
    (0..windows.len(side)).map(|index| windows.sequence(side, index).unwrap()).collect()
}

#[test]
fn documents_follow_one_another_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file(dir.path(), "a", "ab\n"), file(dir.path(), "b", "<|endoftext|>c")];
    let open = |end_token| {
        PackedText::open_or_build(&files, &testing::byte_level(), end_token, dir.path(), &mut unseen).unwrap()
    };
    let text = open(END);
    assert_eq!(text.tokens(0..99), [97, 98, 10, 256, 256, 99, 256]);
    assert_eq!((text.tokens(2..4), text.tokens(9..99), text.n_tokens()), (vec![10, 256], vec![], 7));
    // 48 bytes of header, 2 bytes a token.
    assert_eq!(fs::metadata(text.path()).unwrap().len(), 48 + 7 * 2);
    assert_eq!(open(None).tokens(0..99), [97, 98, 10, 256, 99]);
}

#[test]
fn a_large_vocabulary_has_wide_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file(dir.path(), "a", "ab")];
    let tokenizer = testing::byte_level_with_end(70_000);
    let text = PackedText::open_or_build(&files, &tokenizer, Some(70_000), dir.path(), &mut unseen).unwrap();
    assert_eq!(text.tokens(0..3), [97, 98, 70_000]);
    assert_eq!(fs::metadata(text.path()).unwrap().len(), 48 + 3 * 4);
    let windows = text.windows(3, Split::default()).unwrap();
    assert!(windows.check_vocabulary(70_001).is_ok());
    assert!(matches!(
        windows.check_vocabulary(70_000),
        Err(CorpusError::OutsideVocabulary { id: 70_000, tokenizer_size: 70_001, vocab_size: 70_000 })
    ));
}

#[test]
fn the_same_inputs_are_tokenized_once() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("made/when/needed");
    let open = |files: &[PathBuf], end_token| {
        let mut seen = Vec::new();
        let tokenizer = testing::byte_level();
        let text = PackedText::open_or_build(files, &tokenizer, end_token, &cache, &mut |at| seen.push(at)).unwrap();
        (text, seen)
    };
    let (a, b) = (file(dir.path(), "a", "one"), file(dir.path(), "b", "three"));
    let (first, seen) = open(&[a.clone(), b.clone()], END);
    assert_eq!(seen, [Progress { bytes_done: 8, bytes: 8 }]);
    let (second, seen) = open(&[a.clone(), b.clone()], END);
    assert_eq!((second.path(), seen.len()), (first.path(), 0));
    assert_eq!(second.tokens(0..99), first.tokens(0..99));

    // Another order, another end, and another text are each another token file.
    open(&[b.clone(), a.clone()], END);
    open(&[a.clone(), b.clone()], None);
    file(dir.path(), "a", "two");
    open(&[a, b], END);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 4);
}

#[test]
fn batches_are_written_in_the_order_of_the_text() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..20_000).map(|i| format!("{i}\n")).collect();
    let files = [file(dir.path(), "a", &text)];
    let mut seen = Vec::new();
    let tokenizer = testing::byte_level();
    let packed =
        PackedText::in_pieces_of(8, &files, &tokenizer, None, dir.path(), &mut |at| seen.push(at.bytes_done)).unwrap();
    let expected: Vec<u32> = text.bytes().map(u32::from).collect();
    assert_eq!(packed.tokens(0..u64::MAX), expected);
    assert!(seen.len() > 1 && seen.is_sorted() && seen.last() == Some(&packed.n_tokens()), "{seen:?}");
}

#[test]
fn a_damaged_token_file_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file(dir.path(), "a", "one")];
    let open = |end| PackedText::open_or_build(&files, &testing::byte_level(), end, dir.path(), &mut unseen);
    let (path, other) = (open(END).unwrap().path().to_owned(), open(None).unwrap().path().to_owned());
    let good = fs::read(&path).unwrap();
    for damage in [vec![], b"text".to_vec(), good[..good.len() - 1].to_vec(), fs::read(&other).unwrap()] {
        fs::write(&path, &damage).unwrap();
        let error = open(END).unwrap_err();
        assert!(matches!(&error, CorpusError::DamagedCache { path: at, .. } if *at == path), "{error}");
        assert!(error.to_string().contains("may be deleted"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), damage);
    }
    fs::remove_file(&path).unwrap();
    assert!(open(END).is_ok());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(open(END), Err(CorpusError::NotAFile { path: at }) if at == path));
}

#[test]
fn a_failed_build_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let files = [file(dir.path(), "a", "good"), file(dir.path(), "b", b"abc\xff")];
    let open = || PackedText::open_or_build(&files, &testing::byte_level(), END, &cache, &mut unseen);
    assert!(matches!(open(), Err(CorpusError::NotUtf8 { path, offset: 3 }) if path == files[1]));
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    // A file where the directory should be.
    fs::remove_dir(&cache).unwrap();
    fs::write(&cache, "").unwrap();
    assert!(matches!(open(), Err(CorpusError::Io { .. })));
}

#[test]
fn a_file_that_changes_meanwhile_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let files = [file(dir.path(), "a", "one")];
    let sources = Source::look_up(&files, "text").unwrap();
    let contents = [sources[0].contents().unwrap()];
    file(dir.path(), "a", "two");
    let tokenizer = testing::byte_level();
    let plan = Plan {
        sources: &sources,
        contents: &contents,
        tokenizer: &tokenizer,
        end_token: END,
        fingerprint: 0,
        piece_bytes: PIECE_BYTES,
    };
    let result = plan.build(&dir.path().join("x"), &mut unseen);
    assert!(matches!(result, Err(CorpusError::ChangedMeanwhile { path }) if path == files[0]));
}

#[test]
fn windows_lie_end_to_end() {
    // 10 bytes and the end token: 3 windows of 3, and 2 tokens left out.
    let windows = packed("0123456789").unwrap().windows(3, Split { held_out: 0.3, seed: 1 }).unwrap();
    assert_eq!((windows.len(Side::Training), windows.len(Side::HeldOut), windows.longest()), (2, 1, 3));
    let held_out = Sequence { tokens: b"678".map(u32::from).to_vec(), learn_from: 1 };
    assert_eq!(windows.sequence(Side::HeldOut, 5).unwrap(), held_out);
    assert_eq!(side(&windows, Side::HeldOut), [held_out]);
    let training: BTreeSet<Vec<u32>> = side(&windows, Side::Training).into_iter().map(|s| s.tokens).collect();
    assert_eq!(training, BTreeSet::from([b"012".map(u32::from).to_vec(), b"345".map(u32::from).to_vec()]));
}

#[test]
fn the_number_held_out_is_rounded_and_leaves_some() {
    // 99 bytes and the end token: 50 windows of 2.
    let text = packed("x".repeat(99)).unwrap();
    for (held_out, expected) in [(0.0, 0), (0.001, 1), (0.05, 3), (0.5, 25), (0.999, 49)] {
        let windows = text.windows(2, Split { held_out, seed: 0 }).unwrap();
        assert_eq!(windows.len(Side::HeldOut), expected, "{held_out}");
        assert_eq!(windows.len(Side::Training), 50 - expected);
    }
    let windows = text.windows(2, Split::default()).unwrap();
    assert!(matches!(windows.sequence(Side::HeldOut, 0), Err(CorpusError::EmptySide { .. })));
}

#[test]
fn a_text_too_short_says_how_much_is_needed() {
    // 7 bytes and the end token.
    let text = packed("1234567").unwrap();
    let windows = |length, held_out| text.windows(length, Split { held_out, seed: 0 });
    assert!(windows(8, 0.0).is_ok() && windows(4, 0.1).is_ok());
    let needed = |length, held_out| match windows(length, held_out) {
        Err(CorpusError::TooFewTokens { n_tokens: 8, needed, .. }) => needed,
        other => panic!("{other:?}"),
    };
    assert_eq!((needed(9, 0.0), needed(8, 0.1), needed(usize::MAX, 0.1)), (9, 16, u64::MAX));
    assert!(matches!(windows(1, 0.0), Err(CorpusError::WindowTooShort { length: 1 })));
    assert!(matches!(windows(4, 1.0), Err(CorpusError::BadShare { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_packed_is_read_back(text in "[a-z é\n\u{1f600}]{1,100}") {
        let packed = packed(&text).unwrap();
        // A byte is a token, so that no cut shows.
        let expected: Vec<u32> = text.bytes().map(u32::from).chain(END).collect();
        prop_assert_eq!(packed.n_tokens(), expected.len() as u64);
        prop_assert_eq!(packed.tokens(0..packed.n_tokens()), expected);
    }

    #[test]
    fn an_epoch_and_the_held_out_side_are_the_text(
        text in "[a-z]{8,200}", length in 2..5_usize, held_out in 0.0..1.0, seed: u64, epoch in 0..9_u64,
    ) {
        let packed = packed(&text).unwrap();
        let windows = packed.windows(length, Split { held_out, seed }).unwrap();
        let n = windows.len(Side::Training);
        let training = (0..n).map(|index| windows.sequence(Side::Training, epoch * n + index).unwrap());
        let mut all: Vec<Vec<u32>> = training.chain(side(&windows, Side::HeldOut)).map(|s| s.tokens).collect();
        let tokens = packed.tokens(0..packed.n_tokens());
        let mut expected: Vec<Vec<u32>> = tokens.chunks_exact(length).map(<[u32]>::to_vec).collect();
        all.sort();
        expected.sort();
        prop_assert_eq!(all, expected);
        // Resumed elsewhere, it goes on as it would have.
        let again = packed.windows(length, Split { held_out, seed }).unwrap();
        let index = epoch * n + n / 2;
        prop_assert_eq!(again.sequence(Side::Training, index).unwrap(), windows.sequence(Side::Training, index).unwrap());
    }

    #[test]
    fn any_bytes_are_packed_or_an_error(bytes: Vec<u8>) {
        match packed(&bytes) {
            Ok(_) => prop_assert!(std::str::from_utf8(&bytes).is_ok()),
            Err(CorpusError::EmptyFile { .. }) => prop_assert!(bytes.is_empty()),
            Err(CorpusError::NotUtf8 { .. }) => prop_assert!(std::str::from_utf8(&bytes).is_err()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
