//! The quick check agrees with the exact one.

use fastrand::Rng;
use serde_json::json;

use super::{Schema, quick};
use crate::json;

/// Schemas about the members that [`document`] writes.
fn schemas() -> Vec<serde_json::Value> {
    vec![
        json!({"type": ["object", "string", "integer", "null"]}),
        json!({"properties": {"a": {"type": "integer"}, "b": {"$ref": "#"}}}),
        json!({"additionalProperties": {"type": ["number", "object", "array"]}}),
        json!({"properties": {"a": true}, "additionalProperties": false}),
        json!({"patternProperties": {"^[ab]": {"type": "string"}}, "additionalProperties": {"$ref": "#"}}),
        json!({"required": ["a"]}),
        json!({"type": "object", "required": ["a", "b"], "properties": {"a": {"minimum": 1}}}),
        json!({"minProperties": 2, "maxProperties": 3}),
        json!({"propertyNames": {"maxLength": 1, "pattern": "^[^b]"}}),
        json!({"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"minProperties": 2}}}),
        json!({"items": {"$ref": "#"}, "uniqueItems": true, "maxItems": 2}),
        json!({"contains": {"type": "string"}, "minItems": 1}),
        json!({"prefixItems": [{"type": "number"}], "unevaluatedItems": false}),
        json!({"properties": {"a": {}}, "unevaluatedProperties": {"type": "string"}}),
        json!({"enum": ["a", "é", 1, null, {"a": 1}, [1.0], 1e20, 0.5]}),
        json!({"not": {"enum": ["a", "b", "💩", "\u{fffd}"]}}),
        json!({"const": {}}),
        json!({"multipleOf": 0.5, "exclusiveMaximum": 1e18, "minimum": -3}),
        json!({"minLength": 1, "maxLength": 1, "pattern": "^[a-zé\u{fffd}]"}),
        json!({"anyOf": [{"type": "integer"}, {"required": ["a"]}], "not": {"maxProperties": 1}}),
        json!({"oneOf": [{"minProperties": 1}, {"properties": {"b": {"type": "null"}}}]}),
        json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"type": "object"}}),
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "type": ["integer", "object"],
            "additionalProperties": {"type": "integer"}}),
        json!({"format": "date-time"}),
    ]
}

const NAMES: &[&str] = &[
    "\"a\"",
    "\"b\"",
    "\"c\"",
    "\"\\u0062\"",
    "\"é\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
];
const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "1.0",
    "2",
    "0.5",
    "-4",
    "1e20",
    "1e400",
    "NaN",
    "-Infinity",
    "100000000000000000000",
    "18446744073709551615",
    "\"a\"",
    "\"\\u0061\"",
    "\"\"",
    "\"é\"",
    "\"💩\"",
    "\"\\ud83d\\udca9\"",
    "\"\\ud83d\"",
    "\"ab\"",
    "\"2019-01-01T00:00:00Z\"",
];

/// Returns a random document with duplicate names, unusual numbers and escaped
/// strings.
fn document(random: &mut Rng, depth: usize, out: &mut String) {
    let pick = |random: &mut Rng, from: &[&'static str]| from[random.usize(..from.len())];
    let (open, close) = match random.u8(if depth == 0 { 0..1 } else { 0..4 }) {
        0 => return out.push_str(pick(random, SCALARS)),
        1 => ('[', ']'),
        _ => ('{', '}'),
    };
    out.push(open);
    let few = random.u8(..8) > 0;
    for at in 0..random.usize(..4) {
        if at > 0 {
            out.push(',');
        }
        if open == '{' {
            out.push_str(pick(random, if few { &NAMES[..3] } else { NAMES }));
            out.push(':');
        }
        document(random, depth - 1, out);
    }
    out.push(close);
}

#[test]
fn the_quick_check_agrees_with_the_exact_one() {
    let seed = match std::env::var("BUILDHUB_PIPES_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    let mut random = Rng::with_seed(seed);
    let mut documents = vec![String::new(); 4_000];
    for (at, text) in documents.iter_mut().enumerate() {
        document(&mut random, at % 5, text);
    }
    for schema in schemas() {
        let compiled = Schema::new(&schema, true).unwrap();
        let mut counts = [0, 0];
        for text in &documents {
            let value = json::parse(text.as_bytes()).unwrap();
            if quick::is_simple(&value) {
                let valid = compiled.quick.is_valid(&value);
                let exact = compiled.exact.is_valid(&value.to_serde());
                assert_eq!(valid, exact, "BUILDHUB_PIPES_SEED={seed}: {schema}: {text}");
                counts[usize::from(valid)] += 1;
            }
        }
        assert!(
            counts.iter().all(|count| *count > 0),
            "{schema}: {counts:?}"
        );
    }
}
