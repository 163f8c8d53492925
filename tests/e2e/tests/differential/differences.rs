//! The differences from Envoy that are meant, each with its reason. A difference that has gone
//! must leave this list: the comparison fails when an exchange on it is equal.

/// One exchange whose outcome is not Envoy's.
pub(crate) struct Known {
    pub(crate) corpus: &'static str,
    pub(crate) exchange: &'static str,
    /// Why Ringway does otherwise, for the reader who wants it to be the same.
    pub(crate) reason: &'static str,
}

pub(crate) const KNOWN: &[Known] = &[];
