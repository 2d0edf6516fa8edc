//! How the marks of a stage are treated.

/// When a stage writes marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMarks {
    Always,
    /// Nobody reads them on a terminal.
    OffTerminal,
    Never,
}

/// The place of a stage in its pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It begins runs of its own.
    Source,
    Between,
    /// It stores its records, and writes none.
    Sink,
}

/// The place of a stage, and what its user allows.
#[derive(Debug, Clone, Copy)]
pub struct MarkOptions {
    pub place: Place,
    pub write: WriteMarks,
    /// A filter of the user may drop records before it.
    pub allow_drops: bool,
}
