//! A crate's bytes, taken apart so far that every one of them can be changed, and put together again.

use recrate::stages::deflate::Compressor;

use super::workshop;

/// A crate file.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The gzip header.
    pub gzip: Vec<u8>,
    /// The entries, in order.
    pub entries: Vec<RawEntry>,
    /// What follows the last entry: two empty blocks.
    pub end: Vec<u8>,
    /// What follows the gzip stream: nothing.
    pub after: Vec<u8>,
}

/// An entry of the tar.
#[derive(Debug, Clone)]
pub struct RawEntry {
    /// Blocks before its own header.
    pub before: Vec<u8>,
    /// Its header; size and checksum are put right unless `as_it_is`.
    pub header: [u8; 512],
    /// Whether size and checksum are those that stand in the header.
    pub as_it_is: bool,
    /// Its content.
    pub body: Vec<u8>,
    /// What pads the content to full blocks, repeated.
    pub padding: u8,
}

impl Raw {
    /// Takes a crate apart that cargo 1.46 or a newer one made: short paths, one gzip stream.
    pub fn read(bytes: &[u8]) -> Self {
        let start = 10 + bytes[10..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut tar).unwrap();
        let (mut at, mut entries) = (0, Vec::new());
        while tar[at] != 0 {
            let header: [u8; 512] = tar[at..at + 512].try_into().unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&header[124..135]).unwrap(), 8).unwrap();
            let body = tar[at + 512..at + 512 + size].to_vec();
            at += 512 + size.next_multiple_of(512);
            entries.push(RawEntry { before: Vec::new(), header, as_it_is: false, body, padding: 0 });
        }
        Self { gzip: bytes[..start].to_vec(), entries, end: tar[at..].to_vec(), after: Vec::new() }
    }

    /// The entry of a path inside the crate's folder.
    pub fn entry(&mut self, path: &str) -> &mut RawEntry {
        let at = self.entries.iter().position(|entry| entry.path() == path);
        &mut self.entries[at.unwrap_or_else(|| panic!("no {path}"))]
    }

    /// Changes a file's text.
    pub fn edit(&mut self, path: &str, from: &str, to: &str) {
        let entry = self.entry(path);
        let text = String::from_utf8(entry.body.clone()).unwrap();
        assert!(text.contains(from), "{path} has no {from}:\n{text}");
        entry.body = text.replacen(from, to, 1).into_bytes();
    }

    /// Adds to the end of a file.
    pub fn append(&mut self, path: &str, text: &str) {
        self.entry(path).body.extend_from_slice(text.as_bytes());
    }

    /// Adds a file like `src/lib.rs`, where cargo would put it.
    pub fn add(&mut self, path: &str, body: &[u8]) {
        let mut entry = self.entry("src/lib.rs").clone();
        entry.name(&format!("bait-1.0.0/{path}"));
        entry.body = body.to_vec();
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let at = self.entries.iter().position(|other| parts(&other.path()) > parts(path));
        self.entries.insert(at.unwrap_or(self.entries.len()), entry);
    }

    /// Puts it together.
    pub fn write(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        for entry in &self.entries {
            tar.extend_from_slice(&entry.before);
            let mut header = entry.header;
            if !entry.as_it_is {
                header[124..136].copy_from_slice(format!("{:011o}\0", entry.body.len()).as_bytes());
                seal(&mut header);
            }
            tar.extend_from_slice(&header);
            tar.extend_from_slice(&entry.body);
            tar.resize(tar.len().next_multiple_of(512), entry.padding);
        }
        tar.extend_from_slice(&self.end);
        [&self.gzip[..], &stream(&tar), &self.after].concat()
    }
}

impl RawEntry {
    /// The path inside the crate's folder.
    pub fn path(&self) -> String {
        let name: Vec<u8> = self.header[..100].iter().copied().take_while(|byte| *byte != 0).collect();
        String::from_utf8(name).unwrap().split_once('/').map_or(String::new(), |(_, path)| path.to_owned())
    }

    /// Gives it another name, the crate's folder included.
    pub fn name(&mut self, name: &str) {
        self.header[..100].fill(0);
        self.header[..name.len()].copy_from_slice(name.as_bytes());
    }

    /// Writes into its header.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Writes a header's checksum.
pub fn seal(header: &mut [u8; 512]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}

/// A gzip stream without its header, as cargo 1.47 to 1.87 make it.
pub fn stream(tar: &[u8]) -> Vec<u8> {
    workshop::stream(tar, Compressor::Zlib8)
}

/// Blocks before an entry: a header of a kind, with content.
pub fn extension(kind: u8, name: &str, body: &[u8]) -> Vec<u8> {
    let mut header = *tar::Header::new_gnu().as_bytes();
    header[..name.len()].copy_from_slice(name.as_bytes());
    for (at, value) in [(100, 0o644), (108, 0), (116, 0)] {
        header[at..at + 8].copy_from_slice(format!("{value:07o}\0").as_bytes());
    }
    for (at, value) in [(124, body.len()), (136, 0)] {
        header[at..at + 12].copy_from_slice(format!("{value:011o}\0").as_bytes());
    }
    header[156] = kind;
    seal(&mut header);
    let mut blocks = [&header[..], body].concat();
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

/// A PAX record.
pub fn pax(key: &str, value: &str) -> Vec<u8> {
    // Its length counts its own digits.
    let rest = format!(" {key}={value}\n");
    let length =
        (1..10).map(|digits| digits + rest.len()).find(|length| length.to_string().len() + rest.len() == *length);
    format!("{}{rest}", length.unwrap()).into_bytes()
}
