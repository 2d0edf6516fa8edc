//! Every rule by table; the expected texts are what `CPython` 3.11 prints.

use super::*;

mod parts;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn dumps(text: &str) -> Result<String, ParseError> {
    let mut out = Vec::new();
    parse(text.as_bytes())?.write_canonical(&mut out);
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn array(depth: usize, inner: &str) -> String {
    "[".repeat(depth) + inner + &"]".repeat(depth)
}

fn object(depth: usize) -> String {
    r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth)
}

#[test]
fn values_are_written_as_json_dumps_does() -> Outcome {
    let table = [
        (
            " {\"b\":1,\t\"a\" : [ ] , \"\":{}\r\n} ",
            r#"{"": {}, "a": [], "b": 1}"#,
        ),
        ("[null,true,false,\"\"]", r#"[null, true, false, ""]"#),
        (
            "\"a/b\x7f\u{80}é\u{2028}\u{ffff}😀~ \"",
            r#""a/b\u007f\u0080\u00e9\u2028\uffff\ud83d\ude00~ ""#,
        ),
        (r#""\b\f\n\r\t\"\\\/""#, r#""\b\f\n\r\t\"\\/""#),
        (
            r#""\u0008\u000c\u0022\u005C\u002f\u0041\u0000\u001F\u007f""#,
            r#""\b\f\"\\/A\u0000\u001f\u007f""#,
        ),
        (
            r#""\uD83D\uDE00 \ud83d \ude00\ud83d\ud83d\ude00\ud83d\n""#,
            r#""\ud83d\ude00 \ud83d \ude00\ud83d\ud83d\ude00\ud83d\n""#,
        ),
        // sorted by code point: a lone surrogate before U+E000, U+FFFF before U+10000
        (
            "{\"😀\":1,\"\u{ffff}\":2,\"\\ud83d\":3,\"\u{e000}\":4,\"b\":5,\"B\":6,\"\":7,\"aa\":8,\"a\":9}",
            r#"{"": 7, "B": 6, "a": 9, "aa": 8, "b": 5, "\ud83d": 3, "\ue000": 4, "\uffff": 2, "\ud83d\ude00": 1}"#,
        ),
        (
            r#"{"a":1,"b":{"x":1,"x":2},"\u0061":3}"#,
            r#"{"a": 3, "b": {"x": 2}}"#,
        ),
        (
            "{\"é\":1,\"\\u00e9\":2,\"\\ud83d\\ude00\":3,\"😀\":4}",
            r#"{"\u00e9": 2, "\ud83d\ude00": 4}"#,
        ),
    ];
    for (text, expected) in table {
        assert_eq!(dumps(text)?, expected, "{text}");
    }
    Ok(())
}

#[test]
fn many_members_are_sorted_and_the_last_duplicate_wins() -> Outcome {
    let member = |n: usize| format!("\"{}\":{n}", n * 7 % 100);
    let text: Vec<_> = (0..200).map(member).collect();
    let mut expected: Vec<_> = (100..200)
        .map(|n| (format!("{:?}", (n * 7 % 100).to_string()), n))
        .collect();
    expected.sort();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, n)| format!("{name}: {n}"))
        .collect();
    assert_eq!(
        dumps(&format!("{{{}}}", text.join(",")))?,
        format!("{{{}}}", expected.join(", "))
    );
    Ok(())
}

#[test]
fn numbers_are_written_as_python_does() -> Outcome {
    let long = "9".repeat(5000);
    let table = [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("-0e0", "-0.0"),
        ("0e5", "0.0"),
        ("0e99999999999999999999", "0.0"),
        ("1E5", "100000.0"),
        ("1e+2", "100.0"),
        ("123456789.0", "123456789.0"),
        ("18446744073709551616", "18446744073709551616"),
        (&long, &long),
        ("9007199254740993.0", "9007199254740992.0"),
        ("9999999999999998.0", "9999999999999998.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("12345678901234567.0", "1.2345678901234568e+16"),
        ("1e22", "1e+22"),
        ("1e23", "1e+23"),
        ("8.41e21", "8.41e+21"),
        ("1.5e300", "1.5e+300"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("9.5e-5", "9.5e-05"),
        ("-0.00001234", "-1.234e-05"),
        ("0.00001", "1e-05"),
        ("1e-7", "1e-07"),
        ("1.25e-10", "1.25e-10"),
        ("2.5e-324", "5e-324"),
        ("2.4e-324", "0.0"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("1e400", "Infinity"),
        ("-1e400", "-Infinity"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
    ];
    for (text, expected) in table {
        assert_eq!(dumps(text)?, expected, "{text}");
    }
    Ok(())
}

#[test]
fn invalid_texts_are_refused_with_their_position() {
    let table = [
        ("", "expected a value at byte 0"),
        (" \n", "expected a value at byte 2"),
        ("\u{feff}1", "expected a value at byte 0"),
        ("\x0b1", "expected a value at byte 0"),
        ("nul", "expected a value at byte 0"),
        ("'a'", "expected a value at byte 0"),
        ("1 2", "expected the end of the text at byte 2"),
        ("truex", "expected the end of the text at byte 4"),
        ("[]]", "expected the end of the text at byte 2"),
        ("[1,]", "expected a value at byte 3"),
        (
            "[1 2]",
            "expected a comma or the end of the array at byte 3",
        ),
        ("[1}", "expected a comma or the end of the array at byte 2"),
        ("[", "expected a value at byte 1"),
        ("{", "expected a string for a member's name at byte 1"),
        ("{a:1}", "expected a string for a member's name at byte 1"),
        (
            "{\"a\":1,}",
            "expected a string for a member's name at byte 7",
        ),
        (
            "{\"a\" 1}",
            "expected a colon after a member's name at byte 5",
        ),
        ("{\"a\":}", "expected a value at byte 5"),
        (
            "{\"a\":1]",
            "expected a comma or the end of the object at byte 6",
        ),
        ("01", "expected the end of the text at byte 1"),
        ("+1", "expected a value at byte 0"),
        ("-", "expected a digit at byte 1"),
        ("-.5", "expected a digit at byte 1"),
        ("-NaN", "expected a digit at byte 1"),
        ("1.", "expected a digit after the point at byte 2"),
        ("1.e5", "expected a digit after the point at byte 2"),
        ("1e+", "expected a digit in the exponent at byte 3"),
        ("１", "expected a value at byte 0"),
        ("\"a", "a string without an end at byte 0"),
        ("[\"abcdefgh\\\"", "a string without an end at byte 1"),
        ("\"a\tb\"", "a control character in a string at byte 2"),
        (
            "\"abcdefghé\0\"",
            "a control character in a string at byte 11",
        ),
        ("\"\\x41\"", "an unknown escape at byte 1"),
        ("\"\\", "an unknown escape at byte 1"),
        (
            "\"\\u12\"",
            "expected four hexadecimal digits after \\u at byte 1",
        ),
        (
            "\"\\u+123\"",
            "expected four hexadecimal digits after \\u at byte 1",
        ),
        (
            "\"\\ud83d\\u12g4\"",
            "expected four hexadecimal digits after \\u at byte 7",
        ),
    ];
    for (text, expected) in table {
        let error = parse(text.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(error.err().as_deref(), Some(expected), "{text:?}");
        let mut out = b"kept".to_vec();
        assert!(compact(text.as_bytes(), &mut out).is_err(), "{text:?}");
        assert_eq!(out, b"kept", "{text:?}");
        assert!(members(text.as_bytes()).is_err(), "{text:?}");
    }
    for text in [&b"\"a\xff\""[..], b"[1\xed\xa0\x80]", b"1 \xc3"] {
        let error = parse(text).map_err(|error| error.to_string());
        assert_eq!(error.err().as_deref(), Some("invalid UTF-8 at byte 2"));
    }
}

#[test]
fn strings_of_every_length_are_escaped() -> Outcome {
    // the scanner reads words of eight bytes
    for length in 0..40 {
        let run = "x".repeat(length);
        for (odd, expected) in [
            ("", ""),
            ("\\n", "\\n"),
            ("\x7f", "\\u007f"),
            ("é", "\\u00e9"),
            ("!", "!"),
            ("~[", "~["),
        ] {
            let text = format!("[\"{run}{odd}{run}\"]");
            assert_eq!(dumps(&text)?, format!("[\"{run}{expected}{run}\"]"));
            assert!(parse(&text.as_bytes()[..text.len() - 2]).is_err());
        }
        for odd in ['\x1f', '\0', '\n'] {
            let text = format!("\"{run}é{run}{odd}\"");
            let offset = parse(text.as_bytes()).map_err(|error| error.offset);
            assert_eq!(offset.err(), Some(2 * length + 3));
        }
    }
    Ok(())
}

/// Runs `work` with a stack of this many KB.
fn with_stack(size: usize, work: fn() -> Result<(), ParseError>) -> Outcome {
    let thread = std::thread::Builder::new()
        .stack_size(size << 10)
        .spawn(work)?;
    Ok(thread.join().map_err(|_| "the thread has ended badly")??)
}

#[test]
fn the_deepest_texts_fit_a_small_stack() -> Outcome {
    with_stack(512, || {
        for text in [
            array(995, ""),
            array(995, "1e400"),
            object(995),
            object(994).replace('1', "[1e400]"),
        ] {
            let value = parse(text.as_bytes())?;
            let mut out = Vec::new();
            value.write_canonical(&mut out);
            let own = String::from_utf8_lossy(&out).replace(": ", ":");
            assert_eq!(own.replace("Infinity", "1e400"), text);
            assert_eq!(value.unstorable().is_some(), text.contains('e'));
            out.clear();
            compact(text.as_bytes(), &mut out)?;
            assert_eq!(out, text.as_bytes());
        }
        Ok(())
    })?;
    // without optimization, the frames of serde_json's own drop are large
    with_stack(2048, || {
        drop(parse(object(995).as_bytes())?.to_serde());
        Ok(())
    })
}

#[test]
fn depth_is_limited() {
    for text in [
        array(996, ""),
        object(996),
        "[".repeat(1_000_000),
        r#"[{"a":"#.repeat(100_000),
    ] {
        for error in [
            parse(text.as_bytes()).err(),
            compact(text.as_bytes(), &mut Vec::new()).err(),
        ] {
            assert_eq!(
                error.map(|error| error.message),
                Some("nested deeper than 995 levels")
            );
        }
    }
}
