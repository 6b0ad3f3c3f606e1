//! The fields of an input or output type, from its JSON Schema.

use serde_json::Value;

/// One field, nested ones with their way: `keep.daily`.
pub(crate) struct Field {
    pub(crate) name: String,
    /// In words: `text`, `duration`, `list of text`.
    pub(crate) of: String,
    pub(crate) required: bool,
    pub(crate) default: Option<String>,
    pub(crate) about: String,
}

/// Every field of `schema`, those of nested mappings after the mapping.
pub(crate) fn of(schema: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(schema, target(schema, schema), "", &mut fields);
    fields
}

fn collect(root: &Value, object: &Value, prefix: &str, fields: &mut Vec<Field>) {
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        let required = object["required"].as_array();
        let required = required
            .is_some_and(|names| names.iter().any(|it| it == name.trim_start_matches(prefix)));
        let default = field.get("default").filter(|value| !is_empty(value));
        fields.push(Field {
            of: words(root, field),
            required,
            default: default.map(Value::to_string),
            about: field["description"].as_str().unwrap_or_default().replace('\n', " "),
            name: name.clone(),
        });
        let (inner, list) = mapping(root, field);
        let is_recursive = inner == object || name.matches('.').count() > 2;
        if !is_recursive {
            collect(root, inner, &format!("{name}{}.", if list { "[]" } else { "" }), fields);
        }
    }
}

/// A default that says no more than that the field may be left out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(keys) => keys.is_empty(),
        _ => false,
    }
}

/// What a reference leads to; any other schema itself.
fn target<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// The mapping inside a field, if there is one, and whether the field is a list of them.
fn mapping<'a>(root: &'a Value, field: &'a Value) -> (&'a Value, bool) {
    let field = present(root, field);
    match field.get("items") {
        Some(items) => (target(root, items), true),
        None => (field, false),
    }
}

/// The one alternative of an optional field that is not null.
fn present<'a>(root: &'a Value, field: &'a Value) -> &'a Value {
    let field = target(root, field);
    let others = |members: &'a Vec<Value>| {
        let mut others = members.iter().filter(|it| it["type"] != "null");
        others.next().filter(|_| others.next().is_none())
    };
    field["anyOf"].as_array().and_then(others).map_or(field, |only| target(root, only))
}

/// The type in a word or a few.
fn words(root: &Value, field: &Value) -> String {
    let unit = field["$ref"].as_str().and_then(|it| it.rsplit('/').next());
    match unit {
        Some("Duration") => return "duration".to_owned(),
        Some("Size") => return "size".to_owned(),
        _ => {}
    }
    let field = target(root, field);
    if let Some(values) = values(field) {
        return values;
    }
    match &field["type"] {
        Value::String(name) => simple(root, field, name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(|name| simple(root, field, name)).collect::<Vec<_>>().join(" or ")
        }
        _ => alternatives(root, field),
    }
}

fn simple(root: &Value, field: &Value, name: &str) -> String {
    match name {
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "object" => "mapping".to_owned(),
        "array" => match field.get("items") {
            Some(items) => format!("list of {}", words(root, items)),
            None => "list".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// The values of a choice.
fn values(field: &Value) -> Option<String> {
    let listed = field["enum"].as_array().map(|values| values.iter().collect::<Vec<_>>());
    let constants = || {
        let members = field["oneOf"].as_array()?;
        members.iter().map(|member| member.get("const")).collect::<Option<Vec<_>>>()
    };
    let values = listed.or_else(constants)?;
    let quoted = values.iter().filter_map(|value| value.as_str()).map(|value| format!("`{value}`"));
    Some(quoted.collect::<Vec<_>>().join(", "))
}

fn alternatives(root: &Value, field: &Value) -> String {
    let lists = [&field["anyOf"], &field["oneOf"]];
    let members = lists.into_iter().filter_map(Value::as_array).flatten();
    let names: Vec<String> =
        members.map(|it| words(root, it)).filter(|name| name != "null").collect();
    if names.is_empty() { "anything".to_owned() } else { names.join(" or ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_named_with_their_way_and_in_words() {
        let schema = json!({
            "properties": {
                "keep": {"$ref": "#/$defs/Keep", "description": "What\nstays."},
                "level": {"anyOf": [{"$ref": "#/$defs/Level"}, {"type": "null"}], "default": null},
                "names": {"type": ["array", "null"], "items": {"type": "string"}},
                "wait": {"$ref": "#/$defs/Duration", "default": "7d"},
                "rows": {"type": "array", "items": {"$ref": "#/$defs/Keep"}},
                "any": true,
            },
            "required": ["keep"],
            "$defs": {
                "Keep": {"type": "object", "properties": {"daily": {"type": "integer"}}},
                "Level": {"oneOf": [{"const": "low"}, {"const": "high"}]},
                "Duration": {"type": "string"},
            },
        });
        let told = of(&schema).into_iter().map(|field| {
            let need = if field.required { "!" } else { "" };
            format!("{}{need}: {} = {:?}", field.name, field.of, field.default)
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "keep!: mapping = None",
                "keep.daily: whole number = None",
                "level: `low`, `high` = None",
                "names: list of text = None",
                "wait: duration = Some(\"\\\"7d\\\"\")",
                "rows: list of mapping = None",
                "rows[].daily: whole number = None",
                "any: anything = None",
            ]
        );
        assert_eq!(of(&schema)[0].about, "What stays.");
    }
}
