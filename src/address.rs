//! Addresses of servers: parsed, and as they may be shown and kept.

use url::Url;

/// Parses the address of a server.
///
/// # Errors
/// Why it is not a URL of http or https. The text does not quote it, as it may hold a password.
pub fn parse_http(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("neither http nor https".to_owned()),
    }
}

/// Returns `url` without its passwords, and an address of HTTP without its user, which may be a
/// token.
pub fn without_password(url: &str) -> String {
    // A password may hold a question mark.
    let start = url.find("://").map_or(0, |at| at + 3);
    let authority = url[start..].split('/').next().unwrap_or_default();
    let hosts = start + authority.rfind('@').unwrap_or_default();
    let query_at = url[hosts..].find('?').map(|at| hosts + at);
    let (place, query) = match query_at {
        Some(at) => (&url[..at], &url[at + 1..]),
        None => (url, ""),
    };
    let mut shown = match Url::parse(place) {
        Ok(mut url) => {
            if url.scheme().starts_with("http") {
                let _ = url.set_username("");
                let _ = url.set_password(None);
            }
            if url.password().is_some() {
                // A URL with a password has a host, so it can be set.
                let _ = url.set_password(Some("***"));
            }
            url.to_string()
        }
        // A URL with several hosts does not parse.
        Err(_) => match place.rsplit_once('@') {
            Some((_, hosts)) => hosts.to_owned(),
            None => place.to_owned(),
        },
    };
    shown.truncate(shown.trim_end_matches('/').len());
    let is_secret = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        name == "password" || name == "sslpassword"
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let kept: Vec<&str> = pairs.filter(|pair| !is_secret(pair)).collect();
    if !kept.is_empty() {
        shown = format!("{shown}?{}", kept.join("&"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn passwords_are_left_out_and_the_rest_is_kept() {
        for (url, shown) in [
            ("postgres://me:p@h/db/", "postgres://me:***@h/db"),
            ("postgres://me:p?x@h/db?a=b%20c", "h/db?a=b%20c"),
            (
                "postgres://me:p@h:1,i:2/db?password=p&a=b+c",
                "h:1,i:2/db?a=b+c",
            ),
            (
                "postgres://h/db?passw%6frd=p&sslpassword=q",
                "postgres://h/db",
            ),
            ("https://h/v1/?", "https://h/v1"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
