//! One-time codes (RFC 6238): SHA-1, six digits, 30 s, one step of tolerance, as every authenticator app has them.

use chrono::{DateTime, Utc};
use totp_rs::{Builder, Totp, TotpError};

/// 160 bits, as RFC 4226 recommends.
pub fn new_secret() -> [u8; 20] {
    rand::random()
}

fn totp(secret: &[u8], names: Option<(&str, &str)>) -> Result<Totp, TotpError> {
    let builder = Builder::new().with_secret(secret.to_vec()).with_skew(1);
    match names {
        // Colons divide issuer and account in the address.
        Some((issuer, account)) => {
            builder.with_issuer(Some(issuer.replace(':', " "))).with_account_name(account).build()
        }
        None => builder.build(),
    }
}

/// The secret in base32, and the `otpauth://` address that an app reads from a QR code.
pub fn shown(secret: &[u8], issuer: &str, account: &str) -> Result<(String, String), TotpError> {
    let totp = totp(secret, Some((issuer, account)))?;
    Ok((totp.secret().to_base32(), totp.to_url()?))
}

/// The step whose code this is, if it is one of now, 30 s before or after.
pub fn step_of(secret: &[u8], code: &str, now: DateTime<Utc>) -> Option<i64> {
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let step = totp(secret, None).ok()?.check(code, now.timestamp().try_into().ok()?)?;
    i64::try_from(step).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B (SHA-1), the last six digits.
    #[test]
    fn the_codes_of_the_rfc_and_one_step_of_tolerance() {
        let secret = b"12345678901234567890";
        for (seconds, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")]
        {
            let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a time");
            let step = seconds / 30;
            assert_eq!(step_of(secret, code, at(seconds)), Some(step), "{code}");
            assert_eq!(step_of(secret, code, at((step + 2) * 30 - 1)), Some(step), "a step late");
            assert_eq!(step_of(secret, code, at((step - 1) * 30)), Some(step), "a step early");
            assert_eq!(step_of(secret, code, at((step + 2) * 30)), None, "two steps late");
        }
        for bad in ["", "28708", "2870820", "28708x", "２８７０８２"] {
            assert_eq!(step_of(secret, bad, DateTime::from_timestamp(59, 0).expect("a time")), None, "{bad}");
        }
        let (base32, url) = shown(secret, "连心: 大田县", "chen").expect("shown");
        assert_eq!(base32, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(url.starts_with("otpauth://totp/") && url.contains(&base32), "{url}");
    }
}
