//! When and how a pipeline is struck.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::process::Signal;

use super::scene::{Scene, covered, marked};
use crate::harness::backfill::STAGES;
use crate::harness::hold::Hold;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::{Run, Started, start_pipeline_through, wait_for};

const LIST: usize = 0;
const FETCH: usize = 2;
const FETCHED: &str = "buildhub.json?x-id=GetObject";
pub const LOAD: usize = 4;

/// The kinds of moments, as often as they are drawn.
pub const KINDS: [Kind; 16] = [
    Kind::Start,
    Kind::Bytes,
    Kind::Bytes,
    Kind::Line,
    Kind::PageAsked,
    Kind::PageAnswered,
    Kind::Fetch,
    Kind::Commit,
    Kind::CommitAnswered,
    Kind::Committed,
    Kind::Bulk,
    Kind::BulkAnswered,
    Kind::Indexed,
    Kind::SaveListed,
    Kind::SaveLoaded,
    Kind::Syscall,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Right after the start, with a new database and a new index.
    Start,
    /// After a number of bytes between two programs.
    Bytes,
    /// In the middle of a line, when everything before it is stored.
    Line,
    /// Before the server gets the request for a page, and before the client
    /// gets the response.
    PageAsked,
    PageAnswered,
    Fetch,
    /// Before a commit, before its response, and after it.
    Commit,
    CommitAnswered,
    Committed,
    /// The same for a bulk request.
    Bulk,
    BulkAnswered,
    Indexed,
    /// While a state file is synced or renamed.
    SaveListed,
    SaveLoaded,
    /// Before a write or a sync of any program.
    Syscall,
}

/// The totals of an undisturbed run.
#[derive(Debug, Clone)]
pub struct Totals {
    /// Bytes that each program writes.
    pub bytes: [usize; 4],
    pub pages: usize,
    pub builds: usize,
    pub commits: usize,
    pub bulks: usize,
}

#[derive(Debug)]
pub struct Strike {
    moment: Moment,
    /// Which program; `None` for all of them. When a strike takes place and
    /// its victim has ended, the next program that runs is struck.
    victim: Option<usize>,
    pub signal: Signal,
}

#[derive(Debug)]
enum Moment {
    Start,
    Relay {
        behind: usize,
        bytes: usize,
        settled: bool,
    },
    Trap {
        server: Server,
        trap: Trap,
    },
    Syscall {
        stage: usize,
        call: &'static str,
        nth: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Server {
    S3,
    Database,
    Index,
}

impl Strike {
    /// Draws a strike. Each of the `earlier` draws, whose moments did not come,
    /// divides the range to draw from by four, down to the first moment of the
    /// kind, which comes in every run.
    pub fn draw(kind: Kind, totals: &Totals, earlier: u32, random: &mut fastrand::Rng) -> Self {
        let moment = Moment::draw(kind, totals, earlier, random);
        let natural = moment.natural();
        let signals = [Signal::KILL, Signal::KILL, Signal::TERM, Signal::INT];
        let victim = match (natural, random.u8(0..10)) {
            (_, 0 | 1) => None,
            (Some(stage), 2..8) => Some(stage),
            // A system call kills the program that makes it.
            (Some(stage), _) if matches!(moment, Moment::Syscall { .. }) => Some(stage),
            _ => Some(random.usize(0..STAGES.len())),
        };
        Self {
            moment,
            victim,
            signal: signals[random.usize(0..signals.len())],
        }
    }

    pub fn hits(&self, at: usize) -> bool {
        self.victim.is_none_or(|victim| victim == at)
    }

    /// Runs the pipeline and strikes at the moment. Returns `None` if the moment
    /// did not come, or if no program died by the strike.
    pub fn run(&mut self, scene: &Scene) -> Option<Vec<Run>> {
        let mut tools = scene.all.tools();
        let mut relay = None;
        let mut hold: Option<(Arc<Hold>, usize)> = None;
        match &self.moment {
            Moment::Start => {}
            Moment::Relay { behind, bytes, .. } => relay = Some((*behind, *bytes)),
            Moment::Trap { server, trap } => {
                hold = Some((server.proxy(scene).set(*trap), self.moment.natural()?));
            }
            Moment::Syscall { stage, call, nth } => {
                let signal = self.signal.as_raw();
                let inject = format!("inject={call}:signal={signal}:when={nth}");
                let trace = format!("trace={call}");
                let strace = ["strace", "-fqq", "-o/dev/null", "-e", &trace, "-e", &inject];
                let tool = tools.remove(*stage).under(strace);
                tools.insert(*stage, tool);
            }
        }
        let (mut programs, relay) = start_pipeline_through(tools, relay);
        if let (Some(relay), Moment::Relay { behind, .. }) = (&relay, &self.moment) {
            hold = Some((Arc::clone(&relay.hold), *behind));
        }
        let mut came = false;
        wait_for("the moment to strike", || {
            scene.confirmed();
            came = match &self.moment {
                Moment::Start => true,
                Moment::Syscall { stage, .. } => self.killed(&mut programs[*stage]),
                Moment::Relay { settled, .. } => {
                    let relay = relay.as_ref().unwrap();
                    let stored = || {
                        let passed = covered(&marked(&relay.passed()));
                        passed.is_subset(&scene.confirmed().0)
                    };
                    relay.hold.is_held() && (!settled || stored())
                }
                Moment::Trap { .. } => hold.as_ref().unwrap().0.is_held(),
            };
            came || programs.iter_mut().all(has_ended)
        });
        if came {
            self.strike(&mut programs);
        }
        if let Some((hold, client)) = hold {
            // A killed client has not sent the request, or never reads the answer.
            let killed = self.signal == Signal::KILL && self.killed(&mut programs[client]);
            hold.release(!killed);
        }
        let runs: Vec<_> = programs.into_iter().map(Started::finish).collect();
        let struck = came && runs.iter().any(|run| self.is_cause_of(run.status));
        struck.then_some(runs)
    }

    fn is_cause_of(&self, status: ExitStatus) -> bool {
        status.signal() == Some(self.signal.as_raw())
    }

    /// Whether the strike has killed `program`.
    fn killed(&self, program: &mut Started) -> bool {
        let status = program.child.try_wait().unwrap();
        status.is_some_and(|status| self.is_cause_of(status))
    }

    fn strike(&mut self, programs: &mut [Started]) {
        let inside = matches!(self.moment, Moment::Syscall { .. });
        if let (Some(victim), false) = (&mut self.victim, inside) {
            let mut rest = *victim..programs.len();
            *victim = rest
                .find(|at| !has_ended(&mut programs[*at]))
                .unwrap_or(*victim);
        }
        let mut struck: Vec<_> = programs
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| self.hits(*at))
            .map(|(_, program)| program)
            .collect();
        for program in &mut struck {
            if !has_ended(program) {
                program.signal(self.signal);
            }
        }
        if self.signal == Signal::KILL {
            wait_for("the dead", || {
                struck.iter_mut().all(|program| has_ended(program))
            });
        }
    }
}

fn has_ended(program: &mut Started) -> bool {
    program.child.try_wait().unwrap().is_some()
}

impl Server {
    fn proxy(self, scene: &Scene) -> &Proxy {
        match self {
            Self::S3 => &scene.s3,
            Self::Database => scene.database.as_ref().unwrap(),
            Self::Index => &scene.index,
        }
    }
}

impl Moment {
    fn draw(kind: Kind, totals: &Totals, earlier: u32, random: &mut fastrand::Rng) -> Self {
        let within = |most: usize| 1..=(most / 4_usize.pow(earlier)).max(1);
        let mut trap = |server, text, most, point| Self::Trap {
            server,
            trap: Trap {
                text,
                nth: random.usize(within(most)),
                point,
            },
        };
        let (page, commit, bulk) = ("list-type=2", "COMMIT\0", "/_bulk");
        let (pages, commits, bulks) = (totals.pages, totals.commits, totals.bulks);
        match kind {
            Kind::Start => Self::Start,
            Kind::Bytes | Kind::Line => {
                let behind = random.usize(0..4);
                Self::Relay {
                    behind,
                    bytes: random.usize(within(totals.bytes[behind] - 1)),
                    settled: kind == Kind::Line,
                }
            }
            Kind::PageAsked => trap(Server::S3, page, pages, Point::Asked),
            Kind::PageAnswered => trap(Server::S3, page, pages, Point::Answered),
            Kind::Fetch => trap(Server::S3, FETCHED, totals.builds, Point::Asked),
            Kind::Commit => trap(Server::Database, commit, commits, Point::Asked),
            Kind::CommitAnswered => trap(Server::Database, commit, commits, Point::Answered),
            Kind::Committed => trap(Server::Database, commit, commits, Point::Heard),
            Kind::Bulk => trap(Server::Index, bulk, bulks, Point::Asked),
            Kind::BulkAnswered => trap(Server::Index, bulk, bulks, Point::Answered),
            Kind::Indexed => trap(Server::Index, bulk, bulks, Point::Heard),
            Kind::SaveListed | Kind::SaveLoaded => {
                // Each save syncs twice and renames once.
                let (stage, saves) = match kind {
                    Kind::SaveListed => (LIST, pages),
                    _ => (LOAD, pages / 2),
                };
                let (call, most) = match random.u8(0..3) {
                    0 => ("rename", saves),
                    _ => ("fsync", 2 * saves),
                };
                let nth = random.usize(within(most));
                Self::Syscall { stage, call, nth }
            }
            Kind::Syscall => {
                // Only programs that keep rejects sync data.
                let (call, stages, most) = if random.bool() {
                    ("write", LIST..=LOAD, 12)
                } else {
                    ("fdatasync", FETCH..=LOAD, 2)
                };
                let (stage, nth) = (random.usize(stages), random.usize(within(most)));
                Self::Syscall { stage, call, nth }
            }
        }
    }

    /// Returns the program at which the moment takes place.
    fn natural(&self) -> Option<usize> {
        match self {
            Self::Start => None,
            // The writer may have ended when everything is stored.
            Self::Relay {
                behind, settled, ..
            } => Some(behind + usize::from(*settled)),
            Self::Trap { server, trap } => Some(match server {
                Server::S3 if trap.text == FETCHED => FETCH,
                Server::S3 => LIST,
                Server::Database | Server::Index => LOAD,
            }),
            Self::Syscall { stage, .. } => Some(*stage),
        }
    }
}

impl Kind {
    pub fn needs_postgres(self) -> bool {
        matches!(self, Self::Commit | Self::CommitAnswered | Self::Committed)
    }
}
