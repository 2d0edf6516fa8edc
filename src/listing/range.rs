//! A range of keys that is being listed page by page: which keys of an answer
//! belong to it, and whether the server can be relied on.

use super::land::{Land, Lore};
use super::learn::Told;
use super::place::before;
use super::step::{Bounds, Step};
use super::{Disorder, Hint, Kept, Keys, Next, Ticket};
use crate::record::coverage::Interval;

/// What is left of an interval.
pub struct Range {
    /// All keys of the range through here are listed.
    pub cursor: Option<String>,
    /// The last place of the range; it comes nearer when the range is cut.
    pub end: Option<String>,
    /// Where the server said that the next page begins.
    pub token: Option<String>,
    /// Pages in a row that brought nothing, and a token to be met again if they go in a
    /// circle: the last one that came after a power of two of them, as Brent finds cycles.
    empty: u32,
    met: Option<String>,
    pub flight: Option<Ticket>,
    /// What is thought to lie there.
    pub land: Land,
    /// How many keys are thought to be left, if that was not forgotten.
    thought: Option<f64>,
    /// Until something is learned there is no place to cut.
    pub stuck: bool,
}

/// What an answer did to a range.
pub struct Answered {
    pub kept: Kept,
    pub finished: bool,
}

impl Range {
    pub fn new(gap: Interval, land: Land) -> Self {
        Self {
            cursor: gap.after,
            end: gap.through,
            token: None,
            empty: 0,
            met: None,
            flight: None,
            land,
            thought: None,
            stuck: false,
        }
    }

    pub fn cursor(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// How many keys are thought to be left, by what was known when it last changed.
    pub fn left(&mut self, lore: &Lore) -> f64 {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        let think = || self.land.estimates(bounds, lore).iter().sum();
        *self.thought.get_or_insert_with(think)
    }

    pub fn hint(&mut self, hints: &[Hint], lore: &mut Lore) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.land.hint(hints, bounds, lore);
    }

    pub fn step(&mut self, goal: f64, spare: bool, lore: &Lore) -> Step {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.land.step(goal, spare, bounds, lore)
    }

    pub fn learn(&mut self, told: &Told, lore: &mut Lore) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.land.learn(told, bounds, lore);
        self.thought = None;
        self.stuck = false;
    }

    /// Ends at `place` from now on, and gives back the range behind it.
    pub fn cut(&mut self, place: String, known: bool, share: f64) -> Self {
        let land = self.land.cut(&place, known, share);
        self.thought = None;
        let end = self.end.replace(place.clone());
        Self::new(Interval::new(Some(place), end), land)
    }

    /// Takes the answer to this range's page, and goes on behind it.
    pub fn answer(&mut self, page: &impl Keys, next: Next) -> Result<Answered, Disorder> {
        check_order(self.cursor.as_deref(), page)?;
        self.flight = None;
        self.thought = None;
        self.stuck = false;
        let len = page.len();
        let keys = partition(len, |index| match self.end() {
            Some(end) => *page.key(index) <= *end,
            None => true,
        });
        let last = len.checked_sub(1).map(|last| page.key(last));
        let behind = last
            .as_deref()
            .is_some_and(|last| !before(last, self.end()));
        let finished = behind || next == Next::End;
        let through = if finished {
            self.end.clone()
        } else {
            match last {
                Some(last) => Some(last.into_owned()),
                None => self.cursor.clone(),
            }
        };
        if let (false, Next::More(token)) = (finished, next) {
            if through == self.cursor {
                self.stand(token.as_ref())?;
            } else {
                self.empty = 0;
            }
            self.token = token;
        }
        let covers = (finished || through != self.cursor)
            .then(|| Interval::new(self.cursor.clone(), through.clone()));
        self.cursor = through;
        let kept = Kept {
            keys: 0..keys,
            covers,
        };
        Ok(Answered { kept, finished })
    }

    /// A page brought nothing, and goes on with `token`.
    fn stand(&mut self, token: Option<&String>) -> Result<(), Disorder> {
        if token.is_none() {
            return Err(Disorder::new(
                "a page is empty and truncated, and has no continuation token",
            ));
        }
        if self.empty == 0 {
            self.met.clone_from(&self.token);
        }
        if token == self.met.as_ref() {
            return Err(Disorder::new("the same continuation token comes again"));
        }
        self.empty += 1;
        if self.empty.is_power_of_two() {
            self.met = token.cloned();
        }
        Ok(())
    }
}

/// How many of the first `len` numbers satisfy `belongs`, which holds for
/// those at the front alone.
pub fn partition(len: usize, belongs: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    // Most pages lie within their range.
    if len > 0 && belongs(len - 1) {
        return len;
    }
    while low < high {
        let middle = low.midpoint(high);
        if belongs(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Keys have to come behind `after`, in byte order.
pub fn check_order(after: Option<&str>, page: &impl Keys) -> Result<(), Disorder> {
    if page.is_empty() {
        return Ok(());
    }
    let first = page.key(0);
    if let Some(after) = after.filter(|&after| *first <= *after) {
        return Err(misplaced(
            after,
            &first,
            "it ignores start-after or the continuation token",
        ));
    }
    if let Some(index) = page.unordered() {
        let before = page.key(index - 1);
        return Err(misplaced(
            &before,
            &page.key(index),
            "its keys are not in byte order",
        ));
    }
    Ok(())
}

fn misplaced(behind: &str, got: &str, why: &str) -> Disorder {
    Disorder::new(&format!(
        "asked for keys behind {behind:?}, got {got:?}: {why}"
    ))
}
