//! What AWS's own files and variables say, and what is wrong with them.

use std::borrow::Cow;
use std::error::Error as _;
use std::path::PathBuf;

use aws_config::profile::{ProfileFileLoadError, ProfileSet};
use aws_config::{Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::ServiceConfigKey;
use url::Url;

use super::AwsSettings;
use crate::address::without_password;
use crate::environment::trimmed;
use crate::error::{Error, Result};

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    S3,
    Sqs,
}

impl Service {
    /// Returns its name in AWS's settings.
    fn id(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Sqs => "SQS",
        }
    }

    /// Returns the variable that names another server for it.
    pub fn endpoint_variable(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ENDPOINT_URL_S3",
            Self::Sqs => "AWS_ENDPOINT_URL_SQS",
        }
    }

    /// Returns its address at AWS.
    pub fn aws_url(self, region: &Region) -> String {
        let name = self.id().to_lowercase();
        format!("https://{name}.{region}.amazonaws.com")
    }
}

/// The profile that is used, and the others of its files.
pub struct Profile {
    /// Its name, if the user chose one.
    pub chosen: Option<String>,
    /// The files for the SDK.
    pub files: EnvConfigFiles,
    profiles: ProfileSet,
}

impl Profile {
    /// Reads AWS's files.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, or a chosen profile that does not exist (78).
    pub async fn read(settings: &AwsSettings<'_>) -> Result<Self> {
        let chosen = settings.profile.map(str::to_owned);
        let chosen = chosen.or_else(|| trimmed("AWS_PROFILE"));
        let name = chosen.clone().unwrap_or_else(|| "default".to_owned());
        let (fs, env) = (Fs::real(), Env::real());
        let files = EnvConfigFiles::default();
        let own_name = Some(Cow::Owned(name.clone()));
        let read = aws_config::profile::load(&fs, &env, &files, own_name).await;
        let profiles = match read {
            Ok(profiles) => profiles,
            // A public bucket needs no profile.
            Err(_) if settings.anonymous && chosen.is_none() => ProfileSet::default(),
            Err(error) => return Err(unreadable(&error, &name)),
        };
        if chosen.is_some() && profiles.get_profile(&name).is_none() {
            let known: Vec<&str> = profiles.profiles().collect();
            let others = match known.as_slice() {
                [] => String::new(),
                names => format!("choose one of {}, or ", names.join(", ")),
            };
            return Err(Error::configuration(format!(
                "cannot use the profile {name:?}: it is not in {}; {others}create it with \
                 `aws configure --profile {name}`",
                files_of_profiles()
            )));
        }
        if let Some(source) = profiles.get("source_profile")
            && profiles.get_profile(source).is_none()
        {
            return Err(Error::configuration(format!(
                "cannot use the profile {name:?}: its source_profile {source:?} is not in {}; \
                 correct it there",
                files_of_profiles()
            )));
        }
        Ok(Self {
            chosen,
            files: without_blank_addresses(),
            profiles,
        })
    }

    /// Returns a setting that is not blank.
    pub fn get(&self, setting: &str) -> Option<&str> {
        let value = self.profiles.get(setting)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Returns how to choose this profile in a command of AWS, after a space.
    pub fn flag(&self) -> String {
        let named = self.chosen.as_ref();
        named.map_or_else(String::new, |name| format!(" --profile {name}"))
    }

    /// Returns the file of certificates to trust instead of the system's, and who names it.
    pub fn certificates(&self) -> Option<(PathBuf, &'static str)> {
        let named = trimmed("AWS_CA_BUNDLE").map(|path| (path, "AWS_CA_BUNDLE"));
        let own = || {
            Some((
                self.get("ca_bundle")?.to_owned(),
                "ca_bundle of the profile",
            ))
        };
        let (path, by) = named.or_else(own)?;
        Some((PathBuf::from(path), by))
    }

    /// Returns the address of a server that is not AWS's.
    ///
    /// # Errors
    /// It is not a valid URL of http or https (2).
    pub fn endpoint(
        &self,
        settings: &AwsSettings<'_>,
        config: &SdkConfig,
    ) -> Result<Option<String>> {
        let service = settings.service;
        let ignored = trimmed("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let configured = || {
            let key = ServiceConfigKey::builder()
                .service_id(service.id())
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url")
                .build()
                .ok()?;
            let own = config.service_config()?.load_config(key);
            let filled = |url: &String| !url.trim().is_empty();
            trimmed(service.endpoint_variable())
                .or_else(|| trimmed("AWS_ENDPOINT_URL"))
                .or_else(|| own.filter(filled))
                .or_else(|| self.get("endpoint_url").map(str::to_owned))
        };
        let chosen = settings.endpoint_url.map(str::to_owned);
        let Some(text) = chosen.or_else(|| configured().filter(|_| !ignored)) else {
            return Ok(None);
        };
        let url = Url::parse(&text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let Some(mut url) = url else {
            return Err(Error::usage(format!(
                "the endpoint {:?} is not a valid URL: it must begin with http:// or https://, \
                 and have no query",
                without_password(&text)
            )));
        };
        // The SDK joins the path and the bucket without a slash.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Some(url.to_string()))
    }
}

fn unreadable(error: &ProfileFileLoadError, profile: &str) -> Error {
    let cause = error.source().map_or_else(String::new, |cause| {
        let lines: Vec<String> = cause
            .to_string()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect();
        format!(": {}", lines.join(" "))
    });
    Error::configuration(format!(
        "cannot read the profile {profile:?}: {error}{cause}; correct it, or write it anew with \
         `aws configure --profile {profile}`"
    ))
}

/// The files that profiles are read from: the variable that names each, and its path without it.
const FILES: [(EnvConfigFileKind, &str, &str); 2] = [
    (
        EnvConfigFileKind::Config,
        "AWS_CONFIG_FILE",
        "~/.aws/config",
    ),
    (
        EnvConfigFileKind::Credentials,
        "AWS_SHARED_CREDENTIALS_FILE",
        "~/.aws/credentials",
    ),
];

/// Returns the names of the files that profiles are read from.
pub fn files_of_profiles() -> String {
    FILES
        .map(|(_, name, default)| trimmed(name).unwrap_or_else(|| default.to_owned()))
        .join(" or ")
}

/// Returns the files that profiles are read from, without lines such as `endpoint_url =`: the
/// SDK takes them for an address.
fn without_blank_addresses() -> EnvConfigFiles {
    let is_blank = |line: &&str| {
        let (name, value) = line.split_once('=').unwrap_or((line, "none"));
        name.trim().eq_ignore_ascii_case("endpoint_url") && value.trim().is_empty()
    };
    let texts = FILES.map(|(kind, name, default)| {
        let path = trimmed(name).unwrap_or_else(|| default.to_owned());
        let home = || Some(std::env::home_dir()?.join(path.strip_prefix("~/")?));
        let path = home().unwrap_or_else(|| PathBuf::from(&path));
        (kind, std::fs::read_to_string(path).unwrap_or_default())
    });
    if !texts
        .iter()
        .any(|(_, text)| text.lines().any(|line| is_blank(&line)))
    {
        return EnvConfigFiles::default();
    }
    let files = texts
        .into_iter()
        .fold(EnvConfigFiles::builder(), |files, (kind, text)| {
            let kept: Vec<&str> = text.lines().filter(|line| !is_blank(line)).collect();
            files.with_contents(kind, kept.join("\n"))
        });
    files.build()
}
