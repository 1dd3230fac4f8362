//! The `tojson` filter of chat templates.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it. The engine's own filter writes the characters
/// that matter in HTML as escapes, which would be other tokens.
pub(super) fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson(ensure_ascii=true) is not supported"));
    }
    options.assert_all_used()?;
    let html_safe = minijinja::filters::tojson(value, indent, Kwargs::from_iter([] as [(&str, Value); 0]))?;
    Ok(Value::from(unescape_html(&html_safe.to_string())))
}

/// Undoes `\u003c` and its like in JSON text, and leaves a backslash that is itself escaped alone.
fn unescape_html(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (text, n_bytes) = match rest.get(..6) {
            Some("\\u003c") => ("<", 6),
            Some("\\u003e") => (">", 6),
            Some("\\u0026") => ("&", 6),
            Some("\\u0027") => ("'", 6),
            // An escape is at least two bytes of ASCII, so that the second one of `\\` is never taken for a first.
            _ => rest.split_at_checked(2).map_or((rest, rest.len()), |(escape, _)| (escape, 2)),
        };
        plain.push_str(text);
        rest = &rest[n_bytes..];
    }
    plain.push_str(rest);
    plain
}
