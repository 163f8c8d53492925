//! Breaking of text into lines.

/// Breaks `words` between words into lines of at most `width` characters, the first of which
/// begins with `first` and the others with `rest`. A word that is longer than a line stays whole.
/// Every line ends with a line feed.
pub(crate) fn wrap(words: &str, first: &str, rest: &str, width: usize) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > width {
            text.push_str(&line);
            text.push('\n');
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", "a ", "b ", 9), "a one two\nb three\n");
    }

    #[test]
    fn a_long_word_stays_whole() {
        assert_eq!(wrap("to incomprehensible me", "", "", 5), "to\nincomprehensible\nme\n");
    }

    #[test]
    fn no_words_are_one_line() {
        assert_eq!(wrap("", "# ", "# ", 10), "#\n");
    }
}
