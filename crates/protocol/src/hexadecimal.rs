//! Hexadecimal text as the reference reads it.

/// Why a text is not hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// Nothing is left once white space and prefixes are gone.
    #[error("the hexadecimal text is empty; give at least one digit")]
    Empty,
    /// A character that is no hex digit.
    #[error("{0:?} is not a hexadecimal digit; use 0-9 and a-f")]
    Digit(char),
}

/// Randomness text to bytes: strip white space, remove every `0x`/`0X`, pad an odd length with one `0`, decode.
///
/// # Errors
/// [`HexError`] if nothing is left or a character is not a digit.
pub fn randomness_bytes(text: &str) -> Result<Vec<u8>, HexError> {
    let bytes = cleaned_bytes(text)?;
    if bytes.is_empty() { Err(HexError::Empty) } else { Ok(bytes) }
}

/// As [`randomness_bytes`], but an empty text gives no bytes, as the commit binding reads its randomness.
///
/// # Errors
/// [`HexError::Digit`] for a character that is not a digit.
pub fn cleaned_bytes(text: &str) -> Result<Vec<u8>, HexError> {
    let mut digits = text.trim_matches(is_python_space).replace("0x", "").replace("0X", "");
    if digits.chars().count() % 2 == 1 {
        digits.insert(0, '0');
    }
    bytes_fromhex(&digits)
}

/// `bytes.fromhex`: skips white space between bytes and accepts no prefix.
///
/// # Errors
/// [`HexError::Digit`] for anything that is not a pair of digits.
pub fn bytes_fromhex(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t'..='\r')).is_some() {}
        let Some(high) = chars.next() else { return Ok(bytes) };
        let low = chars.next().unwrap_or(' ');
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
}

/// White space as Python's `str.isspace` and `\s` see it.
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn digit(c: char) -> Result<u8, HexError> {
    c.to_digit(16).map(|d| d as u8).ok_or(HexError::Digit(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_spaces_and_odd_lengths_are_understood() {
        assert_eq!(randomness_bytes(" 0xAb\n"), Ok(vec![0xab]));
        assert_eq!(randomness_bytes("abc"), Ok(vec![0x0a, 0xbc]));
        assert_eq!(randomness_bytes("0x0X12"), Ok(vec![0x12]));
        assert_eq!(randomness_bytes("0x"), Err(HexError::Empty));
        assert_eq!(randomness_bytes("xyz"), Err(HexError::Digit('x')));
        assert_eq!(randomness_bytes("é"), Err(HexError::Digit('é')));
    }

    #[test]
    fn fromhex_skips_white_space_but_no_prefix() {
        assert_eq!(bytes_fromhex("01 ff\n0A"), Ok(vec![1, 255, 10]));
        assert_eq!(bytes_fromhex(""), Ok(vec![]));
        assert!(bytes_fromhex("0x01").is_err());
        assert!(bytes_fromhex("0 1").is_err());
        assert!(bytes_fromhex("012").is_err());
    }
}
