//! Records out, in the order of the lines.

use crossbeam_channel::Receiver;

use super::read::Pending;
use crate::error::Result;
use crate::ndjson::Seam;
use crate::record::reject::Reject;
use crate::remote::archive::{Desk, Outcome, Ticket};
use crate::tally::{Tally, Waiting};

pub struct Sink<'a> {
    pub desk: &'a Desk,
    pub tally: &'a Tally,
}

impl Sink<'_> {
    pub fn write(&self, pending: &Receiver<Pending>, seam: &mut Seam) -> Result<()> {
        while let Some(next) = seam.receive(pending)? {
            match next {
                Pending::Mark(mark, line) => seam.mark(&mark, &line)?,
                Pending::Dropped(reason, lines) => {
                    self.tally.read(lines);
                    self.tally.dropped(reason, lines);
                }
                Pending::Reject(reject) => {
                    self.tally.read(1);
                    seam.reject(&reject)?;
                }
                Pending::Build {
                    line,
                    number,
                    ticket,
                } => {
                    for outcome in self.answer(ticket, seam)? {
                        self.tally.read(1);
                        self.outcome(outcome, &line, number, seam)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn outcome(&self, outcome: Outcome, line: &[u8], number: u64, seam: &mut Seam) -> Result<()> {
        match outcome {
            Outcome::Record(record) => {
                seam.write(&record)?;
                self.tally.written(1);
            }
            Outcome::Dropped(reason) => self.tally.dropped(reason, 1),
            Outcome::Refused(kind, message) => {
                seam.reject(&Reject::new(line, number, kind, message))?;
            }
            Outcome::Failed(message) => {
                seam.reject(&Reject::new(line, number, "failed", message))?;
                seam.keep_open();
            }
        }
        Ok(())
    }

    fn answer(&self, mut ticket: Ticket, seam: &mut Seam) -> Result<Vec<Outcome>> {
        if let Some(answer) = self.desk.ready(&mut ticket) {
            return answer;
        }
        seam.flush()?;
        self.tally.waits(Waiting::Server);
        let answer = self.desk.wait(ticket);
        self.tally.waits(Waiting::Nothing);
        answer
    }
}
