//! How a range takes a page: it accepts the keys that belong to it, if the page agrees with
//! itself and with all other responses.

use super::doubt::{BegunDir, DoubtedEnd};
use super::evidence::Evidence;
use super::order::{check_order, partition};
use super::position::{is_before, is_flat};
use super::range::{ActiveRange, Step};
use super::token::names_key;
use super::{Accepted, Continuation, InconsistentListing, ResponseKeys};
use crate::record::coverage::Interval;

/// How a response changed a range.
pub struct RangeUpdate {
    /// The end is doubted, and the directories around the cursor have to be listed.
    pub doubted: bool,
    pub accepted: Accepted,
    pub finished: bool,
}

impl RangeUpdate {
    /// Returns the result for a page of which nothing is accepted.
    fn none() -> Self {
        let accepted = Accepted {
            keys: 0..0,
            covers: None,
        };
        Self {
            accepted,
            finished: false,
            doubted: false,
        }
    }
}

impl ActiveRange {
    /// Accepts the keys of a response that belong to this range, and advances the cursor.
    pub fn accept(
        &mut self,
        page: &impl ResponseKeys,
        next: Continuation,
        evidence: &mut Evidence,
    ) -> Result<RangeUpdate, InconsistentListing> {
        self.flight = None;
        self.estimate = None;
        self.stuck = false;
        if let Step::Check(name) = &self.step {
            let name = name.clone();
            self.take_check(name, page, next, evidence)?;
            return Ok(RangeUpdate::none());
        }
        let restart = self.restart.clone();
        if !page.is_empty() || next == Continuation::End {
            self.restart = None;
        }
        check_order(restart.as_deref().or(self.cursor.as_deref()), page)?;
        let last = page.len().checked_sub(1).map(|last| page.key(last));
        let reaches_end = last
            .as_deref()
            .is_some_and(|last| !is_before(last, self.end()));
        let is_last = next == Continuation::End;
        let ends = is_last && !reaches_end;
        let scope = match &self.step {
            Step::DirEnd(start) => start.clone(),
            _ => self.chain.scope.clone(),
        };
        let reached = last.as_deref().unwrap_or_default().max(self.cursor());
        let reached = reached.to_owned();
        if self.refuses(page, &reached, (is_last, ends), &scope, evidence)? {
            return Ok(RangeUpdate {
                doubted: is_last && self.by_dir,
                ..RangeUpdate::none()
            });
        }
        if restart.is_some() && !page.is_empty() && !is_last && reached == self.cursor() {
            // More keys came before the cursor than fit into a page.
            self.chain.token = None;
            return Ok(RangeUpdate::none());
        }
        let first = match restart {
            Some(_) => partition(page.len(), |index| *page.key(index) <= *self.cursor()),
            None => 0,
        };
        let past = partition(page.len(), |index| match self.end() {
            Some(end) => *page.key(index) <= *end,
            None => true,
        });
        if let Some(last) = &last {
            self.insisted = None;
            self.begun = BegunDir::find(page, self.cursor(), &evidence.prefix);
            self.note_keys(page, last, evidence);
        }
        let before = self.cursor.clone();
        let finished = reaches_end
            || self.advance(last.as_deref(), restart.is_some(), &scope, next, evidence)?;
        if finished {
            self.cursor.clone_from(&self.end);
        }
        let covers =
            (finished || self.cursor != before).then(|| Interval::new(before, self.cursor.clone()));
        let accepted = Accepted {
            keys: first.min(past)..past,
            covers,
        };
        Ok(RangeUpdate {
            accepted,
            finished,
            doubted: false,
        })
    }

    /// Returns whether a page through `reached` cannot be accepted, because its end is
    /// doubted or it leaves out what another response showed.
    fn refuses(
        &mut self,
        page: &impl ResponseKeys,
        reached: &str,
        (is_last, ends): (bool, bool),
        scope: &str,
        evidence: &mut Evidence,
    ) -> Result<bool, InconsistentListing> {
        let after = || evidence.after(scope, reached).filter(|_| ends);
        let missing = evidence
            .left_out(self.cursor(), self.end(), page)
            .or_else(after);
        let missing = missing.map(str::to_owned);
        let left_out = |name: &str| InconsistentListing::left_out(self.cursor(), reached, name);
        // Such a page may end too early, and leave out what comes before its last keys.
        if is_last && !self.end_is_proven() {
            let doubted = DoubtedEnd {
                prefix: scope.to_owned(),
                after: self.cursor().to_owned(),
                last: reached.to_owned(),
            };
            let denied = missing.is_some();
            match missing {
                Some(name) if evidence.no_prefix => return Err(left_out(&name)),
                Some(name) => evidence.warn_of_early_end(&doubted, &name),
                None if evidence.no_prefix => {
                    evidence.warn_of_unchecked(&doubted);
                    return Ok(false);
                }
                None => {}
            }
            self.doubt(doubted, page.len(), denied, evidence);
            return Ok(true);
        }
        let Some(name) = missing else {
            return Ok(false);
        };
        if self.insisted.as_ref() == Some(&name) {
            return Err(left_out(&name));
        }
        self.chain.token = None;
        if evidence.no_prefix {
            self.insisted = Some(name);
        } else {
            self.step = Step::Check(name);
        }
        Ok(true)
    }

    /// Returns whether the end that the last request met can be believed by itself.
    fn end_is_proven(&self) -> bool {
        match (&self.step, &self.chain.token) {
            (Step::Page, Some(_)) if self.chain.names_key => {
                is_flat(&self.chain.scope, self.cursor())
            }
            (Step::Page, _) => self.chain.proven,
            // Such a request starts with a prefix, not with a position.
            _ => true,
        }
    }

    /// Takes the listing of what the last page left out.
    fn take_check(
        &mut self,
        name: String,
        page: &impl ResponseKeys,
        next: Continuation,
        evidence: &mut Evidence,
    ) -> Result<(), InconsistentListing> {
        match next {
            Continuation::More(token) if page.is_empty() => {
                self.check_progress(token.as_ref())?;
                self.chain.token = token;
                return Ok(());
            }
            // It was deleted.
            Continuation::End if page.is_empty() => evidence.refute(&name),
            _ => {
                self.insisted = Some(name);
                self.by_dir = true;
            }
        }
        self.step = Step::Page;
        self.chain.proven = false;
        self.chain.token = None;
        self.empty = 0;
        Ok(())
    }

    /// Records the keys of an accepted page as evidence, and that they end a doubt.
    fn note_keys(&mut self, page: &impl ResponseKeys, last: &str, evidence: &mut Evidence) {
        evidence.see(last);
        if !self.at_key {
            evidence.add_key(&page.key(0));
        }
        let through = self.end().map_or(last, |end| end.min(last));
        evidence.confirm(self.cursor(), through);
        let denies = |doubted: &DoubtedEnd| {
            let index = partition(page.len(), |index| *page.key(index) <= *doubted.last);
            (index < page.len() && page.key(index).starts_with(&doubted.prefix))
                .then(|| page.key(index).into_owned())
        };
        if let Some(key) = self.doubted.as_ref().and_then(denies)
            && let Some(doubted) = self.doubted.take()
        {
            evidence.warn_of_early_end(&doubted, &key);
        }
    }

    /// Moves the cursor to `last`, and chooses how to continue. Returns whether the range
    /// is finished.
    fn advance(
        &mut self,
        last: Option<&str>,
        restarted: bool,
        scope: &str,
        next: Continuation,
        evidence: &Evidence,
    ) -> Result<bool, InconsistentListing> {
        let guessed =
            restarted || self.chain.token.is_none() && !self.at_key && self.cursor.is_some();
        if let Some(last) = last {
            self.cursor = Some(last.max(self.cursor()).to_owned());
            self.at_key = true;
        }
        let dir_end = matches!(self.step, Step::DirEnd(_));
        match next {
            Continuation::More(token) => {
                if last.is_none() {
                    self.check_progress(token.as_ref())?;
                } else {
                    self.empty = 0;
                }
                self.chain.names_key = token
                    .as_ref()
                    .is_some_and(|token| names_key(token, self.cursor()));
                // Some servers leave out one key by the token after a position that is no
                // key (minio/minio#21463).
                let trusted = self.chain.names_key || !guessed || last.is_none();
                self.chain.token = token.filter(|_| trusted);
                if dir_end && last.is_some() {
                    self.step = Step::Page;
                    self.chain.token = None;
                }
                Ok(false)
            }
            Continuation::End if dir_end => {
                if last.is_none() {
                    self.cursor = Some(scope.to_owned());
                    self.at_key = false;
                }
                self.step = Step::Page;
                self.chain.token = None;
                self.chain.proven = false;
                Ok(!is_before(self.cursor(), self.end()))
            }
            Continuation::End => Ok(self.leave(scope, evidence)),
        }
    }

    /// Handles a page that did not advance the cursor, and continues with `token`.
    fn check_progress(&mut self, token: Option<&String>) -> Result<(), InconsistentListing> {
        if token.is_none() {
            return Err(InconsistentListing::new(
                "a page is empty and truncated, and has no continuation token",
            ));
        }
        if self.empty == 0 {
            self.met.clone_from(&self.chain.token);
        }
        if token == self.met.as_ref() {
            return Err(InconsistentListing::new(
                "the same continuation token comes again",
            ));
        }
        self.empty += 1;
        if self.empty.is_power_of_two() {
            self.met = token.cloned();
        }
        Ok(())
    }
}
