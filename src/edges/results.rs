//! The results database: what every run found, in one SQLite file.
//!
//! | table | what |
//! |---|---|
//! | `runs` | a run: when it ended, over what, with which programs, and how it ended |
//! | `records` | the record of a package, deflated JSON, once however many runs found it |
//! | `results` | which record each package had in each run |

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use rusqlite::{Connection, Row, TransactionBehavior, params};
use serde::Serialize;

use crate::model::digest::Sha256;
use crate::model::foreign::Foreign;
use crate::model::krate::CrateName;
use crate::stages::decision::DecisionName;
use crate::stages::history::{Found, Run, RunId, Word};
use crate::stages::record::Record;

/// The version of the tables.
const SCHEMA: i64 = 2;

/// How long to wait for another run that is writing.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open database.
#[derive(Debug)]
pub struct Results {
    connection: Connection,
    path: PathBuf,
}

/// Why it can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be made or read.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// SQLite complains.
    #[error("{path}: {error}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: rusqlite::Error,
    },
    /// A newer recrate made it.
    #[error("{0} is of a newer recrate: its tables are of version {1}")]
    Newer(PathBuf, i64),
    /// What is in it can't be read.
    #[error("{0} holds something that can't be read: {1}")]
    Unreadable(PathBuf, String),
}

impl Results {
    /// Opens a database, and makes it where there is none.
    ///
    /// # Errors
    /// Where the file can't be made, or is something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let failed = |error| Error::Database { path: path.to_owned(), error };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        // A run that the machine lost with its power may be missing; what is there is whole.
        connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if version > SCHEMA {
            return Err(Error::Newer(path.to_owned(), version));
        }
        // The database may be somebody else's: what is no table can take any time and any memory.
        let no_tables = "SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')";
        let others: i64 = connection.query_row(no_tables, [], |row| row.get(0)).map_err(failed)?;
        if others > 0 {
            return Err(Error::Unreadable(path.to_owned(), "it has more than tables".to_owned()));
        }
        // Nobody wrote down whose word the first runs went by.
        let word = "ALTER TABLE runs ADD COLUMN word TEXT NOT NULL DEFAULT 'project';";
        let upgrade = if version == 1 { word } else { "" };
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 {upgrade}
                 CREATE TABLE IF NOT EXISTS runs (
                     id INTEGER PRIMARY KEY, finished TEXT NOT NULL, recrate TEXT NOT NULL, programs TEXT NOT NULL,
                     subject TEXT NOT NULL, plan TEXT NOT NULL, outcome TEXT NOT NULL, word TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS records (hash BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
                 CREATE TABLE IF NOT EXISTS results (
                     run INTEGER NOT NULL REFERENCES runs (id), job TEXT NOT NULL, name TEXT NOT NULL,
                     decision TEXT NOT NULL, hash BLOB NOT NULL REFERENCES records (hash),
                     PRIMARY KEY (run, job)) WITHOUT ROWID;
                 CREATE INDEX IF NOT EXISTS results_by_name ON results (name, job, run);
                 PRAGMA user_version = {SCHEMA};
                 COMMIT;"
            ))
            .map_err(failed)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Adds a run with what it found.
    ///
    /// # Errors
    /// Where it can't be written; nothing of it is there then.
    pub fn add(&mut self, run: &NewRun<'_>, found: &[(&Record, DecisionName)]) -> Result<RunId, Error> {
        let packed = found.iter().map(|(record, decision)| Ok((record, decision, pack(record)?)));
        let packed: Vec<_> = packed.collect::<Result<_, Error>>()?;
        let path = self.path.clone();
        let write = |connection: &mut Connection| -> rusqlite::Result<i64> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO runs (finished, recrate, programs, subject, plan, outcome, word) VALUES (?, ?, ?, ?, ?, ?, ?)",
                params![
                    run.finished.to_string(),
                    run.recrate,
                    run.programs.to_string(),
                    run.subject.raw(),
                    run.plan.to_string(),
                    run.outcome,
                    name_of(run.word)
                ],
            )?;
            let id = transaction.last_insert_rowid();
            {
                let mut record_in =
                    transaction.prepare("INSERT OR IGNORE INTO records (hash, record) VALUES (?, ?)")?;
                let mut result_in = transaction
                    .prepare("INSERT INTO results (run, job, name, decision, hash) VALUES (?, ?, ?, ?, ?)")?;
                for (record, decision, (hash, bytes)) in &packed {
                    record_in.execute(params![hash, bytes])?;
                    let key = &record.key;
                    let decision = name_of(**decision);
                    result_in.execute(params![id, key.job(), key.name.as_str(), decision, hash])?;
                }
            }
            transaction.commit()?;
            Ok(id)
        };
        write(&mut self.connection).map(RunId).map_err(|error| Error::Database { path, error })
    }

    /// The runs, the oldest first.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn runs(&self) -> Result<Vec<Run>, Error> {
        let read = || -> rusqlite::Result<Vec<RawRun>> {
            let mut query = self.connection.prepare(&format!("SELECT {RUN} FROM runs ORDER BY id"))?;
            query.query_map([], |row| RawRun::read(row, 0))?.collect()
        };
        read().map_err(|error| self.failed(error))?.into_iter().map(|raw| self.run(raw)).collect()
    }

    /// What a run found, by package; none where there is no such run.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn of_run(&self, id: RunId) -> Result<Vec<Found>, Error> {
        self.found("results.run = ? ORDER BY results.job", params![id.0])
    }

    /// What all runs found of the versions of a crate, by package, the oldest first.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn history(&self, name: &CrateName) -> Result<Vec<Found>, Error> {
        self.found("results.name = ? ORDER BY results.job, results.run", params![name.as_str()])
    }

    /// What all runs found, by package, the oldest first.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn all(&self) -> Result<Vec<Found>, Error> {
        self.found("1 ORDER BY results.job, results.run", params![])
    }

    fn found(&self, which: &str, parameters: impl rusqlite::Params) -> Result<Vec<Found>, Error> {
        let read = || -> rusqlite::Result<Vec<(RawRun, String, [u8; 32])>> {
            let mut query = self.connection.prepare(&format!(
                "SELECT decision, hash, {RUN} FROM results JOIN runs ON runs.id = results.run WHERE {which}"
            ))?;
            query.query_map(parameters, |row| Ok((RawRun::read(row, 2)?, row.get(0)?, row.get(1)?)))?.collect()
        };
        let rows = read().map_err(|error| self.failed(error))?;
        // Most runs find what the one before has found.
        let mut records: HashMap<[u8; 32], Arc<Record>> = HashMap::new();
        rows.into_iter()
            .map(|(run, decision, hash)| {
                let record = match records.entry(hash) {
                    Entry::Occupied(known) => Arc::clone(known.get()),
                    Entry::Vacant(vacant) => Arc::clone(vacant.insert(Arc::new(self.record(&hash)?))),
                };
                let decision = serde_json::from_value(decision.into()).map_err(|error| self.unreadable(error))?;
                Ok(Found { run: self.run(run)?, record, decision })
            })
            .collect()
    }

    fn record(&self, hash: &[u8; 32]) -> Result<Record, Error> {
        let read = || -> rusqlite::Result<Vec<u8>> {
            let mut query = self.connection.prepare("SELECT record FROM records WHERE hash = ?")?;
            query.query_row(params![hash], |row| row.get(0))
        };
        let packed = read().map_err(|error| self.failed(error))?;
        unpack(&packed, hash).map_err(|error| self.unreadable(error))
    }

    fn run(&self, raw: RawRun) -> Result<Run, Error> {
        let RawRun { id, finished, recrate, programs, subject, plan, outcome, word } = raw;
        Ok(Run {
            id: RunId(id),
            finished: finished.parse().map_err(|error| self.unreadable(error))?,
            recrate: recrate.into(),
            programs: programs.parse().map_err(|error| self.unreadable(error))?,
            subject: subject.into(),
            plan: plan.parse().map_err(|error| self.unreadable(error))?,
            outcome: outcome.into(),
            word: serde_json::from_value(word.into()).map_err(|error| self.unreadable(error))?,
        })
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        Error::Database { path: self.path.clone(), error }
    }

    fn unreadable(&self, error: impl std::fmt::Display) -> Error {
        Error::Unreadable(self.path.clone(), error.to_string())
    }
}

/// A run that has just ended.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// When.
    pub finished: Timestamp,
    /// The version of recrate.
    pub recrate: &'a str,
    /// A hash of recrate's programs.
    pub programs: Sha256,
    /// The lock file or the crates, as the user named them.
    pub subject: Foreign,
    /// The hash of its plan.
    pub plan: Sha256,
    /// How it ended, in a word.
    pub outcome: &'a str,
    /// By whose word.
    pub word: Word,
}

/// A run's columns.
const RUN: &str = "id, finished, recrate, programs, subject, plan, outcome, word";

/// They as they are.
struct RawRun {
    id: i64,
    finished: String,
    recrate: String,
    programs: String,
    subject: String,
    plan: String,
    outcome: String,
    word: String,
}

impl RawRun {
    fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(first)?,
            finished: row.get(first + 1)?,
            recrate: row.get(first + 2)?,
            programs: row.get(first + 3)?,
            subject: row.get(first + 4)?,
            plan: row.get(first + 5)?,
            outcome: row.get(first + 6)?,
            word: row.get(first + 7)?,
        })
    }
}

/// A word as in reports.
fn name_of(word: impl Serialize) -> String {
    let json = serde_json::to_value(word).ok();
    json.and_then(|json| json.as_str().map(str::to_owned)).unwrap_or_default()
}

/// How large a record may be when it is unpacked, in bytes: the database may be somebody else's.
const RECORD_LIMIT: u64 = 8 << 20;

/// A record as it is kept, with its hash.
fn pack(record: &Record) -> Result<([u8; 32], Vec<u8>), Error> {
    let json = serde_json::to_vec(record).map_err(std::io::Error::other)?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&json)?;
    Ok((Sha256::of(&json).0, encoder.finish()?))
}

fn unpack(packed: &[u8], hash: &[u8; 32]) -> Result<Record, Error> {
    let mut json = Vec::new();
    DeflateDecoder::new(packed).take(RECORD_LIMIT).read_to_end(&mut json)?;
    if Sha256::of(&json).0 != *hash {
        return Err(Error::File(std::io::Error::other("a record is not what its hash says")));
    }
    serde_json::from_slice(&json).map_err(|error| Error::File(std::io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::package::{PackageKey, RegistryName};
    use crate::stages::claims::{Cause, Missing, Obstacle};
    use crate::stages::history::{compare, turns};
    use crate::stages::judge::judge_obstacle;

    fn record(id: &str, missing: Missing) -> Record {
        let cause = Cause::Impossible { missing, reason: "why".into() };
        let findings = judge_obstacle(&Obstacle { cause, origin: None }, false);
        Record::new(PackageKey::new(RegistryName::Default, id.parse().unwrap()), None, findings)
    }

    fn run(subject: &str) -> NewRun<'_> {
        NewRun {
            finished: "2026-11-22T10:00:00Z".parse().unwrap(),
            recrate: "0.1.0",
            programs: Sha256::of(b"programs"),
            subject: subject.into(),
            plan: Sha256::of(b"plan"),
            outcome: "undetermined",
            word: Word::User,
        }
    }

    #[test]
    fn runs_are_kept_and_what_is_the_same_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/results.sqlite");
        let mut results = Results::open(&path).unwrap();
        let (a, b) = (record("a@1.0.0", Missing::VcsInfo), record("b@1.0.0", Missing::Commit));
        let undetermined = DecisionName::Undetermined;
        let first = results.add(&run("one"), &[(&a, undetermined), (&b, undetermined)]).unwrap();
        let second = results.add(&run("two"), &[(&a, DecisionName::WaivedUndetermined)]).unwrap();
        drop(results);
        let results = Results::open(&path).unwrap();
        assert_eq!(results.runs().unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [first, second]);
        let (one, two) = (results.of_run(first).unwrap(), results.of_run(second).unwrap());
        assert_eq!([&*one[0].record, &*one[1].record, &*two[0].record], [&a, &b, &a]);
        let kept: i64 = results.connection.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 2);
        let changes: Vec<String> = compare(&one, &two)
            .iter()
            .map(|change| format!("{} {} {:?}", change.key, change.direction(), change.causes()))
            .collect();
        assert_eq!(changes, ["a@1.0.0 other [Policy]", "b@1.0.0 gone []"]);
        let history = results.history(&"a".parse().unwrap()).unwrap();
        assert_eq!((history.len(), turns(&history).len()), (2, 2));
        assert!(results.history(&"c".parse().unwrap()).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_database_or_a_newer_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.sqlite");
        std::fs::write(&path, "no database, but long enough to be looked at: ".repeat(50)).unwrap();
        assert!(matches!(Results::open(&path), Err(Error::Database { .. })));
        std::fs::remove_file(&path).unwrap();
        Results::open(&path).unwrap().connection.execute_batch("PRAGMA user_version = 9").unwrap();
        assert!(matches!(Results::open(&path), Err(Error::Newer(_, 9))));
    }
}
