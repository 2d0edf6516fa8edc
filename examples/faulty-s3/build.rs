//! Build documents computed from their number.

use crate::synthetic::plain::started;
use crate::synthetic::{mixed, push_number};

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
