//! Overrides of single keys from the command line.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{RecipeError, Result};

/// One `key.path=value`.
pub(crate) struct Override<'a> {
    /// As it was given.
    text: &'a str,
    /// The parts of the path.
    path: Vec<&'a str>,
    /// What is to be there; none takes the key away.
    value: Option<DeValue<'a>>,
}

/// Real paths have five at the most.
const MOST_PARTS: usize = 16;

/// Keys of which a recipe has one.
const ALTERNATIVES: [&[[&str; 2]]; 2] =
    [&[["model", "config"], ["model", "from"]], &[["data", "tasks"], ["data", "text"], ["data", "lines"]]];

impl<'a> Override<'a> {
    /// Splits an override into path and value. The value is read as TOML, and as a string if it is none.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let refused = |message: String| RecipeError::Override { text: text.into(), message };
        let (path, value) = text.split_once('=').ok_or_else(|| refused("must have the form key.path=value".into()))?;
        let path: Vec<&str> = path.trim().split('.').collect();
        let is_plain =
            |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if let Some(part) = path.iter().find(|part| !is_plain(part)) {
            let message =
                format!("{part:?} is no part of a key: must be letters, digits, `_` and `-`, as in key.path=value");
            return Err(refused(message));
        }
        if path.len() > MOST_PARTS {
            return Err(refused(format!("the path has {} parts: must have at most {MOST_PARTS}", path.len())));
        }
        let value = value.trim();
        let parsed = || DeValue::parse(value).map_or(DeValue::String(Cow::Borrowed(value)), Spanned::into_inner);
        Ok(Self { text, path, value: (!value.is_empty()).then(parsed) })
    }

    /// Applies it to a document. What it adds has the span `mark..mark`, by which errors find back to it.
    pub(crate) fn apply(mut self, document: &mut DeTable<'a>, mark: usize) -> Result<()> {
        let value = self.value.take().map(|value| marked(value, mark));
        if value.is_some() {
            self.drop_alternatives(document);
        }
        set(document, &self.path, value, mark).map_err(|message| self.refused(message))
    }

    fn drop_alternatives(&self, document: &mut DeTable<'a>) {
        let is_set = |key: &[&str; 2]| self.path.starts_with(key);
        for [section, key] in ALTERNATIVES.into_iter().filter(|keys| keys.iter().any(is_set)).flatten() {
            if !is_set(&[section, key])
                && let Some(DeValue::Table(table)) = document.get_mut(*section).map(Spanned::get_mut)
            {
                table.remove(*key);
            }
        }
    }

    fn refused(&self, message: String) -> RecipeError {
        RecipeError::Override { text: self.text.into(), message }
    }
}

/// Puts a value at a path, with tables on the way where there are none; the error says what is in the way.
fn set<'a>(
    table: &mut DeTable<'a>,
    path: &[&'a str],
    value: Option<Spanned<DeValue<'a>>>,
    mark: usize,
) -> Result<(), String> {
    let [part, rest @ ..] = path else { return Ok(()) };
    if rest.is_empty() {
        match value {
            Some(value) => table.insert(Spanned::new(mark..mark, Cow::Borrowed(*part)), value),
            None => table.remove(*part),
        };
        return Ok(());
    }
    if table.get(*part).is_none() {
        if value.is_none() {
            return Ok(());
        }
        let empty = Spanned::new(mark..mark, DeValue::Table(DeTable::new()));
        table.insert(Spanned::new(mark..mark, Cow::Borrowed(*part)), empty);
    }
    match table.get_mut(*part) {
        Some(entry) => set_within(entry, part, rest, value, mark),
        None => Ok(()),
    }
}

fn set_within<'a>(
    entry: &mut Spanned<DeValue<'a>>,
    name: &str,
    rest: &[&'a str],
    value: Option<Spanned<DeValue<'a>>>,
    mark: usize,
) -> Result<(), String> {
    // A choice that is only a name becomes the table of that name, so that its settings can be set.
    if let DeValue::String(choice) = entry.get_ref()
        && rest.first().is_some_and(|part| part == choice)
    {
        *entry.get_mut() = DeValue::Table(DeTable::new());
    }
    match entry.get_mut() {
        DeValue::Table(table) => set(table, rest, value, mark),
        DeValue::Array(list) => {
            let length = list.len();
            let [part, rest @ ..] = rest else { return Ok(()) };
            let item = part.parse().ok().and_then(|index: usize| list.get_mut(index));
            let item =
                item.ok_or_else(|| format!("{part:?} is no entry of {name}: must be a number below {length}"))?;
            match (rest.is_empty(), value) {
                (false, value) => set_within(item, part, rest, value, mark),
                (true, Some(value)) => {
                    *item = value;
                    Ok(())
                }
                (true, None) => Err("an entry of a list cannot be taken away: give the whole list".into()),
            }
        }
        other => Err(format!("{name} is of the type {}, which has no keys", other.type_str())),
    }
}

/// The value with all its spans at the mark.
fn marked(value: DeValue<'_>, mark: usize) -> Spanned<DeValue<'_>> {
    let value = match value {
        DeValue::Table(table) => DeValue::Table(
            table
                .into_iter()
                .map(|(key, value)| (Spanned::new(mark..mark, key.into_inner()), marked(value.into_inner(), mark)))
                .collect(),
        ),
        DeValue::Array(list) => {
            DeValue::Array(list.into_iter().map(|value| marked(value.into_inner(), mark)).collect())
        }
        other => other,
    };
    Spanned::new(mark..mark, value)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::super::config::TrainConfig;
    use super::super::data::DataSource;
    use super::super::model::ModelSource;
    use super::super::schedule::{CosineConfig, ScheduleKind};

    const TEXT: &str = r#"
        output = { directory = "run" }
        model = { config = "config.json" }
        data = { tasks = [{ task = "addition", min = 1, max = 4 }], sequence = 64 }
        batch = { sequences = 8 }
        depth = { mean = 4 }
        optimizer = { learning_rate = 1e-3 }
        schedule = { steps = 100, kind = "cosine" }
    "#;

    fn parse(overrides: &[&str]) -> Result<TrainConfig, String> {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        TrainConfig::parse(TEXT, "r.toml", &overrides).map_err(|error| error.to_string())
    }

    fn with(overrides: &[&str]) -> TrainConfig {
        parse(overrides).expect("a recipe")
    }

    #[test]
    fn values_are_toml_or_strings() {
        let config = with(&["seed=5", "optimizer.clip=inf", "model.config=runs/small 1.json", "output.directory='7'"]);
        assert_eq!(config.seed, 5);
        assert_eq!(config.optimizer.clip, f64::INFINITY);
        assert_eq!(config.model.source, ModelSource::Fresh("runs/small 1.json".into()));
        assert_eq!(config.output.directory, PathBuf::from("7"));
        let config = with(&["data.tasks=[{ task = \"copy\", min = 2, max = 3 }]"]);
        assert!(matches!(&config.data.source, DataSource::Tasks(tasks) if tasks[0].task == "copy" && tasks.len() == 1));
    }

    #[test]
    fn the_last_one_counts() {
        assert_eq!(with(&["seed=1", "seed=2"]).seed, 2);
    }

    #[test]
    fn paths_lead_into_lists_choices_and_new_tables() {
        let config = with(&["data.tasks.0.max=9", "schedule.kind.cosine.floor=0.25", "guard.spike.window=7"]);
        assert!(matches!(&config.data.source, DataSource::Tasks(tasks) if tasks[0].max == 9));
        assert_eq!(config.schedule.kind, ScheduleKind::Cosine(CosineConfig { floor: 0.25 }));
        assert_eq!(config.guard.spike.map(|spike| spike.window), Some(7));
        assert_eq!(with(&["schedule.kind=constant"]).schedule.kind, ScheduleKind::Constant);
    }

    #[test]
    fn an_empty_value_takes_the_key_away() {
        assert_eq!(with(&["schedule.kind="]).schedule.kind, ScheduleKind::Constant);
        assert_eq!(with(&["guard.spike.window="]).guard.spike, None);
        assert_eq!(
            parse(&["schedule.steps="]).expect_err("it is required"),
            "r.toml: line 8, column 20: schedule: missing field `steps`"
        );
    }

    #[test]
    fn one_of_several_sources_replaces_the_others() {
        assert_eq!(with(&["model.from=run/last"]).model.source, ModelSource::Checkpoint("run/last".into()));
        let config = with(&["data.text.files=['a.txt']", "data.text.held_out=0.5"]);
        assert!(matches!(&config.data.source, DataSource::Text(text) if text.held_out == 0.5));
        // Of two overrides the last one counts here too.
        let config = with(&["data.text.files=['a.txt']", "data.lines.files=['b.txt']"]);
        assert!(matches!(&config.data.source, DataSource::Lines(_)));
    }

    #[test]
    fn errors_name_the_override() {
        let error = |text: &str| parse(&[text]).expect_err("refused");
        assert_eq!(error("seed"), "override \"seed\": must have the form key.path=value");
        assert_eq!(
            error("schedule..steps=3"),
            "override \"schedule..steps=3\": \"\" is no part of a key: must be letters, digits, `_` and `-`, as in \
             key.path=value"
        );
        assert_eq!(
            error("schedule.step=3"),
            "override \"schedule.step=3\": unknown field `step`, expected one of `steps`, `warmup`, `kind`; did you mean \
             `steps`?"
        );
        assert_eq!(
            error("schedule.steps=many"),
            "override \"schedule.steps=many\": invalid type: string \"many\", expected usize"
        );
        assert_eq!(error("seed.value=3"), "override \"seed.value=3\": invalid type: map, expected u64");
        assert_eq!(
            error("depth.mean.x=3"),
            "override \"depth.mean.x=3\": mean is of the type integer, which has no keys"
        );
        assert_eq!(
            error("data.tasks.1.max=3"),
            "override \"data.tasks.1.max=3\": \"1\" is no entry of tasks: must be a number below 1"
        );
        assert_eq!(
            error("data.tasks.0.mox=3"),
            "override \"data.tasks.0.mox=3\": unknown field `mox`, expected one of `task`, `min`, `max`, `weight`, \
             `begin`, `end`; did you mean `max`?"
        );
        assert_eq!(
            error("data.tasks.0="),
            "override \"data.tasks.0=\": an entry of a list cannot be taken away: give the whole list"
        );
        assert_eq!(
            error("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1"),
            "override \"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1\": the path has 17 parts: must have at most 16"
        );
        assert_eq!(error("schedule.steps=0"), "schedule.steps is 0: must be from 1 to 1073741824");
    }

    proptest! {
        #[test]
        fn no_override_and_no_text_panics(
            text in "[a-z.=\\[\\]{}\"' \n0-9_#\u{e4}]{0,60}",
            path in "(seed|data|data.tasks|data.tasks.0|schedule.kind|schedule|model|x)(.[a-z0-9]{0,3})?",
            value in "[a-z0-9={}\\[\\]\"., ]{0,12}",
        ) {
            let overridden = format!("{path}={value}");
            let _ = TrainConfig::parse(TEXT, "r.toml", std::slice::from_ref(&overridden));
            let _ = TrainConfig::parse(&text, "r.toml", &[overridden]);
        }
    }
}
