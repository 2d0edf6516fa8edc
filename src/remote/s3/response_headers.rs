//! Removes headers from a response that the programs do not need.
//!
//! The SDK reads all headers strictly: a date in another form, or a letter of Latin-1 in an
//! object's metadata, would make the object unreachable.

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::http::Headers;

const NEEDED: &[&str] = &[
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "etag",
    "location",
    "retry-after",
    "x-amz-bucket-region",
    "x-amz-id-2",
    "x-amz-request-id",
];
/// The SDK compares these with the body.
const CHECKSUM: &str = "x-amz-checksum-";

/// Keeps only the headers that are needed, as text.
#[derive(Debug)]
pub struct ResponseHeaders;

#[dyn_dispatch_hint]
impl Intercept for ResponseHeaders {
    fn name(&self) -> &'static str {
        "response headers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let status = response.status().as_u16();
        let all = std::mem::replace(response.headers_mut(), Headers::new());
        for (name, value) in &all {
            let is_needed = NEEDED.contains(&name) || name.starts_with(CHECKSUM);
            // Without status 206 the body is not a part, whatever this header says.
            if !is_needed || !value.is_ascii() || (name == "content-range" && status != 206) {
                continue;
            }
            let headers = response.headers_mut();
            let value = match headers.get(name) {
                None => value.to_owned(),
                Some(first) if name == "content-encoding" => format!("{first}, {value}"),
                Some(_) => continue,
            };
            headers.try_insert(name.to_owned(), value)?;
        }
        if status == 206 && !response.headers().contains_key("content-range") {
            response.headers_mut().insert("content-range", "none");
        }
        Ok(())
    }
}
