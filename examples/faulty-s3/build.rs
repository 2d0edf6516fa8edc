//! Build documents computed from their number.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::synthetic::{mixed, push_number};

const FIRST: i64 = 1_546_387_200; // 2019-01-02T00:00:00Z
const SECONDS: i64 = 97;

/// When the build of this number began, one every 97 seconds: its year, month … second, and the
/// digits that each has.
pub fn started(number: u64) -> [(u64, usize); 6] {
    let seconds = i64::try_from(number).map_or(FIRST, |number| FIRST + number * SECONDS);
    let start = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let start = TimeZone::UTC.to_datetime(start);
    [
        (start.year().unsigned_abs().into(), 4),
        (start.month().unsigned_abs().into(), 2),
        (start.day().unsigned_abs().into(), 2),
        (start.hour().unsigned_abs().into(), 2),
        (start.minute().unsigned_abs().into(), 2),
        (start.second().unsigned_abs().into(), 2),
    ]
}

/// That as text, by parts.
pub fn started_text(number: u64) -> [String; 6] {
    started(number).map(|(number, width)| {
        let mut text = String::new();
        push_number(&mut text, number, width);
        text
    })
}

/// A valid build document of about 900 bytes, another one for every number.
pub fn build(number: u64) -> String {
    let start = started_text(number);
    let id = start.concat();
    let [year, month, day, hour, minute, second] = start;
    let path =
        format!("{year}/{month}/{year}-{month}-{day}-{hour}-{minute}-{second}-mozilla-central");
    let date = format!("{year}-{month}-{day}T{hour}:{minute}:{second}");
    let clang = "/builds/worker/workspace/build/src/clang/bin/clang";
    let revision = format!(
        "{:016x}{:016x}{:08x}",
        mixed(number),
        mixed(!number),
        number & 0xffff_ffff
    );
    let size = 50_000_000 + mixed(number) % 10_000_000;
    format!(
        r#"{{"build":{{"as":"{clang} -std=gnu99","cc":"{clang} -std=gnu99","cxx":"{clang}++","date":"{date}Z","host":"x86_64-pc-linux-gnu","id":"{id}","target":"x86_64-pc-linux-gnu"}},"download":{{"date":"{date}.000001+00:00","mimetype":"application/x-bzip2","size":{size},"url":"https://archive.mozilla.org/pub/firefox/nightly/{path}/firefox-66.0a1.en-US.linux-x86_64.tar.bz2"}},"source":{{"product":"firefox","repository":"https://hg.mozilla.org/mozilla-central","revision":"{revision}","tree":"mozilla-central"}},"target":{{"channel":"nightly","locale":"en-US","os":"linux","platform":"linux-x86_64","version":"66.0a1"}}}}"#
    )
}
