//! Addresses as they may be shown and kept.

use url::Url;

/// Returns `url` without its passwords, and an address of HTTP without its user, which may be a
/// token.
pub fn without_password(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return url
            .rsplit_once('@')
            .map_or(url, |(_, host)| host)
            .to_owned();
    };
    if url.scheme().starts_with("http") {
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    if url.password().is_some() {
        // A URL with a password has a host, so it can be set.
        let _ = url.set_password(Some("***"));
    }
    let shown: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "password" && name != "sslpassword")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !shown.is_empty() {
        url.query_pairs_mut().extend_pairs(shown);
    }
    url.to_string().trim_end_matches('/').to_owned()
}
