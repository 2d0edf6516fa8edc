//! The proxies that the environment names, read as curl reads them.
//!
//! `http_proxy` counts in lower case only: a web server sets `HTTP_PROXY` from a header of
//! its client. The metadata services of AWS are never asked through a proxy.

mod connector;

use hyper::http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use crate::address::without_password;
use crate::environment::trimmed;
use crate::error::{Error, Result};

pub use self::connector::{ProxyConnector, ProxyError};

/// The addresses of the metadata services of EC2, ECS and EKS.
const METADATA: &str = "169.254.169.254,fd00:ec2::254,169.254.170.2,169.254.170.23,fd00:ec2::23";

/// What to do about a proxy that asks for credentials.
pub const CREDENTIALS: &str =
    "put the proxy's user name and password into the address that http_proxy or https_proxy holds";

/// Returns whether a connection failed for this `cause`: the library's error has no name.
pub fn is_unauthorized(cause: &str) -> bool {
    cause.ends_with("proxy authorization required")
}

/// Returns the words that name the proxy of an address after the address, in messages.
pub fn through(proxy: &Url) -> String {
    format!(" through the proxy {}", without_password(proxy.as_str()))
}

/// Which proxy a request goes through.
#[derive(Debug)]
pub struct Proxies {
    matcher: Matcher,
    http: Option<Url>,
    https: Option<Url>,
}

impl Proxies {
    /// Reads the environment.
    ///
    /// # Errors
    /// An address that is not a valid URL of http or https (78).
    pub fn from_env() -> Result<Self> {
        let all = read(&["all_proxy", "ALL_PROXY"])?;
        let http = read(&["http_proxy"])?.or_else(|| all.clone());
        let https = read(&["https_proxy", "HTTPS_PROXY"])?.or(all);
        let mut direct = METADATA.to_owned();
        let services = [
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        for url in services.iter().filter_map(|name| trimmed(name)) {
            let host = Url::parse(&url).ok();
            let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
            direct.extend([",", host.trim_matches(['[', ']'])]);
        }
        let named = trimmed("no_proxy").or_else(|| trimmed("NO_PROXY"));
        let named = named.unwrap_or_default();
        // The library takes the star for names of hosts alone.
        let is_direct = named == "*";
        let (http, https) = (http.filter(|_| !is_direct), https.filter(|_| !is_direct));
        direct.extend([",", &named.replace(char::is_whitespace, ",")]);
        let text = |url: &Option<Url>| url.as_ref().map_or_else(String::new, Url::to_string);
        let matcher = Matcher::builder()
            .http(text(&http))
            .https(text(&https))
            .no(direct)
            .build();
        Ok(Self {
            matcher,
            http,
            https,
        })
    }

    /// Returns the proxy for a request to `uri`.
    fn intercept(&self, uri: &Uri) -> Option<Intercept> {
        self.matcher.intercept(uri)
    }

    /// Returns the credentials that a plain request to `uri` sends to its proxy.
    pub fn authorization(&self, uri: &Uri) -> Option<hyper::header::HeaderValue> {
        let is_plain = uri.scheme_str() == Some("http");
        let proxy = self.intercept(uri).filter(|_| is_plain)?;
        proxy.basic_auth().cloned()
    }

    /// Returns the address of the proxy for requests to `url`, with its password.
    pub fn find(&self, url: &str) -> Option<&Url> {
        let uri: Uri = url.parse().ok()?;
        self.intercept(&uri)?;
        match uri.scheme_str() {
            Some("https") => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }
}

fn read(names: &[&str]) -> Result<Option<Url>> {
    let set = names.iter().find_map(|name| Some((name, trimmed(name)?)));
    let Some((name, value)) = set else {
        return Ok(None);
    };
    let full = if value.contains("://") {
        value.clone()
    } else {
        format!("http://{value}")
    };
    let url = Url::parse(&full).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.map(Some).ok_or_else(|| {
        Error::configuration(format!(
            "cannot use the proxy of {name}: {:?} is not a valid http:// or https:// URL; correct \
             or unset {name}",
            without_password(&value)
        ))
    })
}
