//! JSON text, one line or indented: commas, quotes and spaces, and nothing about messages.

/// Builds one JSON value.
pub(super) struct Writer {
    out: String,
    pretty: bool,
    depth: usize,
    /// True when the innermost map or list has an element already.
    filled: bool,
}

impl Writer {
    pub(super) fn compact() -> Writer {
        Writer { out: String::new(), pretty: false, depth: 0, filled: false }
    }

    pub(super) fn pretty() -> Writer {
        Writer { pretty: true, ..Writer::compact() }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.depth += 1;
        self.filled = false;
    }

    pub(super) fn close(&mut self, bracket: char) {
        self.depth -= 1;
        if self.filled {
            self.new_line();
        }
        self.out.push(bracket);
        self.filled = true;
    }

    /// Begins an element of a list.
    pub(super) fn item(&mut self) {
        if self.filled {
            self.out.push(',');
        }
        self.new_line();
        self.filled = true;
    }

    /// Begins an entry of a map.
    pub(super) fn key(&mut self, key: &str) {
        self.item();
        self.text(key);
        self.out.push_str(if self.pretty { ": " } else { ":" });
    }

    /// A number, a boolean or null.
    pub(super) fn bare(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A string, with quotes and escapes.
    pub(super) fn text(&mut self, text: &str) {
        // A string of serde_json's own, so that escapes are right by construction.
        self.out.push_str(&serde_json::Value::from(text).to_string());
    }

    fn new_line(&mut self) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.depth));
        }
    }
}
