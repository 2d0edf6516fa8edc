//! Parses the YAML of users: schemas and manifests.

use serde::de::DeserializeOwned;
use serde_saphyr::DuplicateKeyPolicy::PassThrough;
use serde_saphyr::MergeKeyPolicy::AsOrdinary;

/// Parses YAML 1.2, in which only `true` and `false` are booleans. The last of duplicate
/// keys wins.
///
/// # Errors
/// What is wrong and where, in one line.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let options = serde_saphyr::options! {
        duplicate_keys: PassThrough,
        merge_keys: AsOrdinary,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        strict_booleans: true,
        with_snippet: false,
    };
    let parsed = serde_saphyr::from_str_with_options(text, options);
    parsed.map_err(|error| error.to_string().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use md5::{Digest, Md5};
    use serde_json::{Value, json};

    use super::parse;
    use crate::hex;

    #[test]
    fn scalars_have_the_types_of_yaml_1_2() {
        let text = "{a: yes, b: true, c: 010, d: 1_000, e: 1e3, f: null, g: ~, h: 0x1f, \
            i: \"1\", j: 1.5, k: on, l: 2026-11-21, m: '^a$', n: -3}";
        let expected = json!({"a": "yes", "b": true, "c": "010", "d": "1_000", "e": 1e3, "f": null,
            "g": null, "h": 31, "i": "1", "j": 1.5, "k": "on", "l": "2026-11-21", "m": "^a$",
            "n": -3});
        assert_eq!(parse::<Value>(text), Ok(expected));
    }

    #[test]
    fn the_last_duplicate_key_wins_and_merge_keys_are_plain() {
        let text = "a: &a {x: 1}\nb: {<<: *a}\na: 2\n";
        let expected = json!({"a": 2, "b": {"<<": {"x": 1}}});
        assert_eq!(parse::<Value>(text), Ok(expected));
    }

    #[test]
    fn errors_name_line_and_column_in_one_line() {
        for broken in ["a: [1, 2\nb: 3\n", "a: 1\n  b: 2\n", "\"a", "a: *nothing\n"] {
            let error = parse::<Value>(broken).unwrap_err();
            assert!(error.contains("line ") && !error.contains('\n'), "{error}");
        }
    }

    /// The digests are of `json.dumps(yaml.safe_load(file), sort_keys=True)` by
    /// `PyYAML`, without blanks and with characters as they are.
    #[test]
    fn built_in_files_are_read_as_by_python() {
        let files = [
            (
                include_str!("../schema.yaml"),
                "e0ae73745b8378a1e4b79c1d76553640",
            ),
            (
                include_str!("../kinto/initialization.yml"),
                "20e32263ffbbebd7eae60c634370b56b",
            ),
        ];
        for (text, digest) in files {
            let json = parse::<Value>(text).unwrap().to_string();
            assert_eq!(hex::text(&Md5::digest(json)), digest);
        }
    }
}
