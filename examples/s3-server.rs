//! An S3 server over a folder, for the demo and for tests: every folder below the root is a
//! bucket, every file in it an object.
//!
//! s3s-fs does the work. What its listings lack is added here, so that a lister sees what S3
//! itself would show: `ETags` (the same as those of GET), keys that really are encoded where
//! `encoding-type=url` says so, continuation tokens that survive XML, at most 1,000 keys a page,
//! and an empty delimiter that means none.

use std::error::Error;
use std::future::Future;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;

use clap::Parser;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result, dto, s3_error};
use s3s_fs::FileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Serve the folders below a root as S3 buckets on 127.0.0.1
#[derive(Parser)]
struct Args {
    /// Folder whose sub-folders are the buckets
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Only answer requests signed with this key; without it anybody is let in
    #[arg(long, value_name = "KEY", requires = "secret_key")]
    access_key: Option<String>,
    /// The secret of the access key
    #[arg(long, value_name = "SECRET", requires = "access_key")]
    secret_key: Option<String>,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// End as soon as the standard input is closed
    #[arg(long)]
    until_stdin_closes: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let files = FileSystem::new(&args.root)
        .map_err(|_| format!("cannot serve {}: no readable folder", args.root.display()))?;
    let mut builder = S3ServiceBuilder::new(Folder(files));
    let open = match (&args.access_key, &args.secret_key) {
        (Some(key), Some(secret)) => {
            builder.set_auth(SimpleAuth::from_single(key.as_str(), secret.as_str()));
            false
        }
        _ => true,
    };
    let service = builder.build();

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    stdout.flush()?;

    if args.until_stdin_closes {
        tokio::select! {
            () = accept(listener, service, open) => {}
            () = stdin_closed() => {}
        }
    } else {
        accept(listener, service, open).await;
    }
    Ok(())
}

async fn accept(listener: TcpListener, service: S3Service, open: bool) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, service.clone(), open));
        }
    }
}

/// One connection. s3s refuses signatures where no keys are set, so an open server takes them off.
async fn serve(stream: TcpStream, service: S3Service, open: bool) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if open {
            request.headers_mut().remove(AUTHORIZATION);
        }
        let service = service.clone();
        async move { service.call(request.map(s3s::Body::from)).await }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn stdin_closed() {
    let (closed, wait) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0; 4096];
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        closed.send(())
    });
    let _ = wait.await;
}

/// s3s-fs with listings like those of S3.
struct Folder(FileSystem);

impl Folder {
    async fn list(&self, mut request: S3Request<dto::ListObjectsV2Input>) -> Listing {
        let input = &mut request.input;
        let (bucket, token) = (input.bucket.clone(), input.continuation_token.take());
        input.delimiter = input.delimiter.take().filter(|text| !text.is_empty());
        input.max_keys = input.max_keys.map(|most| most.min(1000));
        input.continuation_token = token.as_deref().map(key_of_token).transpose()?;

        let mut response = self.0.list_objects_v2(request).await?;
        let page = &mut response.output;
        page.continuation_token = token;
        page.next_continuation_token = page.next_continuation_token.as_deref().map(token_of_key);
        for object in page.contents.iter_mut().flatten() {
            let key = object.key.as_deref().unwrap_or_default();
            object.e_tag = self.etag(&bucket, key).await;
            object.storage_class = Some(dto::ObjectStorageClass::from_static("STANDARD"));
        }
        if let Some("url") = page.encoding_type.as_ref().map(dto::EncodingType::as_str) {
            encode(page);
        }
        Ok(response)
    }

    /// The `ETag` that a GET of the object answers with; none if it was deleted meanwhile.
    async fn etag(&self, bucket: &str, key: &str) -> Option<dto::ETag> {
        let input = dto::HeadObjectInput::builder()
            .bucket(bucket.to_owned())
            .key(key.to_owned())
            .build()
            .ok()?;
        let request = S3Request {
            input,
            method: Method::HEAD,
            uri: hyper::Uri::default(),
            headers: HeaderMap::new(),
            extensions: hyper::http::Extensions::new(),
            credentials: None,
            region: None,
            service: None,
            trailing_headers: None,
        };
        self.0.head_object(request).await.ok()?.output.e_tag
    }
}

type Listing = S3Result<S3Response<dto::ListObjectsV2Output>>;

fn encode(page: &mut dto::ListObjectsV2Output) {
    let objects = page.contents.iter_mut().flatten();
    let folders = page.common_prefixes.iter_mut().flatten();
    let own = [&mut page.prefix, &mut page.delimiter, &mut page.start_after];
    let texts = own
        .into_iter()
        .chain(objects.map(|object| &mut object.key))
        .chain(folders.map(|folder| &mut folder.prefix));
    for text in texts.flatten() {
        *text = encoded(text);
    }
}

/// Percent-encoding as S3 writes it in listings: a space is `+`, `/` stays.
fn encoded(text: &str) -> String {
    let parts = text
        .split('/')
        .map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>());
    parts.collect::<Vec<_>>().join("/")
}

/// The token of s3s-fs is the last key as it is; in hexadecimal it can be any key.
fn token_of_key(key: &str) -> String {
    let digits = key.bytes().map(|byte| format!("{byte:02x}"));
    digits.collect::<Vec<_>>().concat()
}

fn key_of_token(token: &str) -> S3Result<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = token
        .as_bytes()
        .chunks(2)
        .map(byte)
        .collect::<Option<Vec<_>>>();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "The continuation token provided is incorrect"
            )
        })
}

type Answer<'a, Output> = Pin<Box<dyn Future<Output = S3Result<S3Response<Output>>> + Send + 'a>>;

/// Operations passed on to s3s-fs, in the form which `async_trait` gives their declarations.
macro_rules! as_s3s_fs_does {
    ($($operation:ident($input:ident) -> $output:ident;)*) => {$(
        fn $operation<'a, 'b>(&'a self, request: S3Request<dto::$input>) -> Answer<'b, dto::$output>
        where
            'a: 'b,
        {
            self.0.$operation(request)
        }
    )*};
}

impl S3 for Folder {
    as_s3s_fs_does! {
        create_bucket(CreateBucketInput) -> CreateBucketOutput;
        delete_object(DeleteObjectInput) -> DeleteObjectOutput;
        get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
        get_object(GetObjectInput) -> GetObjectOutput;
        head_bucket(HeadBucketInput) -> HeadBucketOutput;
        head_object(HeadObjectInput) -> HeadObjectOutput;
        list_buckets(ListBucketsInput) -> ListBucketsOutput;
        put_object(PutObjectInput) -> PutObjectOutput;
    }

    /// The first version of listing, which rclone speaks: markers are keys.
    fn list_objects<'a, 'b>(
        &'a self,
        request: S3Request<dto::ListObjectsInput>,
    ) -> Answer<'b, dto::ListObjectsOutput>
    where
        'a: 'b,
    {
        Box::pin(async move {
            let marker = request.input.marker.clone();
            let mut request = request.map_input(dto::ListObjectsV2Input::from);
            request.input.start_after.clone_from(&marker);
            let page = self.list(request).await?.output;
            let next = page.next_continuation_token.as_deref();
            let next_marker = next.map(key_of_token).transpose()?;
            let encode = page.encoding_type.is_some();
            let as_asked = |key: String| if encode { encoded(&key) } else { key };
            Ok(S3Response::new(dto::ListObjectsOutput {
                name: page.name,
                prefix: page.prefix,
                delimiter: page.delimiter,
                encoding_type: page.encoding_type,
                max_keys: page.max_keys,
                is_truncated: page.is_truncated,
                contents: page.contents,
                common_prefixes: page.common_prefixes,
                marker: marker.map(as_asked),
                next_marker: next_marker.map(as_asked),
                ..Default::default()
            }))
        })
    }

    fn list_objects_v2<'a, 'b>(
        &'a self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> Answer<'b, dto::ListObjectsV2Output>
    where
        'a: 'b,
    {
        Box::pin(self.list(request))
    }
}
