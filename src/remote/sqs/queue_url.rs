//! The URL of a queue, and what it tells.

use url::Url;

/// The URL of a queue.
#[derive(Debug, Clone)]
pub struct QueueUrl {
    /// As it was typed.
    pub text: String,
    /// The address of its server.
    pub(super) origin: String,
    /// Its region, if the server is AWS's.
    pub(super) region: Option<String>,
}

/// Parses the URL of a queue.
///
/// # Errors
/// It is none; what was expected.
pub fn queue_url(text: &str) -> Result<QueueUrl, String> {
    let url = Url::parse(text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.path().len() > 1);
    let Some(url) = url else {
        return Err(
            "expected the URL of a queue, such as https://sqs.us-west-2.amazonaws.com/123456789012/name"
                .to_owned(),
        );
    };
    let host = url.host_str().unwrap_or_default();
    let host = host.split_once(".amazonaws.com").map(|(name, _)| name);
    let region = host.and_then(|name| {
        let region = name.strip_prefix("sqs.");
        region.or_else(|| name.strip_suffix(".queue"))
    });
    Ok(QueueUrl {
        text: text.to_owned(),
        origin: url.origin().ascii_serialization(),
        region: region.map(str::to_owned),
    })
}
