//! JSON to the tree, with lines, and with the leniencies of Envoy's parser: single quotes, bare
//! keys and trailing commas are accepted, comments are not.

use std::collections::HashSet;
use std::iter::Peekable;
use std::str::Chars;

use super::node::{Entry, Kind, Node, Position};
use super::{MAX_DEPTH, MAX_NODES, SyntaxError};

pub(super) fn parse(text: &str, source: u32) -> Result<Node, SyntaxError> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        position: Position { source, line: 1, column: 1 },
        budget: MAX_NODES,
    };
    let root = reader.value(0)?;
    reader.skip_space();
    match reader.rest.peek() {
        None => Ok(root),
        Some(_) => Err(reader.unexpected("the end of the document")),
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    position: Position,
    /// Nodes that may still be made.
    budget: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        self.skip_space();
        let position = self.position;
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(SyntaxError::at(position, message));
        }
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or_else(|| SyntaxError::at(position, format!("more than {MAX_NODES} values")))?;
        let kind = match self.rest.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"' | '\'') => Kind::String(self.string()?),
            Some(first) if first.is_ascii_digit() || *first == '-' => self.number()?,
            Some(first) if first.is_ascii_alphabetic() => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node::new(kind, position))
    }

    fn map(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        self.advance();
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        loop {
            self.skip_space();
            if self.take('}') {
                return Ok(Kind::Map(entries));
            }
            let key_position = self.position;
            let key = self.key()?;
            if !seen.insert(key.clone()) {
                return Err(SyntaxError::duplicate(key_position, &key));
            }
            self.skip_space();
            if !self.take(':') {
                return Err(self.unexpected("':'"));
            }
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, key_position, value });
            self.separator('}')?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        self.advance();
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.take(']') {
                return Ok(Kind::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.separator(']')?;
        }
    }

    /// A comma, or the closing bracket, which stays for the caller.
    fn separator(&mut self, close: char) -> Result<(), SyntaxError> {
        self.skip_space();
        if self.take(',') || self.rest.peek() == Some(&close) {
            return Ok(());
        }
        Err(self.unexpected(&format!("',' or '{close}'")))
    }

    fn key(&mut self) -> Result<String, SyntaxError> {
        match self.rest.peek() {
            Some('"' | '\'') => self.string(),
            Some(first) if is_word(*first) => Ok(self.take_while(is_word)),
            _ => Err(self.unexpected("a key")),
        }
    }

    fn word(&mut self) -> Result<Kind, SyntaxError> {
        let position = self.position;
        match self.take_while(is_word).as_str() {
            "null" => Ok(Kind::Null),
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            word => Err(SyntaxError::at(position, format!("expected a value, found {word:?}"))),
        }
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let position = self.position;
        let text =
            self.take_while(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'));
        let value = text.parse().ok().filter(|value: &f64| value.is_finite());
        let value =
            value.ok_or_else(|| SyntaxError::at(position, format!("invalid number: {text}")))?;
        // Beyond 2^53 a float would lose digits: the text goes to the decoder as it stands.
        let exact = value.abs() <= 9_007_199_254_740_992.0;
        Ok(if exact { Kind::Number(value) } else { Kind::String(text) })
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.position;
        let quote = self.advance();
        let mut text = String::new();
        loop {
            let position = self.position;
            match self.advance() {
                None => return Err(SyntaxError::at(start, "the string does not end")),
                end if end == quote => return Ok(text),
                Some('\\') => text.push(self.escape(position)?),
                Some(c) if c < ' ' => {
                    return Err(SyntaxError::at(position, "a control character in a string"));
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, position: Position) -> Result<char, SyntaxError> {
        Ok(match self.advance() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(c @ ('"' | '\'' | '\\' | '/')) => c,
            Some('u') => self.unicode(position)?,
            _ => return Err(SyntaxError::at(position, "unknown escape in a string")),
        })
    }

    /// RFC 8259 section 7: a character beyond the basic plane is a pair of surrogates.
    fn unicode(&mut self, position: Position) -> Result<char, SyntaxError> {
        let bad = || SyntaxError::at(position, "invalid \\u escape in a string");
        let first = self.hex4().ok_or_else(bad)?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if !(self.take('\\') && self.take('u')) {
                return Err(bad());
            }
            let second =
                self.hex4().filter(|low| (0xdc00..0xe000).contains(low)).ok_or_else(bad)?;
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(bad)
    }

    fn hex4(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |code, _| Some(code * 16 + self.advance()?.to_digit(16)?))
    }

    fn skip_space(&mut self) {
        while matches!(self.rest.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.advance();
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest.peek() == Some(&wanted);
        if found {
            self.advance();
        }
        found
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(&c) = self.rest.peek().filter(|c| accept(**c)) {
            text.push(c);
            self.advance();
        }
        text
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.position.line += 1;
            self.position.column = 1;
        } else {
            self.position.column += 1;
        }
        Some(c)
    }

    fn unexpected(&mut self, wanted: &str) -> SyntaxError {
        let found = match self.rest.peek() {
            Some(c) => format!("{c:?}"),
            None => "the end of the document".to_owned(),
        };
        SyntaxError::at(self.position, format!("expected {wanted}, found {found}"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        parse(text, 0).map_err(|error| {
            format!("{}:{}: {}", error.position.line, error.position.column, error.message)
        })
    }

    fn text_of(json: &str) -> String {
        read(json).unwrap().get("a").unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn strings_with_escapes() {
        assert_eq!(text_of(r#"{"a": "x\n\"\/\u00e9\ud83d\ude00"}"#), "x\n\"/\u{e9}\u{1f600}");
        assert_eq!(text_of("{'a': 'it\\'s'}"), "it's");
        assert!(read(r#"{"a": "\ud83d"}"#).is_err());
        assert_eq!(read("{\"a\": \"x").unwrap_err(), "1:7: the string does not end");
    }

    #[test]
    fn lenient_as_envoy() {
        assert_eq!(text_of("{a: 'b',}"), "b");
        assert!(read("[1, 2,]").is_ok());
        assert_eq!(read("{/* no */}").unwrap_err(), "1:2: expected a key, found '/'");
    }

    #[test]
    fn large_integers_keep_their_digits() {
        assert_eq!(text_of(r#"{"a": 18446744073709551615}"#), "18446744073709551615");
    }

    #[test]
    fn errors_have_a_line() {
        assert_eq!(
            read("{\"a\": 1,\n \"a\": 2}").unwrap_err(),
            "2:2: the key \"a\" is given twice"
        );
        assert_eq!(
            read("{\"a\": 1").unwrap_err(),
            "1:8: expected ',' or '}', found the end of the document"
        );
        assert_eq!(read("admin: {}").unwrap_err(), "1:1: expected a value, found \"admin\"");
        assert_eq!(read("{} {}").unwrap_err(), "1:4: expected the end of the document, found '{'");
        assert!(read(&"[".repeat(200)).unwrap_err().ends_with("nested deeper than 100 levels"));
    }
}
