//! The terminal: the only module that writes to it. Results go to stdout, progress to stderr.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use super::costs::{Costs, Phase};
use crate::model::foreign::Foreign;
use crate::stages::record::Record;

/// Shows what goes on: a live line on a terminal, plain lines elsewhere.
#[derive(Debug)]
pub struct Console {
    bar: Option<ProgressBar>,
    detail: Detail,
    total: usize,
    done: AtomicUsize,
    /// How many packages are in each phase.
    doing: [AtomicUsize; 3],
    /// How many bytes servers sent for packages that are done.
    received: AtomicU64,
    begun: Instant,
}

/// How much is shown of what goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Quiet,
    /// Which packages are done.
    Usual,
    /// What each took, too.
    Verbose,
}

impl Detail {
    /// As little, or as much, as is wished.
    #[must_use]
    pub fn of(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Verbose,
            (false, false) => Self::Usual,
        }
    }
}

/// Shows what goes on for one package.
#[derive(Debug)]
pub struct Watch<'a> {
    console: &'a Console,
    costs: Costs,
}

impl Watch<'_> {
    /// Counts the package as being in a phase while something is done for it.
    pub fn during<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        self.console.during(phase, || self.costs.during(phase, work))
    }

    /// The package is done.
    pub fn done(&self, record: &Record) {
        self.console.received.fetch_add(self.costs.bytes(), Ordering::Relaxed);
        self.console.write_done(record, Some(&self.costs));
    }
}

impl Console {
    /// A console for work on `total` crates.
    #[must_use]
    pub fn new(total: usize, detail: Detail) -> Self {
        let live = std::io::stderr().is_terminal() && detail != Detail::Quiet;
        let bar = live.then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = ProgressStyle::with_template("{spinner} [{pos}/{len}] {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let (done, doing, received) = (AtomicUsize::new(0), Default::default(), AtomicU64::new(0));
        Self { bar, detail, total, done, doing, received, begun: Instant::now() }
    }

    /// Shows what goes on for one package.
    #[must_use]
    pub fn watch(&self) -> Watch<'_> {
        Watch { console: self, costs: Costs::default() }
    }

    fn during<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let count = &self.doing[phase as usize];
        count.fetch_add(1, Ordering::Relaxed);
        self.show_counts();
        let done = work();
        count.fetch_sub(1, Ordering::Relaxed);
        self.show_counts();
        done
    }

    fn show_counts(&self) {
        let Some(bar) = &self.bar else { return };
        let [fetching, building, judging] = [0, 1, 2].map(|at: usize| self.doing[at].load(Ordering::Relaxed));
        let done = self.done.load(Ordering::Relaxed);
        let rate = pace(done, self.total, self.begun.elapsed());
        bar.set_message(format!("{fetching} fetched, {building} built, {judging} judged{rate}"));
    }

    /// A stage of the work begins.
    pub fn stage(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.line(text),
        }
    }

    /// A build begins: shown live only, there are many.
    pub fn build_started(&self, drv: &str) {
        if let Some(bar) = &self.bar {
            let name = drv.rsplit('/').next().unwrap_or(drv);
            bar.set_message(name.get(33..).unwrap_or(name).trim_end_matches(".drv").to_owned());
        }
    }

    /// A package is done for which nothing had to be done.
    pub fn package_done(&self, record: &Record) {
        self.write_done(record, None);
    }

    fn write_done(&self, record: &Record, costs: Option<&Costs>) {
        let done = 1 + self.done.fetch_add(1, Ordering::Relaxed);
        let costs =
            costs.filter(|_| self.detail == Detail::Verbose).map(|costs| format!("  {costs}")).unwrap_or_default();
        let text = format!("{:>23}  {}", record.verdict(), record.key);
        match &self.bar {
            Some(bar) => {
                bar.println(format!("{text}{costs}"));
                bar.set_position(done as u64);
            }
            None => self.line(&format!("{text}  ({done}/{}){costs}", self.total)),
        }
    }

    /// Something the user should know.
    pub fn warn(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("warning: {}", Foreign::from(text))),
            None => eprintln!("warning: {}", Foreign::from(text)),
        }
    }

    /// Takes the live line away; says what it all took where that is wished.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.detail == Detail::Verbose {
            let received = DecimalBytes(self.received.load(Ordering::Relaxed));
            self.line(&format!("in all: {:.1} s, {received} received", self.begun.elapsed().as_secs_f64()));
        }
    }

    fn line(&self, text: &str) {
        if self.detail != Detail::Quiet {
            eprintln!("{text}");
        }
    }
}

/// How fast it goes, and how long it will go on, once that can be told.
fn pace(done: usize, total: usize, elapsed: Duration) -> String {
    if done < 10 || elapsed < Duration::from_secs(2) {
        return String::new();
    }
    let rate = done as f64 / elapsed.as_secs_f64();
    let left = (total.saturating_sub(done) as f64 / rate).ceil() as u64;
    let left = if left < 100 { format!("{left} s") } else { format!("{} min", left.div_ceil(60)) };
    format!("; {rate:.1}/s, about {left} left")
}

/// Prints a result to stdout. A reader that has seen enough (`| head`) is no failure.
///
/// # Errors
/// Where stdout can't be written for another reason, like a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Whether results are to be coloured: on a terminal, unless `NO_COLOR` or a like variable says otherwise.
#[must_use]
pub fn colours_on_stdout() -> bool {
    anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

/// The same of messages.
#[must_use]
pub fn colours_on_stderr() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_given_once_there_is_something_to_go_by() {
        assert_eq!(pace(9, 500, Duration::from_secs(60)), "");
        assert_eq!(pace(500, 500, Duration::from_secs(1)), "");
        assert_eq!(pace(50, 100, Duration::from_secs(10)), "; 5.0/s, about 10 s left");
        assert_eq!(pace(50, 5000, Duration::from_secs(10)), "; 5.0/s, about 17 min left");
    }
}
