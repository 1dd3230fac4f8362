//! The vocabulary, and the `tokenizer.json` that is made of it.

use std::path::Path;
use std::sync::LazyLock;

use depthscale_tasks::{NEWLINE_ID, VOCAB_SIZE, decode, encode, encode_problem, tokenizer_json};
use depthscale_text::TextTokenizer;
use proptest::prelude::*;

use crate::problems;

static TOKENIZER: LazyLock<TextTokenizer> =
    LazyLock::new(|| TextTokenizer::from_bytes(tokenizer_json().as_bytes(), Path::new("tokenizer.json")).unwrap());

proptest! {
    #[test]
    fn the_tokenizer_reads_problems_as_the_vocabulary_does(problem in problems()) {
        let encoded = encode_problem(&problem).unwrap();
        prop_assert_eq!(&TOKENIZER.encode(&problem.prompt).unwrap(), &encoded.prompt);
        prop_assert_eq!(&TOKENIZER.encode_plain(&format!("{}\n", problem.answer)).unwrap(), &encoded.answer);
        prop_assert_eq!(TOKENIZER.decode(&encoded.prompt).unwrap(), format!("\n{}", problem.prompt));
        prop_assert_eq!(decode(&encoded.prompt).unwrap(), format!("\n{}", problem.prompt));
    }

    #[test]
    fn an_answer_ends_at_its_first_newline(problem in problems()) {
        let encoded = encode_problem(&problem).unwrap();
        prop_assert_eq!(encoded.answer.iter().position(|&id| id == NEWLINE_ID), Some(encoded.answer.len() - 1));
        prop_assert!(!encoded.prompt[1..].contains(&NEWLINE_ID));
    }

    #[test]
    fn any_text_is_encoded_or_refused(text in any::<String>()) {
        if let Ok(ids) = encode(&text) {
            prop_assert_eq!(decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn any_ids_are_decoded_or_refused(ids in prop::collection::vec(any::<u32>(), 0..10)) {
        prop_assert_eq!(decode(&ids).is_ok(), ids.iter().all(|&id| (id as usize) < VOCAB_SIZE));
    }
}

#[test]
fn both_have_the_same_ids() {
    assert_eq!((TOKENIZER.vocab_size(), TOKENIZER.id_bound()), (VOCAB_SIZE, VOCAB_SIZE));
}
