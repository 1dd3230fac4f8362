//! From text to a recipe, with errors that say where.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::config::TrainConfig;
use super::error::{RecipeError, Result};
use super::overrides::Override;

/// Reads a recipe and applies overrides; ranges are not checked.
pub(crate) fn parse(text: &str, name: &str, overrides: &[String]) -> Result<TrainConfig> {
    let malformed = |error: &toml::de::Error, key: String| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let (line, column) = position(text, start);
        RecipeError::Malformed { name: name.into(), line, column, key, message: message(error) }
    };
    let mut document = DeTable::parse(text).map_err(|error| malformed(&error, String::new()))?;
    // Spans beyond the text are those of overrides.
    let first_mark = text.len() + 1;
    for (index, text) in overrides.iter().enumerate() {
        Override::parse(text)?.apply(document.get_mut(), first_mark + index)?;
    }
    let places = document.clone();
    TrainConfig::deserialize(Deserializer::from(document)).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        match span.start.checked_sub(first_mark).and_then(|index| overrides.get(index)) {
            Some(text) => RecipeError::Override { text: text.clone(), message: message(&error) },
            None => malformed(&error, key_at(places.get_ref(), &span)),
        }
    })
}

/// The message with the nearest of the names that it lists.
fn message(error: &toml::de::Error) -> String {
    let message = error.message();
    let is_about_a_name = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let Some((found, known)) = message.split_once(", expected ").filter(|_| is_about_a_name) else {
        return message.into();
    };
    let wanted = quoted(found).next().unwrap_or_default();
    match nearest(wanted, quoted(known)) {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message.into(),
    }
}

/// The parts of a text between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The name most like the wanted one, if it is like it at all.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let few_edits = (wanted.chars().count() / 3).clamp(1, 4);
    names
        .map(|name| (strsim::osa_distance(wanted, name), name))
        .filter(|&(edits, _)| edits <= few_edits)
        .min()
        .map(|(_, name)| name)
}

/// Line and column of a byte, in characters, both counted from 1.
fn position(text: &str, start: usize) -> (usize, usize) {
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

/// Path of the key whose name or value is the smallest around a span; empty where there is none.
fn key_at(document: &DeTable<'_>, span: &Range<usize>) -> String {
    // What the whole document lacks has the span 0..0.
    if span.is_empty() {
        return String::new();
    }
    let mut best: Option<(usize, String)> = None;
    let mut offer = |path: &str, around: Range<usize>| {
        let is_around = around.start <= span.start && span.end <= around.end;
        // Of equal ones the deeper, which comes later.
        if is_around && best.as_ref().is_none_or(|(length, _)| around.len() <= *length) {
            best = Some((around.len(), path.into()));
        }
    };
    visit_table(document, "", &mut offer);
    best.map_or(String::new(), |(_, path)| path)
}

fn visit_table(table: &DeTable<'_>, path: &str, offer: &mut impl FnMut(&str, Range<usize>)) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        offer(&path, key.span());
        visit_value(value, &path, offer);
    }
}

fn visit_value(value: &Spanned<DeValue<'_>>, path: &str, offer: &mut impl FnMut(&str, Range<usize>)) {
    offer(path, value.span());
    match value.get_ref() {
        DeValue::Table(table) => visit_table(table, path, offer),
        DeValue::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                visit_value(item, &join(path, &index.to_string()), offer);
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"seed = 3

[output]
directory = "run"

[model]
config = "config.json"
freeze = ["embedding"]

[data]
tasks = [{ task = "addition", min = 1, max = 4 }]
sequence = 64

[batch]
sequences = 8

[depth]
mean = 4

[optimizer]
learning_rate = 1e-3

[schedule]
steps = 100
kind = "cosine"
"#;

    fn error(text: &str) -> String {
        TrainConfig::parse(text, "r.toml", &[]).expect_err("malformed").to_string()
    }

    /// The error after a part of the text is replaced.
    fn replaced(from: &str, to: &str) -> String {
        assert_eq!(TEXT.matches(from).count(), 1, "{from}");
        error(&TEXT.replace(from, to))
    }

    #[test]
    fn text_that_is_no_toml_is_found_at_its_line() {
        assert_eq!(
            replaced("sequences = 8", "sequences = "),
            "r.toml: line 15, column 13: string values must be quoted, expected literal string"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_is_found_at_its_key() {
        assert_eq!(
            replaced("steps = 100", "steps = \"many\""),
            "r.toml: line 24, column 9: schedule.steps: invalid type: string \"many\", expected usize"
        );
        assert_eq!(
            replaced("min = 1,", "min = -1,"),
            "r.toml: line 11, column 37: data.tasks.0.min: invalid value: integer `-1`, expected usize"
        );
        assert_eq!(
            replaced("[\"embedding\"]", "[\"head\", \"core *\"]"),
            "r.toml: line 8, column 10: model.freeze: name pattern is \"core *\": must have no spaces or control \
             characters"
        );
        // Columns are characters, not bytes.
        assert_eq!(
            replaced("task = \"addition\"", "task = \"\u{e4}\u{e4}\", weight = true"),
            "r.toml: line 11, column 34: data.tasks.0.weight: invalid type: boolean `true`, expected f64"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        assert_eq!(
            replaced("steps = 100", "step = 100"),
            "r.toml: line 24, column 1: schedule.step: unknown field `step`, expected one of `steps`, `warmup`, `kind`; \
             did you mean `steps`?"
        );
        assert_eq!(
            replaced("sequence = 64", "sequence = 64\nheld_out = 0.2"),
            "r.toml: line 13, column 1: data.held_out: unknown field `held_out`, expected one of `sequence`, \
             `held_out_share`, `held_out_seed`, `hints`, `difficulty_curriculum`, `tasks`, `text`, `lines`"
        );
        assert!(replaced("[schedule]", "[shedule]").ends_with("did you mean `schedule`?"));
        assert_eq!(
            replaced("mean = 4", "mean = 4\nper = \"sequenze\""),
            "r.toml: line 19, column 7: depth.per: unknown variant `sequenze`, expected `batch` or `sequence`; did you \
             mean `sequence`?"
        );
    }

    #[test]
    fn a_missing_key_is_found_at_its_section() {
        assert_eq!(replaced("steps = 100", ""), "r.toml: line 23, column 1: schedule: missing field `steps`");
        assert_eq!(replaced("[batch]\nsequences = 8", ""), "r.toml: line 1, column 1: missing field `batch`");
        assert_eq!(
            replaced("config = \"config.json\"", ""),
            "r.toml: line 6, column 1: model: needs one of `config` and `from`"
        );
        assert_eq!(
            replaced("config = \"config.json\"", "config = \"a\"\nfrom = \"b\""),
            "r.toml: line 6, column 1: model: needs one of `config` and `from`, found both"
        );
    }

    #[test]
    fn choices_are_names_or_tables_of_one_name() {
        assert_eq!(
            replaced("\"cosine\"", "\"cosin\""),
            "r.toml: line 25, column 8: schedule.kind: unknown variant `cosin`, expected one of `constant`, `cosine`, \
             `warmup-stable-decay`; did you mean `cosine`?"
        );
        assert_eq!(
            replaced("\"cosine\"", "{ cosine = { flor = 0.1 } }"),
            "r.toml: line 25, column 21: schedule.kind.cosine.flor: unknown field `flor`, expected `floor`; did you mean \
             `floor`?"
        );
        assert_eq!(
            replaced("\"cosine\"", "{ cosine = {}, warmup-stable-decay = {} }"),
            "r.toml: line 25, column 8: schedule.kind: expected a table of one name, found several names"
        );
        assert_eq!(
            replaced("\"cosine\"", "7"),
            "r.toml: line 25, column 8: schedule.kind: invalid type: integer `7`, expected a name, or a table of one name \
             with its settings"
        );
    }

    #[test]
    fn a_value_that_is_not_allowed_is_named() {
        assert_eq!(replaced("steps = 100", "steps = 0"), "schedule.steps is 0: must be from 1 to 1073741824");
        assert_eq!(replaced("1e-3", "nan"), "optimizer.learning_rate is NaN: must be finite and more than 0");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = TrainConfig::read("no/such/recipe.toml", &[]).expect_err("no file").to_string();
        assert!(error.starts_with("no/such/recipe.toml: "), "{error}");
    }

    #[test]
    fn a_file_is_read_under_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("recipe.toml");
        std::fs::write(&path, TEXT).expect("written");
        let config = TrainConfig::read(&path, &["seed=9".into()]).expect("a recipe");
        assert_eq!((config.seed, config.schedule.steps), (9, 100));
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        assert_eq!(position("ab\n\u{e4}x", 0), (1, 1));
        // The letter takes two bytes: 3 and 4.
        assert_eq!(position("ab\n\u{e4}x", 5), (2, 2));
        assert_eq!(position("ab\n", 3), (2, 1));
    }
}
