//! A mark: the receipt `{"mark":{…}}` that closes the unit of lines before it.

use crate::json;

/// What a mark says, as far as a program of this toolkit acts on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Every key of the run with `after` < key ≤ `through` has been listed, or
    /// exported; `None` is the start or the end of the run.
    Listed {
        run: String,
        after: Option<String>,
        through: Option<String>,
    },
    /// The source is finished. So many of the run's records are `unconfirmed`:
    /// taken as done since an earlier process had written them into a pipe.
    End {
        run: Option<String>,
        unconfirmed: u64,
    },
    /// A receipt for somebody else: a queue's message.
    Other,
}

/// Every mark begins so; a line that does not is a record.
pub const OPENING: &[u8] = b"{\"mark\":";

impl Mark {
    /// The mark that `line` is, or `None` for a record.
    pub fn parse(line: &[u8]) -> Option<Self> {
        if !line.starts_with(OPENING) {
            return None;
        }
        let outer = json::members(line).ok()?;
        let body = outer.value("mark")?;
        let inner = json::members(body).ok()?;
        if outer.len() != 1 {
            return None;
        }
        if let Some(end) = inner.value("end") {
            return Some(Self::end(end));
        }
        let part = Self::part(&inner, "listed", "through");
        let part = part.or_else(|| Self::part(&inner, "page", "next"));
        Some(part.unwrap_or(Mark::Other))
    }

    fn end(body: &[u8]) -> Self {
        let members = json::members(body).ok();
        let members = members.as_ref();
        let count = members.and_then(|members| members.value("unconfirmed"));
        let count = count.and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
        Mark::End {
            run: members.and_then(|members| text(members, "run")),
            unconfirmed: count.unwrap_or(0),
        }
    }

    /// The mark `name`, whose member `end` is the last key of its part.
    fn part(mark: &json::Members<'_>, name: &str, end: &str) -> Option<Self> {
        let body = json::members(mark.value(name)?).ok()?;
        let bound = |name: &str| match body.value(name)? {
            b"null" => Some(None),
            _ => text(&body, name).map(Some),
        };
        Some(Mark::Listed {
            run: text(&body, "run")?,
            after: bound("after")?,
            through: bound(end)?,
        })
    }
}

fn text(members: &json::Members<'_>, name: &str) -> Option<String> {
    let text = json::text_of(members.value(name)?)?;
    Some(text.to_str().ok()?.into_owned())
}

/// Appends the line of a `listed` mark.
pub fn write_listed(run: &str, after: Option<&str>, through: Option<&str>, out: &mut Vec<u8>) {
    write_part("listed", run, after, ("through", through), out);
}

/// Appends the line of a `page` mark: what was exported behind `after`, and where
/// the export goes on.
pub fn write_page(run: &str, after: Option<&str>, next: Option<&str>, out: &mut Vec<u8>) {
    write_part("page", run, after, ("next", next), out);
}

fn write_part(
    name: &str,
    run: &str,
    after: Option<&str>,
    (end, last): (&str, Option<&str>),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"mark\":{");
    json::write_str(name, out);
    out.extend_from_slice(b":{\"run\":");
    json::write_str(run, out);
    for (member, bound) in [("after", after), (end, last)] {
        out.push(b',');
        json::write_str(member, out);
        out.push(b':');
        match bound {
            Some(key) => json::write_str(key, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b"}}}\n");
}

/// Appends the line of the `end` mark with the counts of the run.
pub fn write_end<'a>(
    run: &str,
    counts: impl IntoIterator<Item = &'a (&'a str, u64)>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"mark\":{\"end\":{\"run\":");
    json::write_str(run, out);
    for (name, count) in counts {
        out.push(b',');
        json::write_str(name, out);
        out.push(b':');
        out.extend_from_slice(count.to_string().as_bytes());
    }
    out.extend_from_slice(b"}}}\n");
}
