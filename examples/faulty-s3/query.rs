//! What a listing asks for, and the tokens by which it goes on.

use std::fmt::Write as _;

use crate::encoding::{push_hex, push_url, push_xml, text_of_hex};

const MOST: usize = 1000;

/// What a request asks for.
#[derive(Default)]
pub struct Query {
    pub prefix: String,
    pub delimiter: String,
    pub start_after: Option<String>,
    pub token: Option<(String, Token)>,
    pub max_keys: usize,
    pub url: bool,
}

/// Where the next page begins, and whether the page before it was empty on order.
pub struct Token {
    pub place: Place,
    pub after_empty: bool,
}

#[derive(Clone)]
pub enum Place {
    Start,
    AfterKey(String),
    AfterFolder(String),
}

impl Token {
    /// S3's tokens are base64, so these too have what must be encoded in an address.
    pub fn written(&self) -> String {
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

    /// A folder that is not behind start-after is left out, whatever else is in it.
    pub fn place(&self, ignore_start_after: bool) -> Place {
        match (&self.token, &self.start_after) {
            (Some((_, token)), _) => token.place.clone(),
            (None, Some(key)) if !ignore_start_after => match self.folder_of(key) {
                Some(folder) => Place::AfterFolder(folder.to_owned()),
                None => Place::AfterKey(key.clone()),
            },
            (None, _) => Place::Start,
        }
    }

    /// What stands for the key, and others, as a common prefix.
    pub fn folder_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let at = key.strip_prefix(&self.prefix)?.find(&self.delimiter)?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }

    fn push(&self, to: &mut String, text: &str) {
        if self.url {
            push_url(to, text);
        } else {
            push_xml(to, text);
        }
    }

    pub fn push_element(&self, to: &mut String, name: &str, text: &str) {
        let _ = write!(to, "<{name}>");
        self.push(to, text);
        let _ = write!(to, "</{name}>");
    }
}
