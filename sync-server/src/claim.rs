//! Claim codes and secrets: random, and said once.

/// Letters and digits that nobody confuses on paper or by telephone (Crockford's alphabet).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Characters of a claim code: 80 random bits.
const CODE_CHARS: usize = 16;

/// Characters between two dashes.
const GROUP_CHARS: usize = 4;

/// Makes a claim code, such as `7K2M-QX9A-D0VE-33TW`.
pub fn new_code() -> Result<String, getrandom::Error> {
    let mut random = [0; CODE_CHARS];
    getrandom::fill(&mut random)?;
    let mut code = String::with_capacity(CODE_CHARS + CODE_CHARS / GROUP_CHARS);
    for (index, byte) in random.into_iter().enumerate() {
        if index > 0 && index % GROUP_CHARS == 0 {
            code.push('-');
        }
        // 256 is a multiple of 32, so every character is as likely.
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(code)
}

/// What of a typed claim code counts: case, dashes and spaces do not, and letters that look like digits are digits.
pub fn normalize(code: &str) -> String {
    let letters = code.chars().take(4 * CODE_CHARS).filter(char::is_ascii_alphanumeric);
    letters
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        })
        .collect()
}

/// Makes a secret: 32 random bytes as hexadecimal text, which is the password as it stands.
pub fn new_secret() -> Result<String, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(blake3::Hash::from_bytes(random).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_being_typed() {
        let code = new_code().expect("random");
        assert_eq!((code.len(), code.matches('-').count()), (19, 3), "{code}");
        assert_eq!(normalize(&code), code.replace('-', ""));
        assert_eq!(normalize(&format!(" {} ", code.to_lowercase())), normalize(&code));
        assert_eq!(normalize("o0Il-1"), "00111");
        assert_ne!(new_code().expect("random"), code);
    }

    #[test]
    fn secrets_are_long_and_different() {
        let secrets = [new_secret().expect("random"), new_secret().expect("random")];
        assert_eq!(secrets[0].len(), 64);
        assert_ne!(secrets[0], secrets[1]);
    }
}
