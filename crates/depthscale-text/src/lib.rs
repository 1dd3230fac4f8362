//! Text for a looped language model: everything between a user's string and the decoder's token ids.
//!
//! The crate runs on the host and knows no tensors. It reads the text files of a checkpoint directory as they are
//! published next to the weights, and each part stands alone:
//!
//! | part | what it does | what it reads |
//! |---|---|---|
//! | [`TextTokenizer`] | text to ids and back | `tokenizer.json` |
//! | [`EndTokens`] | the ids at which generation is over | `generation_config.json`, `config.json` |
//! | [`ChatTemplate`] | messages to one prompt | `chat_template.jinja`, `tokenizer_config.json` |
//! | [`StreamDecoder`] | one id at a time to readable text | - |
//! | [`StopStrings`] | ends streamed text at a given string | - |
//!
//! Generation puts them in a row: encode the prompt, run the decoder until it yields an end token, push each id
//! through a [`StreamDecoder`] and what comes out through [`StopStrings`].
//!
//! ```
//! use depthscale_text::{EndTokens, OURO_END_MARKERS, StopStrings, StreamDecoder, TextTokenizer};
//!
//! # fn main() -> Result<(), depthscale_text::TextError> {
//! # let dir = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ouro-arith"));
//! let tokenizer = TextTokenizer::open(dir)?;
//! let end_tokens = EndTokens::resolve(dir, OURO_END_MARKERS, &tokenizer)?;
//! let prompt = tokenizer.encode("47+38=")?;
//! assert_eq!(prompt, [1, 6, 9, 12, 5, 10, 14]);
//!
//! let mut stream = StreamDecoder::new(&tokenizer);
//! let mut stops = StopStrings::new(vec!["+".to_owned()])?;
//! let mut answer = String::new();
//! // What a decoder would say: "8", "5", and the newline at which this checkpoint ends.
//! for id in [10, 7, 1] {
//!     if end_tokens.contains(id) {
//!         break;
//!     }
//!     if let Some(text) = stream.push(id)? {
//!         let outcome = stops.push(&text);
//!         answer.push_str(&outcome.emit);
//!         if outcome.stopped.is_some() {
//!             break;
//!         }
//!     }
//! }
//! answer.push_str(&stops.push(&stream.finish()?).emit);
//! answer.push_str(&stops.flush());
//! assert_eq!(answer, "85");
//! # Ok(())
//! # }
//! ```
//!
//! Every failure is a [`TextError`] that names the file and what was expected of it.

#![warn(missing_docs)]

mod chat;
mod checkpoint_json;
mod end_tokens;
mod error;
mod stop;
mod stream;
#[cfg(test)]
mod testing;
mod tokenizer;

pub use chat::{ChatMessage, ChatTemplate};
pub use end_tokens::{EndTokens, HUGINN_END_MARKERS, OURO_END_MARKERS};
pub use error::TextError;
pub use stop::{StopOutcome, StopStrings};
pub use stream::StreamDecoder;
pub use tokenizer::TextTokenizer;
