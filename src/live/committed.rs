//! What the chain holds for our hotkey, as it was last read: validators read the bucket with that and nothing else.

use std::cell::RefCell;
use std::rc::Rc;

/// The commitment as the chain's adapter last read it; clones share it.
#[derive(Clone, Default)]
pub struct Committed(Rc<RefCell<Reading>>);

#[derive(Clone, Default, PartialEq)]
enum Reading {
    #[default]
    None,
    Absent,
    Bytes(Vec<u8>),
}

impl Committed {
    /// Takes note of what the chain holds.
    pub fn note(&self, bytes: Option<&[u8]>) {
        *self.0.borrow_mut() = bytes.map_or(Reading::Absent, |bytes| Reading::Bytes(bytes.to_vec()));
    }

    /// Why no validator can read with `ours`; none where the chain holds exactly that.
    pub fn hindrance(&self, ours: &[u8]) -> Option<&'static str> {
        match &*self.0.borrow() {
            Reading::None => Some("what the chain holds for validators to read with is not known yet"),
            Reading::Absent => {
                Some("the chain holds no read key of this hotkey yet, so no validator can read the bucket")
            }
            Reading::Bytes(bytes) if bytes == ours => None,
            Reading::Bytes(_) => Some("the chain holds another read key than ours, so validators read another bucket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_can_read_only_with_what_the_chain_holds() {
        let committed = Committed::default();
        let shared = committed.clone();
        assert!(committed.hindrance(b"ours").unwrap().contains("not known yet"));
        shared.note(None);
        assert!(committed.hindrance(b"ours").unwrap().contains("no read key"));
        shared.note(Some(b"another"));
        assert!(committed.hindrance(b"ours").unwrap().contains("another read key"));
        shared.note(Some(b"ours"));
        assert_eq!(committed.hindrance(b"ours"), None);
    }
}
