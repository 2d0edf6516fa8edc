//! How the block looks and how it is drawn. Indicatif lays
//! the rows out in memory; a frame then draws them in one write, with
//! the cursor on the line below: an echoed `^C`, the shell's prompt after
//! a kill, or another program's message starts on its own line.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use indicatif::{
    HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
    TermLike,
};
use parking_lot::Mutex;
use rustix::process::getpgrp;
use rustix::stdio::stderr;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

use super::row::Row;

const TEMPLATE: &str = "{prefix:<12} {human_pos:>13} in {rate:>9}/s  {elapsed_precise}  {wide_msg}";

/// The widest row; a narrower terminal shows its beginning.
const WIDTH: u16 = 80;

/// The rows as indicatif's bars.
pub(super) struct Bars {
    text: TextTarget,
    multi: MultiProgress,
    rows: Vec<Bar>,
}

struct Bar {
    pid: u32,
    rate: Arc<AtomicU64>,
    drawn: ProgressBar,
}

impl Bars {
    pub(super) fn new() -> Self {
        let text = TextTarget::default();
        let target = ProgressDrawTarget::term_like(Box::new(text.clone()));
        Self {
            text,
            multi: MultiProgress::with_draw_target(target),
            rows: Vec::new(),
        }
    }

    /// Returns the lines of the block, cut to the width of the terminal.
    pub(super) fn render(&mut self, rows: &[Row]) -> String {
        let multi = &self.multi;
        self.rows.retain(|bar| {
            let stays = rows.iter().any(|row| row.pid == bar.pid);
            if !stays {
                multi.remove(&bar.drawn);
            }
            stays
        });
        // Rows are sorted, so the remaining bars are in order.
        for (place, row) in rows.iter().enumerate() {
            if self.rows.get(place).is_none_or(|bar| bar.pid != row.pid) {
                self.rows.insert(place, Bar::insert(multi, place, row));
            }
        }
        for (bar, row) in self.rows.iter().zip(rows) {
            bar.show(row);
        }
        let (width, height) = window();
        // The last column stays free, and the line below the block.
        let width = usize::from(width).saturating_sub(1);
        let height = usize::from(height).saturating_sub(1);
        let lines = self.text.take();
        let lines = lines.iter().take(height).map(|line| {
            let cut: String = line.chars().take(width).collect();
            cut.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Bar {
    fn insert(multi: &MultiProgress, place: usize, row: &Row) -> Self {
        let rate = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&rate);
        let style = ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("rate", move |_: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{}", HumanCount(shown.load(Relaxed)));
            });
        let bar = ProgressBar::no_length()
            .with_style(style)
            .with_prefix(row.program.clone());
        Self {
            pid: row.pid,
            rate,
            drawn: multi.insert(place, bar),
        }
    }

    fn show(&self, row: &Row) {
        self.rate.store(row.rate(), Relaxed);
        self.drawn.set_elapsed(Duration::from_millis(row.age_ms));
        self.drawn.update(|state| state.set_pos(row.records));
        self.drawn.set_message(row.waiting.clone());
    }
}

/// Returns the bytes that erase the block `before` and draw `message`
/// and the block `after`.
pub(super) fn frame(before: &str, message: &str, after: &str) -> String {
    frame_at(usize::from(window().0), before, message, after)
}

fn frame_at(width: usize, before: &str, message: &str, after: &str) -> String {
    // A terminal that has become narrower has wrapped the rows.
    let height = |line: &str| line.chars().count().div_ceil(width).max(1);
    let up: usize = before.lines().map(height).sum();
    let (start, wipe) = match up {
        0 => (String::new(), ""),
        _ => (format!("\r\x1b[{up}A"), "\x1b[J"),
    };
    let above = if message.is_empty() { "" } else { wipe };
    let rows: String = after
        .lines()
        .flat_map(|line| [line, "\x1b[K\r\n"])
        .collect();
    start + above + message + &rows + wipe
}

/// Returns whether this job is in the foreground; otherwise the lines
/// at the cursor belong to the shell.
pub(super) fn in_front() -> bool {
    tcgetpgrp(stderr()).map_or(true, |front| front == getpgrp())
}

/// Returns the number of columns and lines.
fn window() -> (u16, u16) {
    match tcgetwinsize(stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

/// Where indicatif draws: every text that it writes is a row, and the frame
/// moves the cursor.
#[derive(Debug, Clone, Default)]
struct TextTarget(Arc<Mutex<Rendered>>);

#[derive(Debug, Default)]
struct Rendered {
    rows: Vec<String>,
    whole: bool,
}

impl TextTarget {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().rows)
    }
}

impl TermLike for TextTarget {
    fn width(&self) -> u16 {
        WIDTH
    }

    fn height(&self) -> u16 {
        u16::MAX
    }

    fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        let mut rendered = self.0.lock();
        if std::mem::take(&mut rendered.whole) {
            rendered.rows.clear();
        }
        // Indicatif pads each row with spaces, in a separate write.
        if !text.trim_end().is_empty() {
            rendered.rows.push(text.to_owned());
        }
        Ok(())
    }

    fn clear_line(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> std::io::Result<()> {
        self.0.lock().whole = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_a_block_is_written_unchanged() {
        assert_eq!(frame_at(80, "", "a: b\n", ""), "a: b\n");
    }

    #[test]
    fn a_message_is_written_above_the_block() {
        assert_eq!(
            frame_at(80, "x\ny", "a: b\n", "x\ny"),
            "\r\x1b[2A\x1b[Ja: b\nx\x1b[K\r\ny\x1b[K\r\n\x1b[J",
        );
    }

    #[test]
    fn wrapped_rows_count_as_several_lines() {
        assert_eq!(
            frame_at(10, "123456789012345\n1", "", ""),
            "\r\x1b[3A\x1b[J"
        );
    }

    #[test]
    fn rows_are_drawn_in_pipeline_order() {
        let row = |program, pid| {
            let mut row = Row::new(program);
            row.pid = pid;
            row
        };
        let mut block = Bars::new();
        let names = |drawn: &str| -> Vec<String> {
            let first = |line: &str| line.split(' ').next().map(str::to_owned);
            drawn.lines().filter_map(first).collect()
        };
        let all = [row("a", 3), row("b", 2), row("c", 1)];
        assert_eq!(names(&block.render(&all[1..2])), ["b"]);
        assert_eq!(names(&block.render(&all)), ["a", "b", "c"]);
        assert_eq!(
            names(&block.render(&[all[0].clone(), all[2].clone()])),
            ["a", "c"]
        );
        assert_eq!(names(&block.render(&[])), [""; 0]);
    }
}
