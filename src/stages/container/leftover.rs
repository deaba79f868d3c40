//! Names for what no writer writes: of an entry's blocks, and of what follows the last entry.

/// The fields of a tar header, each with the end of its range.
const FIELDS: [(&str, usize); 13] = [
    ("name", 100),
    ("mode", 108),
    ("owner", 116),
    ("group", 124),
    ("size", 136),
    ("time", 148),
    ("checksum", 156),
    ("kind", 157),
    ("link name", 257),
    ("magic", 265),
    ("user and group names", 329),
    ("device numbers", 345),
    ("prefix", 512),
];

/// What of the blocks before an entry's content is not as written; none where all is.
pub(super) fn name_head(published: &[u8], written: &[u8]) -> Option<String> {
    // Its own header stands last.
    let (before, header) = published.split_at(published.len().saturating_sub(512));
    let (ours, own) = written.split_at(written.len().saturating_sub(512));
    if before != ours {
        return Some(match (before.len(), ours.len()) {
            (0, _) => "its long name stands in no block of its own".to_owned(),
            // Nothing else can stand there: other kinds are malformed.
            (length, 0) => format!("{length} bytes before its header: GNU long name"),
            (length, _) => format!("{length} bytes before its header, not as cargo writes a long name"),
        });
    }
    if header == own {
        return None;
    }
    // The checksum differs wherever something else does.
    let fields: Vec<&str> = differing_fields(header, own).into_iter().filter(|field| *field != "checksum").collect();
    let fields = if fields.is_empty() { vec!["checksum"] } else { fields };
    Some(format!("the {} of its header", fields.join(", the ")))
}

fn differing_fields(published: &[u8], written: &[u8]) -> Vec<&'static str> {
    let mut start = 0;
    let mut found = Vec::new();
    for (name, end) in FIELDS {
        if published[start..end] != written[start..end] {
            found.push(name);
        }
        start = end;
    }
    found
}

/// What stands after the last entry other than the two empty blocks with which a tar ends; none where nothing does.
pub(super) fn name_tail(tail: &[u8]) -> Option<String> {
    if tail.len() == 1024 && tail.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(match tail.len() {
        0..1024 => "the tar does not end with two empty blocks".to_owned(),
        length if tail.iter().all(|byte| *byte == 0) => format!("{length} empty bytes at the end of the tar, not 1024"),
        length => format!("{length} bytes after the last entry"),
    })
}
