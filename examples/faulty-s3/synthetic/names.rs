//! One folder of many names: numbered, hashed, or in many scripts.

use super::{KeySpace, mixed, push_number};

/// `frames/frame-000000000042.webp`
pub struct Sequential {
    len: u64,
}

impl Sequential {
    pub fn new(len: u64) -> Self {
        Self { len }
    }
}

impl KeySpace for Sequential {
    fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, index: u64, into: &mut String) {
        into.clear();
        into.push_str("frames/frame-");
        push_number(into, index, 12);
        into.push_str(".webp");
    }
}

/// Where name `index` of `len` lies among `room` numbers: somewhere in its part.
fn scattered(index: u64, len: u64, room: u64) -> u64 {
    let part = room / len;
    index * part + mixed(index) % part
}

/// 32 hexadecimal digits.
pub struct Hash {
    len: u64,
}

impl Hash {
    pub fn new(len: u64) -> Self {
        Self { len }
    }
}

impl KeySpace for Hash {
    fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, index: u64, into: &mut String) {
        into.clear();
        for half in [scattered(index, self.len, u64::MAX), mixed(!index)] {
            for shift in (0..16).rev() {
                let digit = u8::try_from(half >> (4 * shift) & 15).unwrap_or_default();
                into.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
    }
}

/// Several levels of one folder each, some hundred bytes, then names whose
/// order in UTF-8 is not that in UTF-16.
pub struct Prefix {
    len: u64,
}

const LEVELS: &str = "archives/département-des-images/данные-наблюдений-и-их-описания/\
    観測データとその説明/ein-sehr-langer-ordnername-der-nie-wechselt-und-nur-platz-verbraucht/\
    \u{e000}\u{e001}/\u{1f600}\u{1f4c1}/";
const SIGNS: [char; 24] = [
    ' ',
    '+',
    '-',
    '0',
    '7',
    'A',
    'Z',
    '_',
    'a',
    'q',
    'z',
    '~',
    'ß',
    'é',
    'Ω',
    'Ж',
    'я',
    'あ',
    '中',
    '文',
    '\u{e000}',
    '\u{fffd}',
    '\u{1d11e}',
    '\u{1f600}',
];
const LENGTH: u32 = 10;

impl Prefix {
    pub fn new(len: u64) -> Self {
        Self { len }
    }
}

impl KeySpace for Prefix {
    fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, index: u64, into: &mut String) {
        into.clear();
        into.push_str(LEVELS);
        let base = SIGNS.len() as u64;
        let mut number = scattered(index, self.len, base.pow(LENGTH));
        let mut signs = [' '; LENGTH as usize];
        for sign in signs.iter_mut().rev() {
            *sign = SIGNS[usize::try_from(number % base).unwrap_or_default()];
            number /= base;
        }
        into.extend(signs);
        into.push_str(".json");
    }
}
