//! One page of `ListObjectsV2`, as XML in the order of elements that S3 keeps.

use std::fmt::Write as _;

use crate::encoding::{push_hex, push_url, push_xml, text_of_hex};
use crate::objects::{Entry, Objects};

const MOST: usize = 1000;

/// What a request asks for.
#[derive(Default)]
pub struct Query {
    prefix: String,
    delimiter: String,
    start_after: Option<String>,
    token: Option<(String, Token)>,
    max_keys: usize,
    url: bool,
}

/// Where the next page begins, and whether the page before it was empty on order.
struct Token {
    place: Place,
    after_empty: bool,
}

#[derive(Clone)]
enum Place {
    Start,
    AfterKey(String),
    AfterFolder(String),
}

/// How a page differs from an honest one.
#[derive(Clone, Copy, Default)]
pub struct Twist {
    pub empty: bool,
    pub limit: Option<usize>,
    pub stuck: bool,
    pub ignore_start_after: bool,
}

impl Token {
    /// S3's tokens are base64, so these too have what must be encoded in an address.
    fn written(&self) -> String {
        let (kind, text) = match &self.place {
            Place::Start => ('s', ""),
            Place::AfterKey(key) => ('k', key.as_str()),
            Place::AfterFolder(folder) => ('f', folder.as_str()),
        };
        let mut token = format!("1+/{}{kind}", if self.after_empty { 'e' } else { 'n' });
        push_hex(&mut token, text.as_bytes());
        token.push_str("==");
        token
    }

    fn parse(token: &str) -> Option<Self> {
        let token = token.strip_prefix("1+/")?.strip_suffix("==")?;
        let (marks, digits) = token.split_at_checked(2)?;
        let text = text_of_hex(digits)?;
        let place = match &marks[1..] {
            "s" => Place::Start,
            "k" => Place::AfterKey(text),
            "f" => Place::AfterFolder(text),
            _ => return None,
        };
        Some(Self {
            place,
            after_empty: marks.starts_with('e'),
        })
    }
}

impl Query {
    /// Error: what S3 says of a parameter that is none.
    pub fn parse(query: &str) -> Result<Self, &'static str> {
        let mut parsed = Self {
            max_keys: MOST,
            ..Self::default()
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*name {
                "prefix" => parsed.prefix = value,
                "delimiter" => parsed.delimiter = value,
                "start-after" => parsed.start_after = Some(value),
                "max-keys" => {
                    let most = value.parse::<usize>();
                    parsed.max_keys = most
                        .map_err(|_| "Provided max-keys not an integer")?
                        .min(MOST);
                }
                "encoding-type" if value == "url" => parsed.url = true,
                "encoding-type" => return Err("Invalid Encoding Method specified in Request"),
                "continuation-token" => {
                    let token = Token::parse(&value);
                    let token = token.ok_or("The continuation token provided is incorrect")?;
                    parsed.token = Some((value, token));
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    pub fn after_empty(&self) -> bool {
        self.token
            .as_ref()
            .is_some_and(|(_, token)| token.after_empty)
    }

    pub fn max_keys(&self) -> usize {
        self.max_keys
    }

    fn place(&self, twist: Twist) -> Place {
        match (&self.token, &self.start_after) {
            _ if twist.stuck => Place::Start,
            (Some((_, token)), _) => token.place.clone(),
            (None, Some(key)) if !twist.ignore_start_after => Place::AfterKey(key.clone()),
            (None, _) => Place::Start,
        }
    }

    fn push(&self, to: &mut String, text: &str) {
        if self.url {
            push_url(to, text);
        } else {
            push_xml(to, text);
        }
    }

    fn push_element(&self, to: &mut String, name: &str, text: &str) {
        let _ = write!(to, "<{name}>");
        self.push(to, text);
        let _ = write!(to, "</{name}>");
    }
}

/// The items of a page and where they end.
struct Items {
    contents: String,
    prefixes: String,
    count: usize,
    last: Place,
    more: bool,
}

pub fn page(bucket: &str, objects: &Objects, query: &Query, twist: Twist) -> String {
    let items = items(objects, query, twist);
    let more = items.more || twist.stuck;
    let mut xml = String::with_capacity(items.contents.len() + items.prefixes.len() + 1024);
    xml.push_str(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    ));
    let _ = write!(xml, "<Name>{bucket}</Name>");
    query.push_element(&mut xml, "Prefix", &query.prefix);
    if let Some(key) = &query.start_after {
        query.push_element(&mut xml, "StartAfter", key);
    }
    if let Some((token, _)) = &query.token {
        let _ = write!(xml, "<ContinuationToken>{token}</ContinuationToken>");
    }
    if more {
        let next = Token {
            place: items.last,
            after_empty: twist.empty,
        };
        let next = next.written();
        let _ = write!(xml, "<NextContinuationToken>{next}</NextContinuationToken>");
    }
    let (count, most) = (items.count, query.max_keys);
    let _ = write!(xml, "<KeyCount>{count}</KeyCount><MaxKeys>{most}</MaxKeys>");
    if !query.delimiter.is_empty() {
        query.push_element(&mut xml, "Delimiter", &query.delimiter);
    }
    if query.url {
        xml.push_str("<EncodingType>url</EncodingType>");
    }
    let _ = write!(xml, "<IsTruncated>{more}</IsTruncated>");
    xml.push_str(&items.contents);
    xml.push_str(&items.prefixes);
    xml.push_str("</ListBucketResult>");
    xml
}

fn items(objects: &Objects, query: &Query, twist: Twist) -> Items {
    let prefix = query.prefix.as_str();
    let place = query.place(twist);
    let after_place = match &place {
        Place::Start => 0,
        Place::AfterKey(last) => objects.first(|key| key <= last.as_str()),
        Place::AfterFolder(folder) => past(objects, folder),
    };
    let mut index = after_place.max(objects.first(|key| key < prefix));
    let limit = match twist.limit {
        _ if twist.empty => 0,
        Some(limit) => limit.min(query.max_keys),
        None => query.max_keys,
    };
    let mut items = Items {
        contents: String::with_capacity(limit * 384),
        prefixes: String::new(),
        count: 0,
        last: place,
        more: false,
    };
    let mut entry = Entry::default();
    let mut folder_was_last = None;
    while index < objects.len() {
        objects.fill_key(index, &mut entry);
        if !entry.key.starts_with(prefix) {
            break;
        }
        if items.count == limit {
            items.more = query.max_keys > 0;
            break;
        }
        if let Some(folder) = folder_of(&entry.key, prefix, &query.delimiter) {
            items.prefixes.push_str("<CommonPrefixes>");
            query.push_element(&mut items.prefixes, "Prefix", folder);
            items.prefixes.push_str("</CommonPrefixes>");
            index = past(objects, folder);
            folder_was_last = Some(folder.to_owned());
        } else {
            objects.fill_facts(index, &mut entry);
            push_contents(&mut items.contents, query, &entry);
            index += 1;
            folder_was_last = None;
        }
        items.count += 1;
    }
    if items.count > 0 && items.more {
        items.last = folder_was_last.map_or_else(
            || Place::AfterKey(key_before(objects, index)),
            Place::AfterFolder,
        );
    }
    items
}

fn key_before(objects: &Objects, index: u64) -> String {
    let mut entry = Entry::default();
    objects.fill_key(index - 1, &mut entry);
    entry.key
}

/// The first index whose key is neither before the folder nor in it.
fn past(objects: &Objects, folder: &str) -> u64 {
    objects.first(|key| key < folder || key.starts_with(folder))
}

fn folder_of<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key[prefix.len()..].find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

fn push_contents(to: &mut String, query: &Query, entry: &Entry) {
    to.push_str("<Contents><Key>");
    query.push(to, &entry.key);
    to.push_str("</Key><LastModified>");
    to.push_str(&entry.modified);
    to.push_str("</LastModified><ETag>&quot;");
    push_xml(to, &entry.etag);
    let _ = write!(to, "&quot;</ETag><Size>{}</Size>", entry.size);
    to.push_str("<StorageClass>STANDARD</StorageClass></Contents>");
}
