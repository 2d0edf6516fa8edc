//! A tree like that of archive.mozilla.org: a few huge products, dated folders
//! of very different sizes, releases by version, platform and locale, folders
//! of timestamps and of hashes, and some with a great many files.

use super::{KeySpace, Walk, mixed, push_number};

/// What stands below a folder.
#[derive(Clone, Copy)]
enum Layout {
    /// `2019/05/2019-05-06-07-08-09-TREE/FILE`
    Nightly(&'static str),
    /// `66.0.1/linux-x86_64/de/FILE`
    Releases,
    /// `66.0.1-candidates/build2/linux-x86_64/de/FILE`
    Candidates,
    /// `mozilla-central-win32/1379412345/FILE`
    Tinderbox,
    /// `someone@example.org-0123456789ab/try-linux/FILE`
    Try,
    /// `bundle-000000042.hg`
    Flat(&'static str),
}

/// Folders in key order, with their share of the keys in thousandths.
const AREAS: [(&str, u64, Layout); 24] = [
    ("pub/b2g/nightly/", 9, Layout::Nightly("mozilla-b2g")),
    ("pub/b2g/tinderbox-builds/", 14, Layout::Tinderbox),
    ("pub/calendar/sunbird/nightly/", 2, Layout::Nightly("trunk")),
    ("pub/devedition/candidates/", 22, Layout::Candidates),
    (
        "pub/devedition/nightly/",
        6,
        Layout::Nightly("mozilla-aurora"),
    ),
    ("pub/devedition/releases/", 17, Layout::Releases),
    ("pub/firefox/bundles/", 31, Layout::Flat("bundle-")),
    ("pub/firefox/candidates/", 148, Layout::Candidates),
    (
        "pub/firefox/nightly/",
        223,
        Layout::Nightly("mozilla-central"),
    ),
    ("pub/firefox/releases/", 97, Layout::Releases),
    ("pub/firefox/tinderbox-builds/", 172, Layout::Tinderbox),
    ("pub/firefox/try-builds/", 91, Layout::Try),
    ("pub/labs/", 1, Layout::Flat("jetpack-")),
    ("pub/mobile/candidates/", 13, Layout::Candidates),
    (
        "pub/mobile/nightly/",
        34,
        Layout::Nightly("mozilla-central-android-api-16"),
    ),
    ("pub/mobile/releases/", 8, Layout::Releases),
    ("pub/mobile/tinderbox-builds/", 29, Layout::Tinderbox),
    ("pub/opus/", 1, Layout::Flat("opus-")),
    ("pub/thunderbird/candidates/", 18, Layout::Candidates),
    (
        "pub/thunderbird/nightly/",
        31,
        Layout::Nightly("comm-central"),
    ),
    ("pub/thunderbird/releases/", 16, Layout::Releases),
    ("pub/thunderbird/try-builds/", 5, Layout::Try),
    ("pub/webtools/", 3, Layout::Flat("dump-")),
    (
        "pub/xulrunner/nightly/",
        9,
        Layout::Nightly("mozilla-central"),
    ),
];

/// Files of dated folders, in turn; the sum is `CYCLE`.
const SIZES: [u64; 24] = [
    37, 4, 112, 53, 9, 480, 37, 66, 2, 41, 890, 18, 37, 75, 128, 7, 39, 1350, 44, 12, 210, 36, 96,
    61,
];
const TREES: [&str; 12] = [
    "birch",
    "comm-central",
    "fx-team",
    "mozilla-aurora",
    "mozilla-b2g37",
    "mozilla-beta",
    "mozilla-central",
    "mozilla-esr45",
    "mozilla-inbound",
    "mozilla-release",
    "oak",
    "ux",
];
/// In the order that they have before a slash.
const PLATFORMS: [&str; 7] = [
    "linux-i686",
    "linux-x86_64-asan",
    "linux-x86_64",
    "mac",
    "win32",
    "win64-aarch64",
    "win64",
];
const LOCALES: [&str; 24] = [
    "ach", "af", "ar", "bg", "ca", "cs", "de", "el", "en-GB", "en-US", "es-ES", "fi", "fr", "he",
    "hu", "it", "ja", "nl", "pl", "pt-BR", "ru", "sv-SE", "uk", "zh-CN",
];
const KINDS: [&str; 12] = [
    "awsy.tests.tar.gz",
    "checksums",
    "checksums.asc",
    "common.tests.tar.gz",
    "complete.mar",
    "crashreporter-symbols.zip",
    "json",
    "langpack.xpi",
    "mozinfo.json",
    "tar.bz2",
    "test_packages.json",
    "txt",
];

/// Parts of a whole, by weight.
struct Parts {
    /// The sum of the weights before each part, and of all.
    sums: Vec<u64>,
}

impl Parts {
    fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut sums = vec![0];
        for weight in weights {
            sums.push(sums[sums.len() - 1] + weight);
        }
        Self { sums }
    }

    fn total(&self) -> u64 {
        self.sums[self.sums.len() - 1]
    }

    fn bound(&self, part: usize, len: u64) -> u64 {
        // Keys and weights are few enough; 128 bits would take a quarter of the time of a key.
        len * self.sums[part] / self.total()
    }

    /// The part that `at` of `len` lies in, where in it, and how long it is.
    fn find(&self, at: u64, len: u64) -> (usize, u64, u64) {
        // The last whose bound is not behind `at`, found without a division.
        let end = (at + 1) * self.total();
        let starts = &self.sums[..self.sums.len() - 1];
        let low = starts
            .partition_point(|sum| sum * len < end)
            .saturating_sub(1);
        let start = self.bound(low, len);
        (low, at - start, self.bound(low + 1, len) - start)
    }
}

pub struct Archive {
    len: u64,
    areas: Parts,
    years: Parts,
    months: Parts,
    versions: Parts,
    releases: Vec<String>,
    candidates: Vec<String>,
    builds: Parts,
    platforms: Parts,
    locales: Parts,
    branches: Parts,
    branch_names: Vec<String>,
    sizes: Parts,
    files: Vec<String>,
}

impl Archive {
    pub fn new(len: u64) -> Self {
        let versions = |ending: &str| {
            let minors = |major| (0..=mixed(major) % 4).map(move |minor| (major, minor));
            let mut names: Vec<String> = (1..70)
                .flat_map(minors)
                .map(|version| match version {
                    (major, 0) => format!("{major}.0{ending}"),
                    (major, minor) => format!("{major}.0.{minor}{ending}"),
                })
                .collect();
            names.sort_unstable();
            names
        };
        let releases = versions("/");
        let uneven = |len: usize, most: u64| {
            let weights = (0..len as u64).map(move |at| 1 + mixed(at ^ most) % most);
            Parts::new(weights)
        };
        let mut branch_names: Vec<String> = TREES
            .iter()
            .flat_map(|tree| {
                PLATFORMS
                    .iter()
                    .map(move |platform| format!("{tree}-{platform}/"))
            })
            .collect();
        branch_names.sort_unstable();
        // One file in 50 is a build.
        let mut files: Vec<String> = LOCALES
            .iter()
            .flat_map(|locale| {
                PLATFORMS.iter().flat_map(move |platform| {
                    let name = move |kind| format!("firefox-66.0a1.{locale}.{platform}.{kind}");
                    KINDS.into_iter().map(name)
                })
            })
            .collect();
        for (at, file) in files.iter_mut().enumerate() {
            if at % 50 == 17 {
                let stem = file
                    .rsplit_once(".mar")
                    .map_or(file.as_str(), |(stem, _)| stem);
                *file = format!("{stem}.buildhub.json");
            }
        }
        files.sort_unstable();
        files.dedup();
        Self {
            len,
            areas: Parts::new(AREAS.iter().map(|area| area.1)),
            years: Parts::new((0..15).map(|year| 2 + year * year)),
            months: Parts::new((0..12).map(|month| 20 + month * 7 % 12)),
            versions: uneven(releases.len(), 19),
            candidates: versions("-candidates/"),
            releases,
            builds: Parts::new([9, 4, 1]),
            platforms: uneven(PLATFORMS.len(), 5),
            locales: Parts::new(
                LOCALES
                    .iter()
                    .map(|&name| if name == "en-US" { 40 } else { 3 }),
            ),
            branches: uneven(branch_names.len(), 97),
            branch_names,
            sizes: Parts::new(SIZES),
            files,
        }
    }

    /// A folder of the usual sizes, among so many that `len` files fill.
    fn folder(&self, at: u64, len: u64) -> Folder {
        let cycle = self.sizes.total();
        let (turn, rest) = (at / cycle, at % cycle);
        let (part, file, size) = self.sizes.find(rest, cycle);
        Folder {
            number: turn * SIZES.len() as u64 + part as u64,
            count: len.div_ceil(cycle) * SIZES.len() as u64,
            file: File {
                left: (size - file).min(len - at),
                ..File::of_all(file, size)
            },
        }
    }

    fn push_file(&self, into: &mut String, file: &File) {
        let File { number, of, .. } = *file;
        let known = self.files.len() as u64;
        let is_build = number % 50 == 17;
        if let Some(stem) = file.stem {
            into.push_str(stem);
            push_number(into, number, 9);
            into.push_str(if is_build { ".buildhub.json" } else { ".hg" });
        } else if of <= known {
            let at = number * known / of;
            into.push_str(&self.files[usize::try_from(at).unwrap_or_default()]);
        } else {
            into.push_str("firefox-66.0a1.en-US.part-");
            push_number(into, number, 8);
            into.push_str(if is_build { ".buildhub.json" } else { ".zip" });
        }
    }

    fn nightly(&self, at: u64, len: u64, tree: &str, into: &mut String) -> File {
        let (year, at, len) = self.years.find(at, len);
        let (month, at, len) = self.months.find(at, len);
        let folder = self.folder(at, len);
        let (year, month) = (2005 + year as u64, 1 + month as u64);
        push_number(into, year, 4);
        into.push('/');
        push_number(into, month, 2);
        into.push('/');
        let second = folder.number * 28 * 86_400 / folder.count;
        let parts = [
            (year, 4),
            (month, 2),
            (1 + second / 86_400, 2),
            (second / 3600 % 24, 2),
            (second / 60 % 60, 2),
            (second % 60, 2),
        ];
        for (number, width) in parts {
            push_number(into, number, width);
            into.push('-');
        }
        into.push_str(tree);
        into.push('/');
        folder.file
    }

    fn release(&self, at: u64, len: u64, candidates: bool, into: &mut String) -> File {
        let (version, mut at, mut len) = self.versions.find(at, len);
        if candidates {
            let build;
            into.push_str(&self.candidates[version]);
            (build, at, len) = self.builds.find(at, len);
            into.push_str("build");
            push_number(into, build as u64 + 1, 1);
            into.push('/');
        } else {
            into.push_str(&self.releases[version]);
        }
        let (platform, at, len) = self.platforms.find(at, len);
        let (locale, at, len) = self.locales.find(at, len);
        for name in [PLATFORMS[platform], LOCALES[locale]] {
            into.push_str(name);
            into.push('/');
        }
        File::of_all(at, len)
    }

    fn tinderbox(&self, at: u64, len: u64, into: &mut String) -> File {
        let (branch, at, len) = self.branches.find(at, len);
        let folder = self.folder(at, len);
        into.push_str(&self.branch_names[branch]);
        push_number(
            into,
            1_300_000_000 + folder.number * 100_000_000 / folder.count,
            10,
        );
        into.push('/');
        folder.file
    }

    fn try_builds(&self, at: u64, len: u64, into: &mut String) -> File {
        let folder = self.folder(at, len);
        let number = folder.number * (26 * 26 * 26 * 26) / folder.count;
        for power in [26 * 26 * 26, 26 * 26, 26, 1] {
            let letter = u8::try_from(number / power % 26).unwrap_or_default();
            into.push(char::from(b'a' + letter));
        }
        into.push_str("@example.org-");
        push_number(into, folder.number, 8);
        into.push_str("/try-");
        let Folder { file, .. } = folder;
        let (platform, number, of) = self.platforms.find(file.number, file.of);
        into.push_str(PLATFORMS[platform]);
        into.push('/');
        File {
            left: file.left.min(of - number),
            number,
            of,
            ..file
        }
    }

    /// Puts the folder of the key at `index` into `into`.
    fn folder_of(&self, index: u64, into: &mut String) -> File {
        let (area, at, len) = self.areas.find(index, self.len);
        let (path, _, layout) = AREAS[area];
        into.clear();
        into.push_str(path);
        match layout {
            Layout::Nightly(tree) => self.nightly(at, len, tree, into),
            Layout::Releases => self.release(at, len, false, into),
            Layout::Candidates => self.release(at, len, true, into),
            Layout::Tinderbox => self.tinderbox(at, len, into),
            Layout::Try => self.try_builds(at, len, into),
            Layout::Flat(stem) => File {
                stem: Some(stem),
                ..File::of_all(at, len)
            },
        }
    }
}

struct Folder {
    number: u64,
    /// Of all folders beside it, at most.
    count: u64,
    file: File,
}

/// A file of a folder.
struct File {
    number: u64,
    /// How many the folder may have.
    of: u64,
    /// How many there are from this one on.
    left: u64,
    /// What the number follows in the name.
    stem: Option<&'static str>,
}

impl File {
    fn of_all(number: u64, of: u64) -> Self {
        Self {
            number,
            of,
            left: of - number,
            stem: None,
        }
    }
}

impl KeySpace for Archive {
    fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, index: u64, into: &mut String) {
        let file = self.folder_of(index, into);
        self.push_file(into, &file);
    }

    fn walk(&self, index: u64, walk: &mut Walk) {
        if !walk.within.contains(&index) {
            let file = self.folder_of(index, &mut walk.key);
            walk.folder = walk.key.len();
            walk.within = index - file.number..index + file.left;
            (walk.of, walk.stem) = (file.of, file.stem);
        }
        walk.key.truncate(walk.folder);
        let number = index - walk.within.start;
        let file = File {
            number,
            of: walk.of,
            left: walk.within.end - index,
            stem: walk.stem,
        };
        self.push_file(&mut walk.key, &file);
    }
}
