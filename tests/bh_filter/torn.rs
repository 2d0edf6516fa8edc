//! Lines that are not whole.
//!
//! Of a line without a wanted key only the braces are looked at: it begins with one, ends with
//! one, and has none in between. So a part of a line is noticed, wherever it was cut, and a line
//! glued to a part of another. What is not noticed is a piece lost from the middle of a line, or
//! from the middle of one to the middle of another: what is left has its braces, and passes as
//! one line of other keys. Only the count in the mark behind it tells that a record is missing.

use crate::harness::Tool;

#[test]
fn half_a_line_among_other_keys_is_rejected() {
    let other = |n: usize| format!(r#"{{"bucket":"b","key":"pub/{n}/target.txt","size":{n}}}"#);
    let whole = other(1);
    for cut in 1..whole.len() {
        let (start, end) = whole.split_at(cut);
        // Two lines, a line behind half of one, and the rest of one behind a line.
        let input = [
            format!("{}\n{start}\n{}\n", other(0), other(2)),
            format!("{}\n{start}{}\n{}\n", other(0), other(2), other(3)),
            format!("{}\n{}{end}\n{}\n", other(0), other(2), other(3)),
            format!("{}\n{end}\n{}\n", other(0), other(2)),
        ];
        for input in input {
            let tool = Tool::new("bh-filter").args(["--known", "none"]);
            let run = tool.input(&*input).run().exits(65).prints_nothing();
            let run = run.says("bh-filter: warning: line 2: bad_line: ");
            assert_eq!(
                (
                    run.count("/dropped/other keys"),
                    run.count("/rejected/bad_line")
                ),
                (2, 1),
                "{input}{run}"
            );
        }
    }
    // Marks, brackets and what other tools nest are as good as ever.
    let mark = r#"{"mark":{"page":{"run":"r","next":null}}}"#;
    let nested = r#"{"Key":"k","Owner":{"ID":"x"}}"#;
    let input = format!("[\n {nested},\n{nested},\r\n\n{mark}\n{}\n]\n", other(0));
    let run = Tool::new("bh-filter")
        .args(["--known", "none"])
        .input(input)
        .run();
    let run = run.exits(75);
    assert_eq!(run.stdout, format!("{mark}\n").into_bytes());
    assert_eq!(run.count("/dropped/other keys"), 3, "{run}");
}
