//! Bearer tokens and what they allow.

use std::fmt;

/// What a client may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read everything.
    Read,
    /// Move money, too.
    Write,
    /// Administrate queues, too.
    Admin,
}

impl Role {
    const ALL: [Role; 3] = [Role::Read, Role::Write, Role::Admin];

    /// The word for the role, as in a token file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Write => "write",
            Role::Admin => "admin",
        }
    }
}

/// The bearer tokens of a server. Only their hashes are kept, so neither a core dump nor a log line tells one, and a
/// comparison takes the same time whatever was sent.
#[derive(Clone)]
pub struct Tokens(Vec<(Role, blake3::Hash)>);

/// Fewer characters can be guessed.
const TOKEN_CHARS_MIN: usize = 16;
const TOKEN_CHARS_MAX: usize = 256;

/// Why a token file is refused. It never holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensError {
    /// The line, from 1; 0 if it is about the whole file.
    pub line: usize,
    /// What is wrong, and what is right.
    pub what: String,
}

impl Tokens {
    /// Reads a token file: one `ROLE TOKEN` a line, where the role is `read`, `write` or `admin` and the token 16 to
    /// 256 visible ASCII characters; empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// A line of another shape, a token that stands twice, a file without a token.
    pub fn parse(text: &str) -> Result<Tokens, TokensError> {
        let mut tokens: Vec<(Role, blake3::Hash)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let refused = |what: &str| TokensError { line, what: what.to_owned() };
            let mut words = text.split_ascii_whitespace();
            let (Some(role), Some(token), None) = (words.next(), words.next(), words.next()) else {
                return Err(refused("a line is a role and a token, as in `write 8fH2…`"));
            };
            let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
            let role = role.ok_or_else(|| refused("the role must be `read`, `write` or `admin`"))?;
            let fits = (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&token.len());
            if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(refused("a token has 16 to 256 visible ASCII characters"));
            }
            let hash = blake3::hash(token.as_bytes());
            if tokens.iter().any(|(_, known)| *known == hash) {
                return Err(refused("this token stands in the file already"));
            }
            tokens.push((role, hash));
        }
        if tokens.is_empty() {
            return Err(TokensError { line: 0, what: "there is no token in it".to_owned() });
        }
        Ok(Tokens(tokens))
    }

    /// What the bearer of this token may do; `None` for a token that is not known.
    #[must_use]
    pub fn role_of(&self, token: &str) -> Option<Role> {
        let hash = blake3::hash(token.as_bytes());
        // `blake3::Hash` compares in constant time.
        self.0.iter().find(|(_, known)| *known == hash).map(|(role, _)| *role)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for TokensError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_each_token_its_role() {
        let text =
            "# staff\n\nread 0123456789abcdef\n  write\t0123456789abcdeF  \nadmin !!!!!!!!!!!!!!!!\r\n";
        let tokens = Tokens::parse(text).expect("a good file");
        assert_eq!(tokens.role_of("0123456789abcdef"), Some(Role::Read));
        assert_eq!(tokens.role_of("0123456789abcdeF"), Some(Role::Write));
        assert_eq!(tokens.role_of("!!!!!!!!!!!!!!!!"), Some(Role::Admin));
        for unknown in ["", "0123456789abcde", "0123456789abcdef ", "read"] {
            assert_eq!(tokens.role_of(unknown), None, "{unknown:?}");
        }
        assert!(Role::Read < Role::Write && Role::Write < Role::Admin);
    }

    #[test]
    fn a_bad_line_is_named_and_no_token_is_told() {
        for (text, error) in [
            ("", "there is no token in it"),
            ("# only a comment", "there is no token in it"),
            ("read\n", "line 1: a line is a role and a token, as in `write 8fH2…`"),
            ("read 0123456789abcdef more", "line 1: a line is a role and a token, as in `write 8fH2…`"),
            ("\nroot 0123456789abcdef", "line 2: the role must be `read`, `write` or `admin`"),
            ("read short", "line 1: a token has 16 to 256 visible ASCII characters"),
            (
                "read 0123456789abcdef\nadmin 0123456789abcdef",
                "line 2: this token stands in the file already",
            ),
        ] {
            assert_eq!(Tokens::parse(text).expect_err(text).to_string(), error);
        }
        let secret = Tokens::parse("read 0123456789abcdef").expect("a good file");
        assert_eq!(format!("{secret:?}"), "1 tokens");
    }
}
