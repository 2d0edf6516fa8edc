//! The state of a listing: what free connections ask, and what answers change.

use super::land::{Land, Lore};
use super::learn::Told;
use super::place::{before, end_of};
use super::range::{Range, check_order};
use super::step::{FEWEST, Step};
use super::{Ask, Disorder, Hint, Kept, Keys, Next, Requests, Settings, Ticket};
use crate::record::coverage::Interval;

/// A listing with a delimiter that is out.
struct Probe {
    ticket: Ticket,
    dir: String,
    after: String,
}

/// With fewer pages left for each connection the listing is thought to come to its end.
const LAST: f64 = 2.0;

/// A parallel listing, without its sockets.
pub struct Planner {
    settings: Settings,
    /// In key order.
    ranges: Vec<Range>,
    probes: Vec<Probe>,
    lore: Lore,
    tickets: u64,
    requests: Requests,
}

impl Planner {
    /// Lists the `gaps`, which are disjoint and in key order.
    #[must_use]
    pub fn new(settings: Settings, gaps: Vec<Interval>, hints: &[Hint]) -> Self {
        let mut lore = Lore {
            page: settings.page_size.max(1) as f64,
            ..Lore::default()
        };
        let ranges = gaps.into_iter().map(|gap| {
            let (after, through) = (gap.after.as_deref(), gap.through.as_deref());
            let land = Land::new(&settings.prefix, after, through, lore.page);
            let mut range = Range::new(gap, land);
            range.hint(hints, &mut lore);
            range
        });
        let ranges = ranges.collect();
        Self {
            settings,
            ranges,
            probes: Vec::new(),
            lore,
            tickets: 0,
            requests: Requests::default(),
        }
    }

    /// What a free connection should ask; nothing until the next answer if `None`.
    pub fn next(&mut self) -> Option<(Ticket, Ask)> {
        let resting = self.ranges.iter().position(|range| range.flight.is_none());
        if let Some(index) = resting {
            return Some(self.go_on(index));
        }
        if self.settings.connections <= 1 {
            return None;
        }
        self.share()
    }

    /// Asks for the next page of a range.
    fn go_on(&mut self, index: usize) -> (Ticket, Ask) {
        let ticket = self.ticket();
        let range = &mut self.ranges[index];
        range.flight = Some(ticket);
        let ask = Ask::Page {
            after: range.cursor.clone(),
            token: range.token.clone(),
        };
        (ticket, ask)
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.requests.out += 1;
        Ticket(self.tickets)
    }

    /// Cuts the range thought to hold most, or asks where to cut it.
    fn share(&mut self) -> Option<(Ticket, Ask)> {
        let page = self.lore.page;
        for alphabet in self.lore.alphabets.values_mut() {
            alphabet.refresh();
        }
        loop {
            let lore = &self.lore;
            let left: Vec<f64> = self
                .ranges
                .iter_mut()
                .map(|range| range.left(lore))
                .collect();
            let (index, keys) = left
                .iter()
                .copied()
                .enumerate()
                .filter(|&(index, _)| self.may_share(index))
                .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
            let each = left.iter().sum::<f64>() / self.settings.connections as f64;
            // At the end, when what is left is few pages that go on one after another; at the
            // start nothing is known, and small buckets would take many requests.
            let listed = self.requests.pages >= self.settings.connections as u64;
            let spare = listed && each < LAST * page;
            if keys < if spare { 1.0 } else { FEWEST } * page {
                return None;
            }
            // So many connections will share what is left of this range; half of them behind the cut.
            let parts = (keys / each.max(page)).round().max(2.0);
            let behind = if spare { keys } else { keys - page };
            let goal = behind * (parts / 2.0).floor() / parts;
            match self.ranges[index].step(goal, spare, &self.lore) {
                Step::Cut {
                    place,
                    known,
                    share,
                } => {
                    let behind = self.ranges[index].cut(place, known, share);
                    self.ranges.insert(index + 1, behind);
                    return Some(self.go_on(index + 1));
                }
                Step::Probe { dir, after } => {
                    let asked = |probe: &Probe| probe.dir == dir && probe.after <= after;
                    if !self.probes.iter().any(asked) {
                        return Some(self.probe(dir, after));
                    }
                }
                Step::Nothing => self.ranges[index].stuck = true,
            }
        }
    }

    /// A guess that is not yet answered is not built upon while a better answer is on its way.
    fn may_share(&self, index: usize) -> bool {
        let range = &self.ranges[index];
        !range.stuck && (self.probes.is_empty() || !range.land.fresh)
    }

    fn probe(&mut self, dir: String, after: String) -> (Ticket, Ask) {
        let ticket = self.ticket();
        let ask = Ask::Children {
            prefix: dir.clone(),
            after: (!after.is_empty()).then(|| after.clone()),
        };
        self.probes.push(Probe { ticket, dir, after });
        (ticket, ask)
    }

    /// Takes the answer to a page.
    pub fn page(&mut self, ticket: Ticket, page: &impl Keys, next: Next) -> Result<Kept, Disorder> {
        let Some(index) = self
            .ranges
            .iter()
            .position(|range| range.flight == Some(ticket))
        else {
            return Ok(Kept {
                keys: 0..0,
                covers: None,
            });
        };
        self.requests.out -= 1;
        let range = &mut self.ranges[index];
        let answered = range.answer(page, next)?;
        let kept = answered.kept.keys.end;
        if kept > 0 {
            self.requests.pages += 1;
        } else {
            self.requests.wasted += 1;
        }
        let through = range.cursor.clone();
        if kept > 0 || answered.finished {
            range
                .land
                .advance(page, kept, through.as_deref(), &mut self.lore);
        }
        if answered.finished {
            range.land.finish(&mut self.lore);
            self.ranges.remove(index);
        }
        Ok(answered.kept)
    }

    /// Takes the answer to a listing with the delimiter: the common prefixes,
    /// and the keys that stand beside them.
    #[expect(clippy::needless_pass_by_value, reason = "as with a page")]
    pub fn children(
        &mut self,
        ticket: Ticket,
        names: &[String],
        page: &impl Keys,
        next: Next,
    ) -> Result<(), Disorder> {
        let Some(probe) = self.answered(ticket) else {
            return Ok(());
        };
        let after = (!probe.after.is_empty()).then_some(probe.after.as_str());
        check_order(after, page)?;
        if !names.is_sorted() {
            return Err(Disorder::new(
                "its common prefixes are not in byte order; --concurrency 1 lists without them",
            ));
        }
        let last = page.len().checked_sub(1).map(|last| page.key(last));
        let last = last.as_deref().max(names.last().map(String::as_str));
        let told = Told {
            dir: &probe.dir,
            after: &probe.after,
            names,
            plain: page.len(),
            last: last.unwrap_or_default(),
            truncated: next != Next::End,
        };
        let stop = end_of(&probe.dir);
        for range in &mut self.ranges {
            let above = stop.as_deref().is_none_or(|stop| range.cursor() < stop);
            if above && before(&probe.after, range.end()) {
                range.learn(&told, &mut self.lore);
            }
        }
        Ok(())
    }

    /// The server refuses a listing with the delimiter, which would only have informed:
    /// it is asked for none any more.
    pub fn refused(&mut self, ticket: Ticket) {
        if self.answered(ticket).is_some() {
            self.lore.blind = true;
            for range in &mut self.ranges {
                range.stuck = false;
            }
        }
    }

    fn answered(&mut self, ticket: Ticket) -> Option<Probe> {
        let at = self
            .probes
            .iter()
            .position(|probe| probe.ticket == ticket)?;
        self.requests.out -= 1;
        self.requests.probes += 1;
        Some(self.probes.swap_remove(at))
    }

    /// Whether every key of the gaps is listed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ranges.is_empty()
    }

    #[must_use]
    pub fn requests(&self) -> Requests {
        self.requests
    }
}
