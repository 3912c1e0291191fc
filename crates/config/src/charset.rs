//! Which characters a value may hold. Copying from web pages, wrapped lines and `docker run --env-file` add invisible
//! characters, which make libraries panic or servers refuse.

use std::fmt;

/// The characters that a value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Printable ASCII without white space: keys, tokens, numbers, names that servers know.
    Word,
    /// The same without what separates the parts of a signature's scope: ids of keys, regions.
    Part,
    /// The same as a word with spaces between: lists, addresses with commas between.
    Words,
    /// Anything that can be seen, on one line: names, paths, passwords.
    Text,
    /// Anything that can be seen, on several lines.
    Lines,
}

/// A character that a value must not hold, and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OddCharacter {
    /// The character.
    pub character: char,
    /// Its position, from 1.
    pub position: usize,
    /// Length of the value in characters.
    pub length: usize,
}

/// Marks that people and shells put around a value.
const QUOTES: [char; 11] = ['"', '\'', '`', '´', '“', '”', '„', '‘', '’', '«', '»'];

impl Content {
    /// Returns the first character of `text` that such a value must not hold; else the first of the quotation marks
    /// around it.
    pub fn odd_in(self, text: &str) -> Option<OddCharacter> {
        let is_odd = |c: char| match self {
            Self::Word => !c.is_ascii_graphic(),
            Self::Part => !c.is_ascii_graphic() || matches!(c, '/' | ','),
            Self::Words => !c.is_ascii_graphic() && c != ' ',
            Self::Text => is_invisible(c),
            Self::Lines => is_invisible(c) && !matches!(c, '\n' | '\t'),
        };
        first(text, is_odd).or_else(|| self.is_quoted(text).then(|| first(text, is_quote)).flatten())
    }

    /// Returns whether quotation marks surround the value. In free text, a single one at one end may be intended.
    fn is_quoted(self, text: &str) -> bool {
        let (begins, ends) = (text.starts_with(is_quote), text.ends_with(is_quote));
        match self {
            Self::Word | Self::Part | Self::Words => begins || ends,
            Self::Text | Self::Lines => begins && ends,
        }
    }
}

/// Returns the first character of `text` that cannot be seen.
pub fn invisible_in(text: &str) -> Option<OddCharacter> {
    first(text, is_invisible)
}

impl OddCharacter {
    /// Returns the remedy.
    pub(super) fn remedy(self) -> &'static str {
        match self.character {
            c if is_quote(c) => {
                "write the value without quotation marks, which `docker run --env-file` and the environment keep"
            }
            '\n' | '\r' => "write the value on one line, without anything else that was copied with it",
            char::REPLACEMENT_CHARACTER => "write the value in UTF-8",
            _ => "type the value, or copy it again without that character",
        }
    }
}

impl fmt::Display for OddCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { character, position, length } = *self;
        write!(f, "U+{:04X} ", u32::from(character))?;
        match name(character) {
            Some(name) => write!(f, "({name})")?,
            None if is_invisible(character) => f.write_str("(invisible)")?,
            None => write!(f, "({character})")?,
        }
        write!(f, " as character {position} of {length}")
    }
}

fn first(text: &str, is_odd: impl Fn(char) -> bool) -> Option<OddCharacter> {
    let (at, character) = text.chars().enumerate().find(|(_, c)| is_odd(*c))?;
    Some(OddCharacter { character, position: at + 1, length: text.chars().count() })
}

fn is_quote(c: char) -> bool {
    QUOTES.contains(&c)
}

/// Returns whether a character is invisible, or a blank other than a space.
fn is_invisible(c: char) -> bool {
    let is_blank = c.is_control() || c.is_whitespace() && c != ' ';
    let is_ignorable = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    is_blank || is_ignorable
}

/// Returns the name of an invisible or easily confused character.
const fn name(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "NUL",
        '\t' => "tab",
        '\n' => "line break",
        '\r' => "carriage return",
        '\u{8}' => "backspace",
        '\u{1b}' => "escape",
        ' ' => "space",
        '\u{a0}' => "no-break space",
        '\u{ad}' => "soft hyphen",
        '\u{200b}' => "zero-width space",
        '\u{200c}' => "zero-width non-joiner",
        '\u{200d}' => "zero-width joiner",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{2028}' => "line separator",
        '\u{202f}' => "narrow no-break space",
        '\u{2060}' => "word joiner",
        '\u{3000}' => "ideographic space",
        '\u{feff}' => "byte order mark",
        char::REPLACEMENT_CHARACTER => "bytes that are not UTF-8",
        '"' => "quotation mark",
        '\'' => "apostrophe",
        '`' => "backtick",
        '“' => "left curly quotation mark",
        '”' => "right curly quotation mark",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(content: Content, text: &str) -> Option<(char, usize)> {
        content.odd_in(text).map(|odd| (odd.character, odd.position))
    }

    #[test]
    fn each_kind_of_value_has_its_characters() {
        use Content::{Lines, Text, Word, Words};
        for (text, word, words, free, lines) in [
            ("AKIA/+=~", None, None, None, None),
            ("a b", Some((' ', 2)), None, None, None),
            ("größe", Some(('ö', 3)), Some(('ö', 3)), None, None),
            ("ab\u{200b}", Some(('\u{200b}', 3)), Some(('\u{200b}', 3)), Some(('\u{200b}', 3)), Some(('\u{200b}', 3))),
            ("a\nb", Some(('\n', 2)), Some(('\n', 2)), Some(('\n', 2)), None),
            ("a\u{0}", Some(('\0', 2)), Some(('\0', 2)), Some(('\0', 2)), Some(('\0', 2))),
            ("\"ab\"", Some(('"', 1)), Some(('"', 1)), Some(('"', 1)), Some(('"', 1))),
            ("ab'", Some(('\'', 3)), Some(('\'', 3)), None, None),
            ("it's", None, None, None, None),
            ("“ab”", Some(('“', 1)), Some(('“', 1)), Some(('“', 1)), Some(('“', 1))),
        ] {
            let found = [Word, Words, Text, Lines].map(|content| odd(content, text));
            assert_eq!(found, [word, words, free, lines], "{text:?}");
        }
    }

    #[test]
    fn invisible_characters_are_reported_with_code_point_position_and_name() {
        let found = |text: &str| invisible_in(text).map(|odd| odd.to_string());
        assert_eq!(found("key\u{feff}").as_deref(), Some("U+FEFF (byte order mark) as character 4 of 4"));
        assert_eq!(found("\u{2066}key").as_deref(), Some("U+2066 (invisible) as character 1 of 4"));
        assert_eq!(found("é\u{a0}k").as_deref(), Some("U+00A0 (no-break space) as character 2 of 3"));
        assert_eq!(found("two words, größer, 漢字, 🦀"), None);
        let seen = Content::Word.odd_in("é").unwrap().to_string();
        assert_eq!(seen, "U+00E9 (é) as character 1 of 1");
    }
}
