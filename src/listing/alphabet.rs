//! Reads names as numbers: in each position, the characters seen there are the digits. So
//! it can interpolate between names in any script.

/// The distance to the left that a scale spans, in pages: enough for any bucket.
const MAX_SPAN: u128 = 1 << 27;
/// How many positions a scale distinguishes within a page.
const MAX_RESOLUTION: u128 = 1 << 20;
/// Leaves room for products of the above, and for names that differ far to the left.
const MAX_SIZE: u128 = 1 << 100;

/// The characters seen in the names of one directory, by position.
#[derive(Debug, Default)]
pub struct Alphabet {
    seen: Vec<Vec<char>>,
    /// `seen`, and other characters likely in the same position.
    digits: Vec<Vec<char>>,
    stale: bool,
    /// The lowest name seen.
    origin: Option<String>,
}

impl Alphabet {
    /// Adds the characters of a name.
    pub fn add(&mut self, name: &str) {
        for (position, char) in name.chars().enumerate() {
            if position == self.seen.len() {
                self.seen.push(Vec::new());
            }
            let seen = &mut self.seen[position];
            if let Err(at) = seen.binary_search(&char) {
                seen.insert(at, char);
                self.stale = true;
            }
        }
        if self.origin.as_deref().is_none_or(|origin| name < origin) {
            self.origin = Some(name.to_owned());
        }
    }

    /// Returns the names after `name`, up to `far` if given, at a scale that distinguishes
    /// names between `first` and `last`. Its density is not known yet.
    pub fn span(&self, name: &str, first: &str, last: &str, far: Option<&str>) -> Option<Span<'_>> {
        let scale = self.scale(name, first, last, far)?;
        let from = scale.number(name);
        let origin = self.origin.as_deref();
        Some(Span {
            passed: from.saturating_sub(origin.map_or(from, |origin| scale.number(origin))),
            to: far.map_or(scale.size, |far| scale.number(far)),
            from,
            scale,
            density: f64::MIN_POSITIVE,
            closed: false,
        })
    }

    /// Adds to a position with few characters the digits of the positions that share one
    /// with it and have more: it may be the leading zeros of a number.
    pub fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let mut rich: Vec<&Vec<char>> = self.seen.iter().filter(|seen| seen.len() > 1).collect();
        rich.sort_unstable();
        rich.dedup();
        self.digits = self
            .seen
            .iter()
            .map(|seen| {
                let mut digits = seen.clone();
                for other in &rich {
                    let shares = || seen.iter().any(|char| other.binary_search(char).is_ok());
                    if other.len() > seen.len() && shares() {
                        digits.extend(other.iter());
                    }
                }
                digits.sort_unstable();
                digits.dedup();
                digits
            })
            .collect();
    }

    /// Returns a scale for names near `name` that distinguishes positions between `first`
    /// and `last`, and reaches `far` if given.
    fn scale(&self, name: &str, first: &str, last: &str, far: Option<&str>) -> Option<Scale<'_>> {
        let base = |position: usize| self.digits[position].len() as u128;
        let near = differ(first, last).min(self.digits.len());
        let mut low = near;
        let mut left: u128 = 1;
        while low > 0 && left < MAX_SPAN {
            low -= 1;
            left *= base(low);
        }
        if let Some(far) = far {
            low = low.min(differ(name, far));
        }
        let mut size = 1;
        let mut high = low;
        let mut fine = 1;
        while high < self.digits.len() && fine < MAX_RESOLUTION && size < MAX_SIZE {
            size *= base(high);
            if high >= near {
                fine *= base(high);
            }
            high += 1;
        }
        (size > 1).then(|| Scale {
            stem: name.chars().take(low).collect(),
            digits: &self.digits[low..high],
            size,
        })
    }
}

/// Returns the first position where two names differ.
fn differ(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// Names of a directory as numbers, and how densely they are used.
pub struct Span<'a> {
    scale: Scale<'a>,
    from: u128,
    to: u128,
    /// Numbers from the lowest name seen to `from`.
    passed: u128,
    /// Entries per number.
    pub density: f64,
    /// Whether an entry is known to exist near the end.
    pub closed: bool,
}

impl Span<'_> {
    /// Sets the entries per number; a span is never quite empty.
    pub fn with_density(self, density: f64) -> Self {
        let density = density.max(f64::MIN_POSITIVE);
        Self { density, ..self }
    }

    /// Returns the number of names.
    pub fn numbers(&self) -> f64 {
        self.to.saturating_sub(self.from) as f64
    }

    /// Returns the number of entries at this density.
    pub fn entries(&self) -> f64 {
        self.numbers() * self.density
    }

    /// Returns the number of entries from the lowest name seen to the start.
    pub fn so_far(&self) -> f64 {
        self.passed as f64 * self.density
    }

    /// Returns the distance between two names.
    pub fn distance(&self, first: &str, last: &str) -> f64 {
        self.scale.span(first, last) as f64
    }

    /// Returns whether `name` is near the end.
    pub fn ends_near(&self, name: &str) -> bool {
        let hole = self.scale.number(name).saturating_sub(self.to);
        hole <= self.to.saturating_sub(self.from) / 8
    }

    /// Returns the name at a distance from the start.
    pub fn name(&self, distance: f64) -> String {
        self.scale.name(self.from + distance as u128)
    }

    /// Returns whether the name at a distance from the start is before the end.
    pub fn contains(&self, distance: f64) -> bool {
        self.from + (distance as u128) < self.to
    }
}

/// A mapping of names to numbers.
struct Scale<'a> {
    stem: String,
    digits: &'a [Vec<char>],
    /// The number after the last name.
    size: u128,
}

impl Scale<'_> {
    fn number(&self, name: &str) -> u128 {
        match name.strip_prefix(self.stem.as_str()) {
            Some(rest) => self.read(rest.chars()),
            None if name < self.stem.as_str() => 0,
            None => self.size,
        }
    }

    /// Returns the distance between two names that agree to the left of the scale.
    fn span(&self, first: &str, last: &str) -> u128 {
        let stem = self.stem.chars().count();
        let read = |name: &str| self.read(name.chars().skip(stem));
        read(last).saturating_sub(read(first))
    }

    fn read(&self, mut chars: impl Iterator<Item = char>) -> u128 {
        let mut number = 0;
        let mut exact = true;
        for digits in self.digits {
            let digit = match chars.next().filter(|_| exact) {
                Some(char) => digits.binary_search(&char).unwrap_or_else(|at| {
                    exact = false;
                    at
                }),
                None => 0,
            };
            number = number * digits.len() as u128 + digit as u128;
        }
        number.min(self.size)
    }

    fn name(&self, number: u128) -> String {
        let mut rest = number.min(self.size - 1);
        let mut chars = Vec::with_capacity(self.digits.len());
        for digits in self.digits.iter().rev() {
            let base = digits.len() as u128;
            chars.push(digits[usize::try_from(rest % base).unwrap_or_default()]);
            rest /= base;
        }
        let mut name = self.stem.clone();
        name.extend(chars.iter().rev());
        name
    }
}
