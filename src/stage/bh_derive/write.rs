//! Records out, in the order of the lines.

use crossbeam_channel::Receiver;

use super::read::Pending;
use crate::counters::{Counters, Waiting};
use crate::error::Result;
use crate::ndjson::StageOutput;
use crate::record::reject::Reject;
use crate::remote::archive::{Desk, Outcome, Ticket};

pub struct Sink<'a> {
    pub desk: &'a Desk,
    pub counters: &'a Counters,
}

impl Sink<'_> {
    pub fn write(&self, pending: &Receiver<Pending>, output: &mut StageOutput) -> Result<()> {
        while let Some(next) = output.receive(pending)? {
            match next {
                Pending::Mark(mark, line) => output.mark(&mark, &line)?,
                Pending::Dropped(reason, lines) => {
                    self.counters.add_read(lines);
                    self.counters.dropped(reason, lines);
                }
                Pending::Reject(reject) => {
                    self.counters.add_read(1);
                    output.reject(&reject)?;
                }
                Pending::Build {
                    line,
                    number,
                    ticket,
                } => {
                    for outcome in self.answer(ticket, output)? {
                        self.counters.add_read(1);
                        self.outcome(outcome, &line, number, output)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn outcome(
        &self,
        outcome: Outcome,
        line: &[u8],
        number: u64,
        output: &mut StageOutput,
    ) -> Result<()> {
        match outcome {
            Outcome::Record(record) => {
                output.write(&record)?;
                self.counters.add_written(1);
            }
            Outcome::Dropped(reason) => self.counters.dropped(reason, 1),
            Outcome::Refused(kind, message) => {
                output.reject(&Reject::new(line, number, kind, message))?;
            }
            Outcome::Failed(message) => {
                output.reject(&Reject::new(line, number, "failed", message))?;
                output.hold_unit();
            }
        }
        Ok(())
    }

    fn answer(&self, mut ticket: Ticket, output: &mut StageOutput) -> Result<Vec<Outcome>> {
        if let Some(answer) = self.desk.ready(&mut ticket) {
            return answer;
        }
        output.flush()?;
        self.counters.waits(Waiting::Server);
        let answer = self.desk.wait(ticket);
        self.counters.waits(Waiting::Nothing);
        answer
    }
}
