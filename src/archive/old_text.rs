//! The metadata of nightlies from before JSON: a build id and where its
//! source came from, in one line or in two.

use super::metadata::Metadata;

const CENTRAL: &str = "http://hg.mozilla.org/mozilla-central";

/// Parses either form; lines may end with CRLF.
#[must_use]
pub fn read(text: &str) -> Option<Metadata> {
    let text = text.replace("\r\n", "\n");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let end = text
        .find(|c: char| !c.is_numeric())
        .filter(|end| *end > 0)?;
    let (id, rest) = text.split_at(end);
    if let Some(address) = rest.strip_prefix('\n') {
        let (repository, revision) = address.rsplit_once("/rev/")?;
        let whole = repository.starts_with("http") && repository.len() > "http".len();
        return (whole && one_line(repository) && one_line(revision))
            .then(|| Metadata::old(id, repository, revision));
    }
    let revision = rest
        .strip_prefix(' ')
        .filter(|revision| one_line(revision))?;
    Some(Metadata::old(id, CENTRAL, revision))
}

/// Returns whether `text` is not empty and has no line feed.
fn one_line(text: &str) -> bool {
    !text.is_empty() && !text.contains('\n')
}
