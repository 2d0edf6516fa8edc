//! Judges by the first records whether the input is what the stage reads: a mistake in the
//! pipeline is reported once, and ends the run.

use crate::error::{Error, Kind};
use crate::record::misfit::Misfit;
use crate::record::reject::Reject;

/// The number of misfits that ends the run, if no record fits.
const ENOUGH: u64 = 100;
/// How many characters of a line a message shows.
const SHOWN: usize = 40;

/// What the first records say about the input.
#[derive(Default)]
pub struct FirstRecords {
    is_fit: bool,
    misfits: u64,
    /// The first misfit, and its message.
    first: Option<(Misfit, String)>,
}

impl FirstRecords {
    /// Notes that a record was what the stage reads, whatever became of it.
    pub fn fit(&mut self) {
        // Once the run is to end, records that were in flight do not change that.
        self.is_fit |= !self.is_unfit();
    }

    /// Looks at a reject; returns the message of a misfit, which is empty if an earlier one says
    /// the same.
    pub fn reject(&mut self, stage: &str, reject: &Reject) -> Option<&str> {
        let is_said = self.first.is_some() || stage != "bh-fetch";
        if self.is_unfit() {
            return Some("");
        }
        if self.is_fit && is_said {
            return None;
        }
        let misfit = Misfit::recognize(stage, reject);
        // Each object that is not a build costs a download, so it is reported even if others fit.
        let Some(misfit) = misfit.filter(|misfit| !self.is_fit || *misfit == Misfit::NotABuild)
        else {
            self.is_fit = true;
            return None;
        };
        self.misfits += u64::from(!self.is_fit);
        match &self.first {
            Some((first, _)) if misfit.is_like(*first) => Some(""),
            Some(_) => None,
            None => {
                let (_, message) = self.first.insert((misfit, message(misfit, reject)));
                Some(message)
            }
        }
    }

    /// Returns whether the run is to end.
    pub fn is_unfit(&self) -> bool {
        !self.is_fit && self.misfits >= ENOUGH
    }

    /// Returns what is wrong with an input of which no record fits.
    pub fn mistake(&self) -> Option<&str> {
        let first = self.first.as_ref().filter(|_| !self.is_fit);
        first.map(|(_, message)| &**message)
    }

    /// Returns whether the first misfit is reported at once, whatever follows.
    pub fn is_costly(&self) -> bool {
        matches!(self.first, Some((Misfit::NotABuild, _)))
    }

    /// Returns why the run ends.
    pub fn error(&self) -> Option<Error> {
        let message = self.mistake().filter(|_| self.is_unfit())?;
        Some(Error::message(
            Kind::WrongInput,
            format!("the first {ENOUGH} records are not what this program reads: {message}"),
        ))
    }
}

fn message(misfit: Misfit, reject: &Reject) -> String {
    let line = String::from_utf8_lossy(&reject.line);
    let start: String = line.trim().chars().take(SHOWN).collect();
    match (misfit, misfit.mistake()) {
        (Misfit::NotAnObject(_), Some(mistake)) => {
            let number = reject.number;
            format!("line {number}: not a JSON object: {start:?}; {mistake}")
        }
        (Misfit::NotAnObject(_), None) => format!("{reject}, in {start:?}"),
        (_, Some(mistake)) => format!("{reject}; {mistake}"),
        (_, None) => reject.to_string(),
    }
}
