//! Sealing personal data, finding it again by blind index, and signing what clients carry around.
//!
//! One keyring of master keys; every other key is derived from it (HKDF-SHA-256, RFC 5869) for one county and one use.
//! A sealed value is `key version (1 byte) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag`, bound to its place by
//! associated data: a ciphertext copied into another row or column does not open.

mod passwords;
pub mod totp;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

pub use passwords::{hash_password, hash_password_in_turn, random_code, verify_password};

/// Keys that belong to no county: cursors, refresh tokens, signing keys.
pub const GLOBAL: i32 = 0;

/// A sealed value that does not open: a wrong key, a wrong place or tampering.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open")]
pub struct Unsealable;

struct Derived {
    cipher: Aes256Gcm,
    index: Hmac<Sha256>,
}

/// Master keys by version. The highest version seals; all of them open.
pub struct Keyring {
    masters: BTreeMap<u8, [u8; 32]>,
    derived: RwLock<HashMap<(u8, i32), Arc<Derived>>>,
}

impl Keyring {
    /// Reads `1:<base64 of 32 bytes>,2:…`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut masters = BTreeMap::new();
        for entry in text.split(',') {
            let (version, key) = entry.trim().split_once(':').context("must look like 1:<base64 of 32 bytes>")?;
            let version: u8 = version.parse().context("a key version is 1 to 255")?;
            let key = BASE64_STANDARD.decode(key).ok().and_then(|key| key.try_into().ok());
            let key = key.with_context(|| format!("key {version} is not base64 of 32 bytes"))?;
            ensure!(version > 0, "a key version is 1 to 255");
            ensure!(masters.insert(version, key).is_none(), "key version {version} is given twice");
        }
        ensure!(!masters.is_empty(), "at least one key is needed");
        Ok(Self { masters, derived: RwLock::default() })
    }

    /// The version that seals and signs.
    pub fn current(&self) -> u8 {
        *self.masters.keys().next_back().expect("parse refuses an empty ring")
    }

    fn derive(&self, version: u8, county: i32) -> Option<Arc<Derived>> {
        if let Some(found) = self.derived.read().ok()?.get(&(version, county)) {
            return Some(found.clone());
        }
        let ring = Hkdf::<Sha256>::new(None, self.masters.get(&version)?);
        let key = |purpose: &str| {
            let mut key = [0; 32];
            ring.expand(format!("lianxin/{purpose}/{county}").as_bytes(), &mut key)
                .expect("32 bytes are within RFC 5869's limit");
            key
        };
        let made = Arc::new(Derived {
            cipher: Aes256Gcm::new(&key("seal").into()),
            index: Hmac::new_from_slice(&key("index")).expect("HMAC takes any key"),
        });
        self.derived.write().ok()?.insert((version, county), made.clone());
        Some(made)
    }

    /// Seals `plain` for one place, for example `residents.phone/<id>`.
    pub fn seal(&self, county: i32, place: &str, plain: &[u8]) -> Vec<u8> {
        let version = self.current();
        let derived = self.derive(version, county).expect("the current key exists");
        let nonce: [u8; 12] = rand::random();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = derived.cipher.encrypt(&Nonce::from(nonce), payload);
        let mut out = Vec::with_capacity(1 + 12 + 16 + plain.len());
        out.push(version);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed.expect("AES-GCM seals up to 64 GiB"));
        out
    }

    /// Opens what [`Keyring::seal`] made for the same county and place.
    pub fn open(&self, county: i32, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (version, rest) = sealed.split_first().ok_or(Unsealable)?;
        let (nonce, body) = rest.split_first_chunk::<12>().ok_or(Unsealable)?;
        let derived = self.derive(*version, county).ok_or(Unsealable)?;
        let payload = Payload { msg: body, aad: place.as_bytes() };
        derived.cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| Unsealable)
    }

    /// [`Keyring::open`] for text.
    pub fn open_text(&self, county: i32, place: &str, sealed: &[u8]) -> Result<String, Unsealable> {
        String::from_utf8(self.open(county, place, sealed)?).map_err(|_| Unsealable)
    }

    fn tag(&self, version: u8, county: i32, purpose: &str, value: &[u8]) -> [u8; 32] {
        let derived = self.derive(version, county).expect("callers pass versions of the ring");
        let mut mac = derived.index.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        mac.finalize().into_bytes().into()
    }

    /// The blind index of a normalised value under the current key: what is stored.
    pub fn blind(&self, county: i32, field: &str, value: &str) -> Vec<u8> {
        self.blind_with(self.current(), county, field, value)
    }

    /// The blind indexes under every key, newest first: what is searched while keys rotate.
    pub fn blinds(&self, county: i32, field: &str, value: &str) -> Vec<Vec<u8>> {
        let versions = self.masters.keys().rev();
        versions.map(|version| self.blind_with(*version, county, field, value)).collect()
    }

    fn blind_with(&self, version: u8, county: i32, field: &str, value: &str) -> Vec<u8> {
        let tag = self.tag(version, county, field, value.as_bytes());
        [&[version], &tag[..16]].concat()
    }

    /// A keyed tag over something that clients carry and bring back (cursors, refresh chains).
    pub fn sign(&self, purpose: &str, value: &[u8]) -> [u8; 32] {
        self.tag(self.current(), GLOBAL, purpose, value)
    }

    /// [`Keyring::sign`] under every key, the current one first.
    pub fn signs(&self, purpose: &str, value: &[u8]) -> Vec<[u8; 32]> {
        self.masters.keys().rev().map(|version| self.tag(*version, GLOBAL, purpose, value)).collect()
    }

    /// Whether any key of the ring made `tag`; compared in constant time.
    pub fn verify(&self, purpose: &str, value: &[u8], tag: &[u8]) -> bool {
        self.masters.keys().any(|version| {
            let derived = self.derive(*version, GLOBAL).expect("a version of the ring");
            let mut mac = derived.index.clone();
            mac.update(purpose.as_bytes());
            mac.update(&[0]);
            mac.update(value);
            mac.verify_truncated_left(tag).is_ok()
        })
    }
}

impl Keyring {
    /// The versions of the ring, the oldest first.
    pub fn versions(&self) -> impl Iterator<Item = u8> {
        self.masters.keys().copied()
    }

    /// Whether the key of one version made `tag`; none when the ring no longer has it.
    pub fn verify_with(&self, version: u8, purpose: &str, value: &[u8], tag: &[u8]) -> Option<bool> {
        let mut mac = self.derive(version, GLOBAL)?.index.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        Some(mac.verify_slice(tag).is_ok())
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.masters.len())
    }
}

/// SHA-256.
pub fn digest(value: &[u8]) -> [u8; 32] {
    Sha256::digest(value).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const BOTH: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_county() {
        let ring = Keyring::parse(ONE).expect("valid");
        let sealed = ring.seal(1, "residents.name/a", "张小明".as_bytes());
        assert_eq!(ring.open_text(1, "residents.name/a", &sealed).expect("opens"), "张小明");
        assert!(ring.open(2, "residents.name/a", &sealed).is_err());
        assert!(ring.open(1, "residents.name/b", &sealed).is_err());
        for flipped in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[flipped] ^= 1;
            assert!(ring.open(1, "residents.name/a", &broken).is_err(), "byte {flipped}");
        }
        assert!(ring.open(1, "residents.name/a", &[]).is_err());
        assert_ne!(sealed, ring.seal(1, "residents.name/a", "张小明".as_bytes()));
    }

    #[test]
    fn rotation_opens_and_finds_what_the_old_key_made() {
        let (old, new) = (Keyring::parse(ONE).expect("valid"), Keyring::parse(BOTH).expect("valid"));
        assert!(new.open(1, "x", &old.seal(1, "x", b"v")).is_ok());
        assert!(old.open(1, "x", &new.seal(1, "x", b"v")).is_err());
        assert!(new.blinds(1, "phone", "138").contains(&old.blind(1, "phone", "138")));
        assert_ne!(new.blind(1, "phone", "138"), new.blind(2, "phone", "138"));
        assert_ne!(new.blind(1, "phone", "138"), new.blind(1, "id_number", "138"));
        assert!(new.verify("cursor", b"v", &old.sign("cursor", b"v")));
        assert!(!new.verify("cursor", b"w", &old.sign("cursor", b"v")));
    }

    #[test]
    fn bad_rings_are_refused() {
        for text in ["", "1", "1:AAAA", "0:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "x:y"] {
            assert!(Keyring::parse(text).is_err(), "{text}");
        }
        assert!(Keyring::parse(&format!("{ONE},{ONE}")).is_err());
    }
}
