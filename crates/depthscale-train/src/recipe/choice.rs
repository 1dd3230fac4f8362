//! A choice written as its name, or as a table of that name with settings.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};

/// Reads an enum whose variants hold nothing or a struct with defaults: `"cosine"` is `{ cosine = {} }`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(ChoiceVisitor(PhantomData))
}

struct ChoiceVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ChoiceVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table of one name with its settings")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        let plain: Result<T, E> = T::deserialize(name.into_deserializer());
        plain.or_else(|_| {
            let no_settings = BTreeMap::<&str, &str>::new();
            let table = MapDeserializer::new(std::iter::once((name, no_settings)));
            T::deserialize(MapAccessDeserializer::new(table))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let chosen = T::deserialize(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(chosen),
            Some(_) => Err(A::Error::custom("expected a table of one name, found several names")),
        }
    }
}
