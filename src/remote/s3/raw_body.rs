//! Takes the body of a listing before the SDK deserializes it.
//!
//! The SDK keeps credentials, endpoint, signature and errors; only its parser of the page,
//! ten times slower than our scanner, is replaced.

use std::sync::Arc;

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::ser_de::{DeserializeResponse, SharedResponseDeserializer};
use parking_lot::Mutex;

/// Where the body of one request is put.
#[derive(Debug, Clone, Default)]
pub struct RawBodyInterceptor(Arc<Mutex<Option<ByteStream>>>);

impl RawBodyInterceptor {
    /// Returns the body, once the request is answered with success.
    pub fn body(&self) -> Option<ByteStream> {
        self.0.lock().take()
    }
}

#[dyn_dispatch_hint]
impl Intercept for RawBodyInterceptor {
    fn name(&self) -> &'static str {
        "raw body"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if context.response().status().is_success() {
            let deserializer = SharedResponseDeserializer::new(self.clone());
            config.interceptor_state().store_put(deserializer);
        }
        Ok(())
    }
}

impl DeserializeResponse for RawBodyInterceptor {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _config: &ConfigBag,
    ) -> Option<OutputOrError> {
        let body = std::mem::replace(response.body_mut(), SdkBody::taken());
        let body = ByteStream::new(body);
        *self.0.lock() = Some(body);
        Some(Ok(Output::erase(ListObjectsV2Output::builder().build())))
    }
}
