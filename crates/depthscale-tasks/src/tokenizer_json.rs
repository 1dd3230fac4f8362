//! The vocabulary as a `tokenizer.json`.

use crate::vocabulary::{NEWLINE_ID, PAD_ID, vocabulary};

/// The content of a `tokenizer.json` for exactly this vocabulary, in the
/// [Hugging Face tokenizers format](https://huggingface.co/docs/tokenizers/api/tokenizer).
///
/// It gives each character one id and puts the newline in front, so that the ids of a prompt are those of
/// [`encode_problem`](crate::encode_problem). A character that the vocabulary lacks becomes `<pad>` there, where
/// [`encode`](crate::encode) refuses it.
pub fn tokenizer_json() -> String {
    let mut vocab = format!("\"<pad>\": {PAD_ID}");
    for (character, id) in vocabulary().iter().zip(NEWLINE_ID..) {
        // The newline is the one character that JSON and Rust escape, and both write `\n`.
        vocab.push_str(&format!(",\n      \"{}\": {id}", character.escape_default()));
    }
    TEMPLATE.replace("{{vocab}}", &vocab)
}

/// Everything but the vocabulary.
const TEMPLATE: &str = r#"{
  "version": "1.0",
  "truncation": null,
  "padding": null,
  "added_tokens": [],
  "normalizer": null,
  "pre_tokenizer": {
    "type": "Split",
    "pattern": {
      "Regex": "[\\s\\S]"
    },
    "behavior": "Isolated",
    "invert": false
  },
  "post_processor": {
    "type": "TemplateProcessing",
    "single": [
      {
        "SpecialToken": {
          "id": "\n",
          "type_id": 0
        }
      },
      {
        "Sequence": {
          "id": "A",
          "type_id": 0
        }
      }
    ],
    "pair": [
      {
        "Sequence": {
          "id": "A",
          "type_id": 0
        }
      },
      {
        "Sequence": {
          "id": "B",
          "type_id": 1
        }
      }
    ],
    "special_tokens": {
      "\n": {
        "id": "\n",
        "ids": [
          1
        ],
        "tokens": [
          "\n"
        ]
      }
    }
  },
  "decoder": {
    "type": "Fuse"
  },
  "model": {
    "type": "WordLevel",
    "vocab": {
      {{vocab}}
    },
    "unk_token": "<pad>"
  }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_in_the_file() {
        let json: serde_json::Value = serde_json::from_str(&tokenizer_json()).unwrap();
        let vocab = &json["model"]["vocab"];
        assert_eq!(vocab.as_object().unwrap().len(), crate::VOCAB_SIZE);
        assert_eq!(vocab["<pad>"], 0);
        for (character, id) in vocabulary().iter().zip(NEWLINE_ID..) {
            assert_eq!(vocab[character.to_string()], id);
        }
    }
}
