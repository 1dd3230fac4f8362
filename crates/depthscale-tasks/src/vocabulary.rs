//! The characters of all tasks, and their ids.

use crate::{Problem, TaskError};

/// The id of `<pad>`, which fills up batches and stands for no character.
pub const PAD_ID: u32 = 0;

/// The id of the newline, which begins every prompt and ends every answer.
pub const NEWLINE_ID: u32 = 1;

/// The number of ids: the padding and all characters.
pub const VOCAB_SIZE: usize = CHARACTERS.len() + 1;

/// The character at place i has the id i + 1. New characters are added at the end, as models know them by their ids.
#[rustfmt::skip]
const CHARACTERS: [char; 55] = [
    '\n',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
    '+', '-', '=', '*', ':', ';', '?', ',', '>', '.',
    '(', ')', '!', '&', '|', '^', 'T', 'F',
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm',
    'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// A problem as ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedProblem {
    /// The newline and the prompt.
    pub prompt: Vec<u32>,
    /// The answer and the newline.
    pub answer: Vec<u32>,
}

/// All characters in the order of their ids, of which the first, the newline, has the id 1.
///
/// The newline, the digits, `+-=*:;?,>.`, `()!&|^TF` and the lowercase letters.
pub fn vocabulary() -> &'static [char] {
    &CHARACTERS
}

/// The ids of a text, one a character, and nothing put in front.
///
/// # Errors
///
/// [`TaskError::UnknownCharacter`] with the place.
pub fn encode(text: &str) -> Result<Vec<u32>, TaskError> {
    let id_of = |(place, character)| {
        let found = CHARACTERS.iter().zip(NEWLINE_ID..).find(|(known, _)| **known == character);
        let unknown = TaskError::UnknownCharacter { character, position: place + 1, n_characters: CHARACTERS.len() };
        found.map(|(_, id)| id).ok_or(unknown)
    };
    text.chars().enumerate().map(id_of).collect()
}

/// The text of some ids. Padding adds nothing.
///
/// # Errors
///
/// [`TaskError::UnknownId`] with the place.
pub fn decode(ids: &[u32]) -> Result<String, TaskError> {
    let mut text = String::with_capacity(ids.len());
    for (place, &id) in ids.iter().enumerate().filter(|(_, id)| **id != PAD_ID) {
        let known = usize::try_from(id - NEWLINE_ID).ok().and_then(|place| CHARACTERS.get(place));
        text.push(*known.ok_or(TaskError::UnknownId { id, position: place + 1, vocab_size: VOCAB_SIZE })?);
    }
    Ok(text)
}

/// The ids of a problem: the newline and the prompt, the answer and the newline.
///
/// # Errors
///
/// [`TaskError::UnknownCharacter`] with the place in the prompt or the answer; no problem of this crate has one.
pub fn encode_problem(problem: &Problem) -> Result<EncodedProblem, TaskError> {
    let mut prompt = vec![NEWLINE_ID];
    prompt.extend(encode(&problem.prompt)?);
    let mut answer = encode(&problem.answer)?;
    answer.push(NEWLINE_ID);
    Ok(EncodedProblem { prompt, answer })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::identify;

    #[test]
    fn ids_counted_by_hand() {
        // Digits from 2, so 4 is 6; `+` 12, `-` 13, `=` 14; the last letter has the last id.
        assert_eq!(encode("47+38=").unwrap(), [6, 9, 12, 5, 10, 14]);
        assert_eq!(encode("\nz").unwrap(), [1, 55]);
        assert_eq!(decode(&[1, 6, 0, 55, 0]).unwrap(), "\n4z");
        assert_eq!(VOCAB_SIZE, 56);
        assert_eq!(vocabulary().iter().collect::<BTreeSet<_>>().len(), 55);
    }

    #[test]
    fn the_newline_begins_the_prompt_and_ends_the_answer() {
        let encoded = encode_problem(&identify("47+38=").unwrap()).unwrap();
        assert_eq!(encoded.prompt, [1, 6, 9, 12, 5, 10, 14]);
        assert_eq!(encoded.answer, [10, 7, 1]);
    }

    #[test]
    fn errors_name_the_place() {
        let error = encode("1é").unwrap_err();
        assert_eq!(error.to_string(), "character 2 of the text is 'é'; expected one of the 55 in the vocabulary");
        let error = decode(&[1, 56]).unwrap_err();
        assert_eq!(error.to_string(), "id 2 is 56; expected an id below 56");
    }
}
