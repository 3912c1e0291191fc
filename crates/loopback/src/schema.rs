//! Real output against the schemas in `docs/schemas`, by the few keywords that those use.

use std::path::Path;

use serde_json::Value;

/// Every keyword that is understood here; a schema with another one is refused, so that nothing goes unchecked.
const KEYWORDS: [&str; 12] = [
    "$schema",
    "$id",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "$defs",
];

/// The schema that an object names, checked to be one, and the object against it.
#[track_caller]
pub fn assert_valid(object: &Value, id: &str) {
    assert_eq!(object["schema"], id, "{object}");
    let schema = read(id);
    let mut found = Vec::new();
    check(&schema, object, "$", &mut found);
    assert!(found.is_empty(), "{id}: {}\n{object:#}", found.join("\n"));
}

/// Returns a schema by name.
#[track_caller]
pub fn read(id: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas").join(format!("{id}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], id, "{id} does not name itself");
    known(&schema);
    schema
}

fn known(schema: &Value) {
    let Some(fields) = schema.as_object() else { panic!("{schema} is not a schema") };
    for (keyword, value) in fields {
        assert!(KEYWORDS.contains(&keyword.as_str()), "{keyword} is not understood by the tests");
        match keyword.as_str() {
            "properties" => value.as_object().unwrap().values().for_each(known),
            "items" => known(value),
            "additionalProperties" if value.is_object() => known(value),
            _ => {}
        }
    }
}

/// Adds the errors of a value.
pub fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(types) = schema.get("type") {
        let types: Vec<&str> = match types {
            Value::String(one) => vec![one.as_str()],
            several => several.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
        };
        if !types.iter().any(|name| is_of(value, name)) {
            found.push(format!("{at}: {value} is not {}", types.join(" or ")));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    if schema.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(value)) {
        found.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if let Some(fields) = value.as_object() {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap()) {
                found.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in fields {
            let below = format!("{at}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(schema), _) => check(schema, field, &below, found),
                (None, Some(Value::Bool(false))) => found.push(format!("{below} is not in the schema")),
                (None, Some(schema @ Value::Object(_))) => check(schema, field, &below, found),
                // A reader of the documents must learn of every field, unless an object is left open on purpose.
                (None, None) if schema.get("properties").is_some() => {
                    found.push(format!("{below} is not in the schema"))
                }
                (None, _) => {}
            }
        }
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().enumerate().for_each(|(number, item)| check(items, item, &format!("{at}[{number}]"), found));
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not a type"),
    }
}
