//! Strings and values, encodings, and lines that are scanned.

use super::*;

#[test]
fn strings_are_compared_and_decoded() {
    type Case = (
        &'static str,
        bool,
        Result<&'static str, &'static str>,
        &'static str,
        &'static [u8],
    );
    let lone = "a lone surrogate (\\ud83d)";
    let table: [Case; 6] = [
        ("a b~", true, Ok("a b~"), "a b~", b"a b~"),
        ("é\x7f", false, Ok("é\x7f"), "é\x7f", "é\x7f".as_bytes()),
        (r"\u0061\/\n", false, Ok("a/\n"), "a/\n", b"a/\n"),
        (
            r"x\uD83d\uDE00y",
            false,
            Ok("x😀y"),
            "x😀y",
            "x😀y".as_bytes(),
        ),
        (r"\ud83d", false, Err(lone), "\u{fffd}", b"\xed\xa0\xbd"),
        (r"\ud83d\ude0\u0030", false, Err(lone), "", b""),
    ];
    for (raw, plain, string, lossy, wtf8) in table {
        let token = format!("\"{raw}\"");
        let Some(text) = text_of(token.as_bytes()) else {
            assert!(lossy.is_empty(), "{raw}");
            continue;
        };
        assert_eq!((text.raw(), text.is_plain()), (raw.as_bytes(), plain));
        let own = text.to_str().map_err(|error| error.to_string());
        assert_eq!(own.as_deref().map_err(String::as_str), string);
        assert_eq!((&*text.to_string_lossy(), &*text.to_wtf8()), (lossy, wtf8));
    }
    for value in ["1", "", "\"a", "\"a\"b", "\"a\" ", "[\"a\"]"] {
        assert!(text_of(value.as_bytes()).is_none(), "{value}");
    }
    let mut out = Vec::new();
    write_str("a\"\\/\u{8}\u{c}\n\r\t\0\u{1f}\x7fé😀", &mut out);
    assert_eq!(
        out,
        r#""a\"\\/\b\f\n\r\t\u0000\u001f"#.bytes().chain("\x7fé😀\"".bytes()).collect::<Vec<_>>()
    );
}

#[test]
fn members_of_a_value_are_found() -> Outcome {
    let value = parse(r#"{"a":1,"\u0061":"\u0062","c":-0,"d":1.0,"é":null}"#.as_bytes())?;
    assert_eq!(value.get("a").and_then(Value::as_str).as_deref(), Some("b"));
    assert!(
        value
            .get("é")
            .is_some_and(|value| value.kind() == ValueKind::Null)
    );
    assert!(value.get("b").is_none() && Value::Null.get("a").is_none());
    let number = |name| match value.get(name) {
        Some(Value::Number(number)) => Some((number.token(), number.is_integer())),
        _ => None,
    };
    assert_eq!(
        (number("c"), number("d")),
        (Some(("-0", true)), Some(("1.0", false)))
    );
    Ok(())
}

#[test]
fn values_are_converted_for_serde_json() -> Outcome {
    let huge = "9".repeat(400);
    let table = [
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        (&huge, "1.7976931348623157e+308"),
        ("1.0", "1.0"),
        ("[NaN,Infinity,-Infinity,-1e400]", "[0.5,0.5,-0.5,-0.5]"),
        (r#"{"a":1,"a":"\ud83d"}"#, "{\"a\":\"\u{fffd}\"}"),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text.as_bytes())?.to_serde().to_string(), expected);
    }
    Ok(())
}

#[test]
fn values_that_jsonb_cannot_hold_are_found() -> Outcome {
    let long = "9".repeat(131_073);
    let table = [
        ("{\"a\":[\"\\ud83d\\ude00\\u0001\",1e308,1e-400]}", None),
        (&long[1..], None),
        (
            &long,
            Some("a number with more digits than PostgreSQL can store at \"\""),
        ),
        (
            "[1,1e-16384]",
            Some("a number with more digits than PostgreSQL can store at \"/1\""),
        ),
        ("[0.1e-16382]", None),
        (
            "{\"a~/b\":[1,\"\\ud83d\"]}",
            Some("a lone surrogate at \"/a~0~1b/1\""),
        ),
        (
            "{\"a\":{\"\\udc00x\":1}}",
            Some("a lone surrogate at \"/a/\u{fffd}x\""),
        ),
        ("{\"a\":\"\\u0000\",\"a\":1}", None),
        (
            "{\"a\":{\"b\":[1e400]},\"c\":\"\\u0000\",\"a\":1,\"c\":2}",
            None,
        ),
        (
            "{\"a\":1,\"a\":[\"\\u0000\"]}",
            Some("a NUL character (\\u0000) at \"/a/0\""),
        ),
        (
            "[{},{\"b\\u0000\":1e400}]",
            Some("a NUL character (\\u0000) at \"/1/b\\0\""),
        ),
        ("[-1e400]", Some("a number beyond double range at \"/0\"")),
        (
            "-Infinity",
            Some("NaN or Infinity is no JSON number at \"\""),
        ),
    ];
    for (text, expected) in table {
        let found = parse(text.as_bytes())?
            .unstorable()
            .map(|found| found.to_string());
        assert_eq!(found.as_deref(), expected);
    }
    Ok(())
}

#[test]
fn encodings_are_detected_and_decoded() -> Outcome {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| {
        text.encode_utf16().flat_map(bytes).collect::<Vec<_>>()
    };
    let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| {
        text.chars()
            .flat_map(|char| bytes(char.into()))
            .collect::<Vec<_>>()
    };
    for text in ["{\"é\":\"😀\"}", "1", "[]"] {
        let marked = format!("\u{feff}{text}");
        assert_eq!(decode(marked.as_bytes())?, text.as_bytes());
        for text_or_marked in [text, &marked] {
            assert_eq!(
                decode(&utf16(text_or_marked, u16::to_le_bytes))?,
                text.as_bytes()
            );
            assert_eq!(
                decode(&utf16(text_or_marked, u16::to_be_bytes))?,
                text.as_bytes()
            );
        }
        assert_eq!(decode(&utf32(&marked, u32::to_le_bytes))?, text.as_bytes());
        assert_eq!(decode(&utf32(&marked, u32::to_be_bytes))?, text.as_bytes());
    }
    assert!(matches!(
        decode(b"[1]")?,
        std::borrow::Cow::Borrowed(b"[1]")
    ));
    assert_eq!(
        decode("\u{feff}\u{feff}1".as_bytes())?,
        "\u{feff}1".as_bytes()
    );
    assert!(decode(b"")?.is_empty());
    // As by CPython's `surrogatepass`.
    let table: [(&[u8], &str); 5] = [
        (
            b"\xef\xbb\xbf\"\xed\xa0\xbd\xed\xb8\x80a\"",
            r#""\ud83d\ude00a""#,
        ),
        (b"\"\\\\\xed\xbf\xbf\"", r#""\\\udfff""#),
        (b"\xff\xfe1\0\x3d\xd8", r"1\ud83d"),
        (b"\0[\xde\0\0]", r"[\ude00]"),
        (b"1\0\0\0\0\xd8\0\0", r"1\ud800"),
    ];
    for (bytes, expected) in table {
        assert_eq!(decode(bytes)?, expected.as_bytes());
    }
    let table: [(&[u8], &str); 6] = [
        (b"[\"\xff\"]", "invalid UTF-8 at byte 2"),
        (b"\"\\\xed\xa0\xbd\"", "invalid UTF-8 at byte 2"),
        (b"\"\xed\xa0\"", "invalid UTF-8 at byte 1"),
        (b"\xfe\xff\0", "invalid UTF-16BE at byte 2"),
        (b"\0\0\0[\0\x11\0\0", "invalid UTF-32BE at byte 4"),
        (b"\0\0\xfe\xff\0\0\x001\0", "invalid UTF-32BE at byte 8"),
    ];
    for (bytes, expected) in table {
        let error = decode(bytes).map_err(|error| error.to_string());
        assert_eq!(error.err().as_deref(), Some(expected));
    }
    Ok(())
}

#[test]
fn compacting_keeps_every_token() -> Outcome {
    let table = [
        (
            " { \"b c\" :\t[ 1.0 , -0 ,\"\\u0061 \" ]\r\n, \"b c\":{ } } ",
            r#"{"b c":[1.0,-0,"\u0061 "],"b c":{}}"#,
            ValueKind::Object,
        ),
        ("\n[ ]", "[]", ValueKind::Array),
        ("1e400", "1e400", ValueKind::Number),
        (" \"é\" ", "\"é\"", ValueKind::String),
        ("true", "true", ValueKind::Bool),
        ("null ", "null", ValueKind::Null),
    ];
    for (text, expected, kind) in table {
        let mut out = b">".to_vec();
        assert_eq!(compact(text.as_bytes(), &mut out)?, kind);
        assert_eq!(out, format!(">{expected}").as_bytes());
    }
    for (text, expected) in [
        ("[1, NaN]", "NaN is not JSON at byte 4"),
        ("Infinity", "Infinity is not JSON at byte 0"),
        ("{\"a\":-Infinity}", "-Infinity is not JSON at byte 5"),
    ] {
        let error = compact(text.as_bytes(), &mut Vec::new()).map_err(|error| error.to_string());
        assert_eq!(error.err().as_deref(), Some(expected));
    }
    Ok(())
}

#[test]
fn members_of_an_object_are_found_without_parsing_it() -> Outcome {
    let line = r#" { "key" : "a\"b" ,"n":[1, {"key":2}],"\u006eone":null , "key":NaN } "#;
    let found = members(line.as_bytes())?;
    let table = [
        ("key", r#""a\"b""#, r#""key" : "a\"b""#),
        ("n", r#"[1, {"key":2}]"#, r#""n":[1, {"key":2}]"#),
        ("none", "null", r#""\u006eone":null"#),
        ("key", "NaN", r#""key":NaN"#),
    ];
    assert_eq!(found.iter().count(), table.len());
    for (member, (name, value, span)) in found.iter().zip(table) {
        assert_eq!(
            (&*member.name.to_str()?, member.value),
            (name, value.as_bytes())
        );
        assert_eq!(&line[member.start..member.end], span);
    }
    assert_eq!(
        found.get("key").map(|member| member.value),
        Some(&b"NaN"[..])
    );
    assert!(found.get("none").is_some() && found.get("x").is_none());
    assert_eq!(members(b"{}")?.into_iter().count(), 0);
    for (line, expected) in [
        ("", "expected an object, found nothing at byte 0"),
        (" [{}]", "expected an object, found an array at byte 1"),
        ("\"{}\"", "expected an object, found a string at byte 0"),
        ("-1", "expected an object, found a number at byte 0"),
        ("null", "expected an object, found null at byte 0"),
        ("x", "expected an object at byte 0"),
        ("{} x", "expected the end of the text at byte 3"),
        (
            "{\"a\":[\"\x01\"]}",
            "a control character in a string at byte 7",
        ),
    ] {
        let error = members(line.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(error.err().as_deref(), Some(expected));
    }
    Ok(())
}
