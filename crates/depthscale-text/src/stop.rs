//! Ending streamed text at a given string.

use crate::TextError;

/// Looks for stop strings in text that arrives in pieces.
///
/// The result does not depend on where the pieces are cut. The match that is complete first ends the text; of several
/// that are complete at the same character the longest counts, and of equal ones the first in the list. So a stop
/// takes effect at once, without waiting for a longer one that begins at the same place.
///
/// ```
/// use depthscale_text::StopStrings;
///
/// let mut stops = StopStrings::new(vec!["\nUser:".to_owned()])?;
/// assert_eq!(stops.push("Yes.\nUs").emit, "Yes.");
/// let outcome = stops.push("er: and");
/// assert_eq!((outcome.emit.as_str(), outcome.stopped), ("", Some(0)));
/// # Ok::<(), depthscale_text::TextError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    /// Text that was not given out because a stop string may begin in it.
    held: String,
    stopped: Option<usize>,
}

/// What a piece of text brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopOutcome {
    /// Text that is certain not to belong to a stop string, in order.
    pub emit: String,
    /// Which stop string ended the text, by its position in the list, from 0. It stays set for later pieces, which
    /// emit nothing.
    pub stopped: Option<usize>,
}

impl StopStrings {
    /// A search for these strings; with none, all text passes through at once.
    ///
    /// # Errors
    ///
    /// [`TextError::EmptyStopString`] for a string without characters.
    pub fn new(stops: Vec<String>) -> Result<Self, TextError> {
        match stops.iter().position(String::is_empty) {
            Some(index) => Err(TextError::EmptyStopString { index }),
            None => Ok(Self { stops, held: String::new(), stopped: None }),
        }
    }

    /// Takes the next piece of text. What could be the beginning of a stop string is held back; a stop string and what
    /// follows it are never given out.
    pub fn push(&mut self, piece: &str) -> StopOutcome {
        if self.stopped.is_some() {
            return StopOutcome { emit: String::new(), stopped: self.stopped };
        }
        // A match that ended inside the held text would have been found when that text came.
        let n_searched = self.held.len();
        self.held.push_str(piece);
        let keep_from = match self.first_match(n_searched) {
            Some((start, index)) => {
                self.stopped = Some(index);
                self.held.truncate(start);
                start
            }
            None => self.possible_start(),
        };
        let held = self.held.split_off(keep_from);
        StopOutcome { emit: std::mem::replace(&mut self.held, held), stopped: self.stopped }
    }

    /// The text still held back, for when no more comes. Empty after a stop.
    pub fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The match that ends first behind byte `searched`: where it starts, and which stop string it is.
    fn first_match(&self, searched: usize) -> Option<(usize, usize)> {
        let new_text = self.held[searched..].char_indices();
        new_text.map(|(at, c)| searched + at + c.len_utf8()).find_map(|end| {
            let text = &self.held[..end];
            let ending = self.stops.iter().enumerate();
            let ending = ending.filter(|(_, stop)| text.ends_with(stop.as_str()));
            ending.map(|(index, stop)| (end - stop.len(), index)).min()
        })
    }

    /// Where the longest end of the held text starts that a stop string begins with.
    fn possible_start(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let reach = self.held.len().saturating_sub(longest);
        self.held
            .char_indices()
            .map(|(start, _)| start)
            .skip_while(|start| *start < reach)
            .find(|start| self.is_beginning(&self.held[*start..]))
            .unwrap_or(self.held.len())
    }

    fn is_beginning(&self, text: &str) -> bool {
        self.stops.iter().any(|stop| stop.starts_with(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stop_strings(stops: &[&str]) -> StopStrings {
        StopStrings::new(stops.iter().map(|stop| (*stop).to_owned()).collect()).unwrap()
    }

    /// The definition, on the whole text: the earliest end, then the longest, then the first in the list.
    fn search(text: &str, stops: &[String]) -> (String, Option<usize>) {
        let mut best: Option<(usize, usize, usize)> = None;
        for (index, stop) in stops.iter().enumerate() {
            if let Some(start) = text.find(stop.as_str()) {
                let found = (start + stop.len(), start, index);
                best = Some(best.map_or(found, |best| best.min(found)));
            }
        }
        match best {
            Some((_, start, index)) => (text[..start].to_owned(), Some(index)),
            None => (text.to_owned(), None),
        }
    }

    /// Pushes the pieces and flushes.
    fn run<'a>(stops: &mut StopStrings, pieces: impl IntoIterator<Item = &'a str>) -> (String, Option<usize>) {
        let mut emitted = String::new();
        for piece in pieces {
            emitted.push_str(&stops.push(piece).emit);
        }
        emitted.push_str(&stops.flush());
        (emitted, stops.push("").stopped)
    }

    #[test]
    fn a_beginning_is_held_back_until_it_is_decided() {
        let mut stops = stop_strings(&["END"]);
        assert_eq!(stops.push("12E").emit, "12");
        assert_eq!(stops.push("N").emit, "");
        assert_eq!(stops.push("E").emit, "EN");
        assert_eq!(stops.push("ND34").stopped, Some(0));
        assert_eq!(stops.push("56"), StopOutcome { emit: String::new(), stopped: Some(0) });
        assert_eq!(stops.flush(), "");

        let mut stops = stop_strings(&["END"]);
        assert_eq!(run(&mut stops, ["12EN"]), ("12EN".to_owned(), None));
    }

    #[test]
    fn the_match_complete_first_wins_then_the_longest_then_the_first() {
        let mut stops = stop_strings(&["abcd", "bc"]);
        assert_eq!(run(&mut stops, ["xabcd"]), ("xa".to_owned(), Some(1)));
        let mut stops = stop_strings(&["c", "abc", "abc"]);
        assert_eq!(run(&mut stops, ["xabc"]), ("x".to_owned(), Some(1)));
    }

    #[test]
    fn an_empty_stop_string_is_refused_and_an_empty_list_is_not() {
        let error = StopStrings::new(vec!["a".to_owned(), String::new()]).unwrap_err();
        assert!(matches!(error, TextError::EmptyStopString { index: 1 }));
        assert_eq!(StopStrings::default().push("abc").emit, "abc");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            text in "[abé€]{0,24}",
            stops in prop::collection::vec("[abé€]{1,4}", 0..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            bounds.push(text.len());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.get(&bounds)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();

            let expected = search(&text, &stops);
            let mut streamed = StopStrings::new(stops).unwrap();
            let pieces = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]);
            prop_assert_eq!(run(&mut streamed, pieces), expected);
        }
    }
}
