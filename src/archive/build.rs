//! Builds, as their URLs describe them.

use super::spelled;
use super::url::mimetype;

/// A build, as far as its URL describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub url: String,
    /// `fennec` for the folder `mobile`.
    pub product: String,
    /// That of a candidate has its build: `57.0rc2`.
    pub version: String,
    /// As in `linux-x86_64`.
    pub platform: String,
    /// `win`, `mac`, `linux`, `android` or `maemo`.
    pub os: &'static str,
    /// As in `en-US`.
    pub locale: String,
    /// The channel by the URL; metadata may name another.
    pub channel: String,
    pub mimetype: Option<&'static str>,
    /// The platform as in the path.
    pub folder: String,
    /// When a nightly was built, by the name of its folder.
    date: Option<String>,
}

/// Where the metadata of a build are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildKind {
    Nightly,
    Candidate,
    Release,
}

impl Build {
    /// Parses the URL of a build.
    ///
    /// # Errors
    /// Why the URL is not that of a build.
    pub fn parse(url: &str) -> Result<Self, String> {
        let spelled = spelled(url);
        let parts: Vec<&str> = spelled.split('/').collect();
        let named: Vec<&str> = super::name(&spelled).split('.').collect();
        let product = match part(&parts, 4)? {
            "mobile" => "fennec",
            other => other,
        };
        let (version, folder, locale) = read(url, &parts, &named)?;
        let platform = if folder.starts_with("mac") {
            folder.replace("macosx", "mac").replace("mac", "macosx")
        } else {
            folder.clone()
        };
        let channel = channel(url, &version);
        let date = channel.contains("nightly").then(|| date(url)).transpose()?;
        Ok(Self {
            product: product.to_owned(),
            os: os(&platform).ok_or_else(|| format!("unknown platform {platform:?}"))?,
            locale: capitalize_region(&locale),
            mimetype: mimetype(url),
            url: url.to_owned(),
            version,
            platform,
            channel,
            folder,
            date,
        })
    }

    /// Returns what it was built for, by its channel and version.
    pub fn kind(&self) -> BuildKind {
        if self.channel.contains("nightly") {
            BuildKind::Nightly
        } else if self.version.contains("rc") {
            BuildKind::Candidate
        } else {
            BuildKind::Release
        }
    }

    /// Returns the folder of its product below `pub/`.
    pub fn product_folder(&self) -> &str {
        if self.product == "fennec" {
            "mobile"
        } else {
            &self.product
        }
    }

    /// Returns its id on `channel`. Stored records are identified by it.
    pub fn id(&self, channel: &str) -> String {
        // The URL of a candidate does not mention ESR.
        let channel = if channel == "esr" {
            channel
        } else {
            &self.channel
        };
        let channel = match channel {
            "release" => String::new(),
            channel => format!("{channel}_"),
        };
        let date = self.date.as_ref().map(|date| format!("{date}_"));
        let id = format!(
            "{}_{channel}{}{}_{}_{}",
            self.product,
            date.unwrap_or_default(),
            self.version,
            self.platform,
            self.locale
        );
        id.replace('.', "-").to_lowercase()
    }
}

fn part<'a>(parts: &[&'a str], at: usize) -> Result<&'a str, String> {
    let found = parts.get(at).copied();
    found.ok_or_else(|| "the URL has too few parts for a build".to_owned())
}

/// Version, platform and locale, the first two as in the path.
fn read(url: &str, parts: &[&str], named: &[&str]) -> Result<(String, String, String), String> {
    let (path, name) = (|at| part(parts, at), |at| part(named, at));
    let triple = |version: String, platform: &str, locale: &str| {
        Ok((version, platform.to_owned(), locale.to_owned()))
    };
    let named_version = || {
        let stem: Vec<&str> = name(0)?.split('-').collect();
        Ok::<_, String>(format!("{}.{}", part(&stem, 1)?, name(1)?))
    };
    if url.contains("nightly") {
        let folder = path(8)?;
        if folder.contains("android-api") {
            let pieces: Vec<&str> = folder.split('-').skip(8).take(3).collect();
            return triple(named_version()?, &pieces.join("-"), name(2)?);
        }
        return triple(named_version()?, name(3)?, name(2)?);
    }
    if url.contains("candidates") {
        let version = path(6)?.trim_matches(|c| "-candidates".contains(c));
        let number = path(7)?.trim_matches(|c| "build".contains(c));
        let version = format!("{version}rc{number}");
        let platform = path(8)?;
        if platform.contains("funnelcake") {
            return triple(format!("{version}-{platform}"), path(9)?, path(10)?);
        }
        return triple(version, platform, path(9)?);
    }
    if parts.len() < 9 {
        return triple(named_version()?, name(3)?, name(2)?);
    }
    if url.contains("funnelcake") && parts.len() == 11 {
        return triple(path(6)?.to_owned(), path(8)?, path(9)?);
    }
    triple(path(6)?.to_owned(), path(7)?, path(8)?)
}

/// Returns a locale with its second part in capitals: `en-US` for `en-us`.
fn capitalize_region(locale: &str) -> String {
    let parts = locale.split('-').enumerate();
    let parts = parts.map(|(at, part)| match at {
        1 => part.to_uppercase(),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("-")
}

fn channel(url: &str, version: &str) -> String {
    let channel = match (url.contains("nightly"), version.contains('b')) {
        (true, _) if url.contains("aurora") => "aurora",
        (true, _) => "nightly",
        (_, true) if url.contains("devedition") => "aurora",
        (_, true) => "beta",
        _ if version.ends_with("esr") => "esr",
        _ => "release",
    };
    let old = if url.contains("old-id") {
        "-old-id"
    } else {
        ""
    };
    format!("{channel}{old}")
}

/// Parses the first six parts of the folder of a nightly.
fn date(url: &str) -> Result<String, String> {
    let parts: Vec<&str> = url.split('/').collect();
    let pieces: Vec<&str> = part(&parts, 8)?.split('-').take(6).collect();
    Ok(pieces.join("-"))
}

fn os(platform: &str) -> Option<&'static str> {
    // The order matters: linux-gnueabi-arm is Android.
    let families = [
        ("eabi", "android"),
        ("linux", "linux"),
        ("win", "win"),
        ("mac", "mac"),
        ("android", "android"),
        ("maemo", "maemo"),
    ];
    let found = families.iter().find(|(part, _)| platform.contains(part));
    found.map(|(_, os)| *os)
}
