//! Lists the directories around a doubted end at the same time.

use super::Planner;
use crate::listing::levels::Rest;
use crate::listing::position::{dir_end, is_before, sendable};
use crate::listing::range::ActiveRange;

impl Planner {
    /// Divides the ranges whose end is doubted, as far as it is known now what comes next.
    pub(super) fn divide_doubted(&mut self) {
        let doubted = |index: &usize| self.ranges[*index].is_doubted_here();
        let doubted: Vec<usize> = (0..self.ranges.len()).filter(doubted).collect();
        for index in doubted.into_iter().rev() {
            self.divide(index);
        }
    }

    /// Divides a range at the end of each directory around its cursor that is followed by
    /// more, unless there may be a key at that end.
    pub(super) fn divide(&mut self, index: usize) {
        let levels = &self.evidence.levels;
        let range = &mut self.ranges[index];
        let cursor = range.cursor().to_owned();
        let mut parts = Vec::new();
        for (parent, dir) in levels.unproven_dirs(&self.settings.prefix, &cursor) {
            let divides =
                levels.rest(parent, dir) == Rest::Something && levels.is_end_free(parent, dir);
            let end = dir_end(dir).filter(|end| divides && range.can_end(end));
            parts.extend(end.map(|end| range.split_off(end, false, 0.5)));
        }
        // Each is before the one that was split off before.
        let after = index + 1;
        self.ranges.splice(after..after, parts.into_iter().rev());
    }

    /// Returns a directory around the cursor of a range whose end is doubted there, if nobody
    /// asked yet what comes after it.
    pub(super) fn unproven<'a>(&'a self, range: &'a ActiveRange) -> Option<&'a str> {
        if self.stats.no_delimiter || !range.is_doubted_here() {
            return None;
        }
        let levels = &self.evidence.levels;
        // The page that restarts lists the inner ones.
        let inner = range
            .restart
            .as_ref()
            .map_or(usize::MAX, |_| range.chain.scope.len());
        let mut unproven = levels
            .unproven_dirs(&self.settings.prefix, range.cursor())
            .take_while(|(_, dir)| dir.len() <= inner);
        let asked = unproven.find(|&(parent, dir)| {
            let asks = levels.rest(parent, dir) == Rest::Unknown && !levels.was_asked(dir);
            asks && dir_end(dir).is_some_and(|end| range.can_end(&end))
        });
        asked.map(|(_, dir)| dir)
    }
}

impl ActiveRange {
    fn can_end(&self, position: &str) -> bool {
        sendable(position) == position
            && is_before(position, self.end())
            && self.model.starts_before(position)
    }
}
