//! Talking to a git server: what it is asked for, and the packs that it sends.

use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gix::progress::Discard;
use gix::protocol::fetch::{self, Arguments, Negotiate, Response, Shallow, negotiate, refmap};
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::http::{self, reqwest};
use gix::protocol::transport::client::blocking_io::{Transport, connect};
use gix::protocol::transport::{Protocol, Service};

use super::error::is_not_there;
use crate::edges::costs::Meter;
use crate::edges::network::{chain, with_certificates};

/// How this program calls itself.
const AGENT: &str = concat!("recrate/", env!("CARGO_PKG_VERSION"));

/// A server, asked about one repository.
pub struct Server<'a> {
    /// Where what it sends is kept.
    found: &'a gix::Repository,
    address: String,
    transport: Box<dyn Transport + Send>,
    handshake: gix::protocol::Handshake,
    /// Whether it has sent objects.
    has_sent: bool,
}

/// What a server is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// The objects.
    pub wanted: Vec<gix::ObjectId>,
    /// Commits that are here already, with everything that they reach.
    pub had: Vec<gix::ObjectId>,
    /// What is left out of what commits reach. A server that can't leave it out sends it.
    pub without: Option<Without>,
    /// Whether the ancestors of commits are wanted, too.
    pub history: bool,
}

/// What is left out of what commits reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// The content of files.
    Blobs,
    /// That, and trees.
    Trees,
}

impl<'a> Server<'a> {
    /// Connects to a server. `found` takes what it sends.
    ///
    /// # Errors
    /// Where there is none, or no such repository, in words.
    pub fn connect(found: &'a gix::Repository, address: &str) -> Result<Self, String> {
        let options = connect::Options { version: Protocol::V2, ..Default::default() };
        let mut transport = connect::connect(address, options).map_err(|error| chain(&error))?;
        let client =
            reqwest::Options { configure_client: Some(Box::new(|it| Ok(with_certificates(it)))), ..<_>::default() };
        let http = http::Options { backend: Some(Arc::new(Mutex::new(client))), ..<_>::default() };
        transport.configure(&http).map_err(|error| chain(&error))?;
        // A repository that is not for everybody is none; nobody is to be asked for a password.
        let handshake =
            gix::protocol::handshake(&mut transport, Service::UploadPack, |_| Ok(None), Vec::new(), &mut Discard)
                .map_err(|error| chain(&error))?;
        Ok(Self { found, address: address.to_owned(), transport, handshake, has_sent: false })
    }

    /// Whether it gives every object that it has by its id: before version 2 of the protocol, only what a branch or tag is on.
    #[must_use]
    pub fn gives_any_object(&self) -> bool {
        self.handshake.server_protocol_version == Protocol::V2
    }

    /// The branches, tags and so on that refspecs name.
    ///
    /// # Errors
    /// Where it does not tell, in words.
    pub fn refs(&mut self, specs: &[&str]) -> Result<Vec<Ref>, String> {
        let fetch = gix::refspec::parse::Operation::Fetch;
        let specs = specs.iter().filter_map(|spec| Some(gix::refspec::parse((*spec).into(), fetch).ok()?.to_owned()));
        let specs = specs.collect();
        let context = refmap::init::Context { fetch_refspecs: specs, extra_refspecs: Vec::new() };
        let map = self
            .handshake
            .prepare_lsrefs_or_extract_refmap(("agent", Some(AGENT.into())), true, context)
            .and_then(|ask| ask.fetch_blocking(Discard, &mut self.transport, false))
            .map_err(|error| chain(&error))?;
        Ok(map.remote_refs)
    }

    /// Receives objects.
    ///
    /// # Errors
    /// Where it does not send them, in words.
    pub fn receive(&mut self, wish: Wish) -> Result<(), String> {
        if wish.wanted.is_empty() {
            return Ok(());
        }
        // Before version 2 of the protocol a connection is good for one pack.
        if self.has_sent && !self.gives_any_object() {
            *self = Self::connect(self.found, &self.address)?;
        }
        let found = self.found;
        let _alone = alone(found.git_dir()).map_err(|error| error.to_string())?;
        let packs = found.objects.store_ref().path().join("pack");
        let shallow = if wish.history { Shallow::NoChange } else { Shallow::DepthAtRemote(std::num::NonZeroU32::MIN) };
        let options = fetch::Options {
            shallow_file: found.shallow_file().map_err(|error| chain(&error))?,
            shallow: &shallow,
            tags: fetch::Tags::None,
            reject_shallow_remote: false,
        };
        let context = fetch::Context {
            handshake: &mut self.handshake,
            transport: &mut self.transport,
            user_agent: ("agent", Some(AGENT.into())),
            trace_packetlines: false,
        };
        self.has_sent = true;
        gix::protocol::fetch(
            &mut Asking(wish),
            |pack, progress, stop| write_pack(found, &packs, pack, progress, stop),
            Discard,
            &AtomicBool::new(false),
            context,
            options,
        )
        .map_err(|error| chain(&error))?;
        Ok(())
    }
}

/// Asks a repository. Code hosts take its name with and without the suffix; a plain web server knows only one.
///
/// A server that sends something now and then is not silent, and still keeps everybody waiting: past its time it is left alone,
/// with whatever it was asked.
///
/// # Errors
/// What came of asking, or that it took too long.
pub fn by_either_name<T: Send + 'static>(
    address: &str,
    patience: Duration,
    ask: impl Fn(&str) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (done, wait) = channel();
    let address = address.to_owned();
    let meter = Meter::current();
    let work = move || {
        let answer = match ask(&address) {
            Err(reason) if is_not_there(&reason) => ask(&format!("{address}.git")),
            answer => answer,
        };
        // Nobody waits any more where it took too long.
        let _ = done.send(answer);
    };
    std::thread::spawn(move || meter.during(work));
    wait.recv_timeout(patience).unwrap_or_else(|_| Err(format!("the server took more than {} s", patience.as_secs())))
}

/// Has a copy of a repository for itself, until what it gives is dropped: git's library does not wait for others who fetch into it,
/// and one that was killed has left its lock behind.
fn alone(folder: &Path) -> std::io::Result<fs_err::File> {
    let lock = fs_err::OpenOptions::new().append(true).create(true).open(folder.join("recrate.lock"))?;
    lock.file().lock()?;
    match fs_err::remove_file(folder.join("shallow.lock")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(lock),
    }
}

fn write_pack(
    found: &gix::Repository,
    folder: &Path,
    pack: &mut dyn BufRead,
    progress: &mut dyn gix::DynNestedProgress,
    stop: &AtomicBool,
) -> gix::Result<bool> {
    let mut pack = Bounded { from: pack, left: PACK_LIMIT };
    let bases = Some(Box::new(found.objects.clone()));
    let options = gix::odb::pack::bundle::write::Options::default();
    let kind = found.object_hash();
    gix::odb::pack::Bundle::write_to_directory(&mut pack, Some(folder), progress, stop, bases, kind, options)?;
    Ok(true)
}

/// What a server may send at once, in bytes. The whole history of the largest repositories is less, without files.
const PACK_LIMIT: u64 = 4 << 30;

/// Takes so many bytes and no more.
struct Bounded<'a> {
    from: &'a mut dyn BufRead,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(into)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_large)?;
        Meter::received(count);
        Ok(count)
    }
}

impl BufRead for Bounded<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.left == 0 { Err(too_large()) } else { self.from.fill_buf() }
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
        Meter::received(count);
        self.from.consume(count);
    }
}

fn too_large() -> std::io::Error {
    std::io::Error::other(format!("the server sent more than {PACK_LIMIT} bytes"))
}

/// Asks for what is wished, in one round.
struct Asking(Wish);

impl Negotiate for Asking {
    fn mark_complete_and_common_ref(&mut self) -> gix::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate { remote_ref_target_known: Vec::new() })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _known: &[bool]) -> bool {
        if let Some(without) = self.0.without.filter(|_| arguments.can_use_filter()) {
            arguments.filter(match without {
                Without::Blobs => "blob:none",
                Without::Trees => "tree:0",
            });
        }
        for id in &self.0.wanted {
            arguments.want(id);
        }
        true
    }

    fn one_round(
        &mut self,
        state: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        _previous: Option<&Response>,
    ) -> gix::Result<(negotiate::Round, bool)> {
        for id in &self.0.had {
            arguments.have(id);
        }
        let round = negotiate::Round {
            haves_sent: self.0.had.len(),
            in_vain: 0,
            haves_to_send: state.haves_to_send,
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}
