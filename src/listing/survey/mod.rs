//! Dividing a bucket into parts of about equal size without listing it all.
//!
//! A survey asks by rounds for what stands in directories, and from where on:
//! of each kind of directory some, and all that are thought to be large.
//! Answers count in the order they were asked for, so an unchanged bucket is
//! always divided the same way.

mod crossing;
mod estimate;
mod gap;
mod part;
mod tree;
mod wish;

use super::kinds::Kinds;
use super::range::check_order;
use super::{Ask, Disorder, Hint, Keys, Next, Ticket};
use crossing::{Crossed, Crossing};
use estimate::{deepest, estimate};
use part::{Piece, begin, cut, divide, go_on};
use tree::{Dir, List};
use wish::{Wish, Wishes};

pub use part::Part;

/// Requests that a survey may take at least, and for each part.
const REQUESTS: (usize, usize) = (100, 20);
/// Rounds that they are spread over.
const ROUNDS: usize = 10;
/// What is thought to hold more than this share of a part is looked into.
const SHARE: f64 = 0.125;

/// A request of this round.
struct Asked {
    ticket: Ticket,
    wish: Wish,
    answer: Option<Answer>,
}

enum Answer {
    List(List),
    Page(Vec<String>, Next),
}

/// A survey of a bucket.
pub struct Survey {
    root: Dir,
    parts: usize,
    page: f64,
    /// What pages told of kinds of directories.
    crossed: Vec<Crossed>,
    kinds: Kinds,
    /// Requests that may still be made.
    left: usize,
    tickets: u64,
    round: Vec<Asked>,
    hints: Vec<Hint>,
}

impl Survey {
    /// Looks for `parts` parts. With enough `hints` from a finished run, nothing has to be asked.
    #[must_use]
    pub fn new(prefix: &str, page_size: usize, parts: usize, hints: &[Hint]) -> Self {
        let parts = parts.max(1);
        let known = hints.len() >= 4 * parts;
        let asks = parts > 1 && !known;
        Self {
            root: Dir::new(prefix),
            parts,
            page: page_size as f64,
            crossed: Vec::new(),
            kinds: Kinds::default(),
            left: if asks { requests(parts) } else { 0 },
            tickets: 0,
            round: Vec::new(),
            hints: if known { hints.to_vec() } else { Vec::new() },
        }
    }

    /// The requests of the next round; the survey is done when there are none.
    pub fn round(&mut self) -> Vec<(Ticket, Ask)> {
        let most = self.left.min(requests(self.parts) / ROUNDS);
        let mut wishes = if self.root.is_seen() {
            let wishes = Wishes {
                goal: self.root.keys / self.parts as f64 * SHARE,
                page: self.page,
                kinds: &self.kinds,
            };
            wishes.collect(&self.root)
        } else {
            vec![Wish::new(&self.root, "", 0, 0.0)]
        };
        wishes.truncate(most);
        self.left -= wishes.len();
        let mut asks = Vec::new();
        for wish in wishes {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            asks.push((ticket, wish.ask()));
            self.round.push(Asked {
                ticket,
                wish,
                answer: None,
            });
        }
        asks
    }

    /// Takes the answer to a page of this round.
    pub fn page(&mut self, ticket: Ticket, page: &impl Keys, next: Next) -> Result<(), Disorder> {
        check_order(self.after(ticket), page)?;
        self.answer(ticket, Answer::Page(copy(page), next));
        Ok(())
    }

    /// Takes the answer to a listing with the delimiter of this round: the
    /// common prefixes, and the keys beside them.
    #[expect(clippy::needless_pass_by_value, reason = "as with a page")]
    pub fn children(
        &mut self,
        ticket: Ticket,
        names: &[String],
        page: &impl Keys,
        next: Next,
    ) -> Result<(), Disorder> {
        let after = self.after(ticket);
        check_order(after, page)?;
        let after = after.unwrap_or_default();
        // Some servers name the directory again that `after` lies in.
        let again = names.partition_point(|name| name.as_str() <= after);
        let list = List::new(after, &names[again..], &copy(page), next != Next::End);
        self.answer(ticket, Answer::List(list));
        Ok(())
    }

    fn after(&self, ticket: Ticket) -> Option<&str> {
        let asked = self.round.iter().find(|asked| asked.ticket == ticket)?;
        Some(asked.wish.after.as_str()).filter(|after| !after.is_empty())
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(asked) = self.round.iter_mut().find(|asked| asked.ticket == ticket) {
            asked.answer = Some(answer);
        }
        if self.round.iter().any(|asked| asked.answer.is_none()) {
            return;
        }
        for Asked { wish, answer, .. } in std::mem::take(&mut self.round) {
            match answer {
                Some(Answer::List(list)) => {
                    if let Some(dir) = self.root.find(&wish.dir) {
                        dir.add(list);
                    }
                }
                Some(Answer::Page(page, next)) => self.cross(&wish, &page, &next),
                None => {}
            }
        }
        self.estimate();
    }

    fn cross(&mut self, wish: &Wish, page: &[String], next: &Next) {
        if let Some(dir) = self.root.find(&wish.dir) {
            dir.paged = true;
        }
        let end = page.last().filter(|_| *next != Next::End);
        if page.is_empty() && *next != Next::End {
            return;
        }
        let crossing = Crossing {
            after: &wish.after,
            page,
            end: end.map(String::as_str),
        };
        crossing.count(&mut self.root);
        self.crossed.extend(crossing.dirs());
    }

    /// Thinks again how much each directory holds.
    fn estimate(&mut self) {
        let mut kinds = Kinds::default();
        let (ended, not): (Vec<_>, Vec<_>) = self.crossed.iter().partition(|kind| kind.ends > 0.0);
        // Each page is one vote, or a place with many small directories would have them all.
        for crossed in ended {
            kinds.record(crossed.kind, 1.0, crossed.keys / crossed.ends);
        }
        for crossed in not {
            if kinds
                .known(crossed.kind)
                .is_some_and(|mean| mean < crossed.keys)
            {
                kinds.record(crossed.kind, 1.0, 2.0 * crossed.keys);
            }
        }
        for depth in (0..=deepest(&self.root)).rev() {
            estimate(&mut self.root, depth, &mut kinds);
        }
        self.kinds = kinds;
    }

    /// The parts, in key order: together they are the whole bucket.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let start = String::new();
        let mut pieces = vec![Piece { start, keys: 0.0 }];
        if self.hints.is_empty() {
            let most = self.root.keys / self.parts as f64 * SHARE;
            divide(&self.root, most, &mut pieces);
        }
        for (key, keys) in &self.hints {
            go_on(*keys as f64, &mut pieces);
            begin(key, 0.0, &mut pieces);
        }
        cut(&pieces, self.parts)
    }
}

fn requests(parts: usize) -> usize {
    REQUESTS.0.max(REQUESTS.1 * parts)
}

fn copy(page: &impl Keys) -> Vec<String> {
    let keys = (0..page.len()).map(|index| page.key(index).into_owned());
    keys.collect()
}
