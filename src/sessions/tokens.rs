//! Access tokens (JWT, EdDSA) and the keys that sign them; refresh tokens, each derived from the one before.

use std::{
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::{ACCESS_LIFE, Claims},
    store::{self, SigningKey},
};
use crate::{
    app::App,
    crypto::{self, GLOBAL},
    error::{Code, Error, Result},
    http::caller::Caller,
};

const ISSUER: &str = "lianxin";

/// How long a rotation by another process may stay unseen; a new key signs only after twice that.
const FRESH: Duration = Duration::from_secs(30);

/// A public key as published (RFC 8037).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "0199a0c0", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}))]
pub struct Jwk {
    pub kty: &'static str,
    pub crv: &'static str,
    #[serde(rename = "use")]
    pub usage: &'static str,
    pub alg: &'static str,
    pub kid: String,
    /// The public key, base64url.
    pub x: String,
}

struct Key {
    jwk: Jwk,
    encoding: EncodingKey,
    decoding: DecodingKey,
    signs_from: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

type Ring = Arc<Vec<Key>>;

/// A token that was verified before.
#[derive(Clone)]
pub(super) struct Verified {
    pub caller: Caller,
    pub expires: i64,
}

/// Keys at hand, tokens verified before, and sessions known to be live a moment ago.
pub struct Tokens {
    ring: RwLock<Option<(Ring, Instant)>>,
    verified: Cache<Box<str>, Arc<Verified>>,
    pub(super) live: Cache<Uuid, Instant>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { ring: RwLock::default(), verified: Cache::new(20_000), live: Cache::new(20_000) }
    }
}

fn new_key(app: &App, signs_from: DateTime<Utc>) -> Result<SigningKey> {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(Error::internal)?;
    let public = Ed25519KeyPair::from_pkcs8(pair.as_ref()).map_err(Error::internal)?;
    let kid = Uuid::now_v7().simple().to_string();
    let private_key = app.keys.seal(GLOBAL, &place(&kid), pair.as_ref());
    let public_key = public.public_key().as_ref().to_vec();
    Ok(SigningKey { kid, public_key, private_key, created_at: app.clock.now(), signs_from, retired_at: None })
}

fn place(kid: &str) -> String {
    format!("signing_keys.private_key/{kid}")
}

fn read(app: &App, key: SigningKey) -> Result<Key> {
    let private = app.keys.open(GLOBAL, &place(&key.kid), &key.private_key)?;
    let x = BASE64_URL_SAFE_NO_PAD.encode(&key.public_key);
    let decoding = DecodingKey::from_ed_components(&x).map_err(Error::internal)?;
    let jwk = Jwk { kty: "OKP", crv: "Ed25519", usage: "sig", alg: "EdDSA", kid: key.kid, x };
    let encoding = EncodingKey::from_ed_der(&private);
    Ok(Key { jwk, encoding, decoding, signs_from: key.signs_from, retired_at: key.retired_at })
}

/// Adds a signing key. It signs once every process has had time to learn of it; the old ones go when their last token has.
pub async fn rotate(app: &App) -> Result<String> {
    let signs_from = app.clock.now() + TimeDelta::seconds(2 * FRESH.as_secs() as i64);
    let key = new_key(app, signs_from)?;
    let kid = key.kid.clone();
    let until = signs_from + ACCESS_LIFE;
    app.db.write("rotate_signing_key", move |conn| Ok(store::rotate_signing_key(conn, &key, until)?)).await?;
    Ok(kid)
}

impl Tokens {
    /// The keys; read again every half minute, or at once with `again`. The first start makes the first key.
    async fn ring(&self, app: &App, again: bool) -> Result<Ring> {
        let known = self.ring.read().ok().and_then(|known| known.clone());
        if let Some((ring, read)) = &known
            && (read.elapsed() < FRESH && !again || read.elapsed() < Duration::from_secs(1))
        {
            return Ok(ring.clone());
        }
        let now = app.clock.now();
        let mut rows = match (app.db.read("signing_keys", move |conn| Ok(store::signing_keys(conn, now)?)).await, known)
        {
            (Ok(rows), _) => rows,
            (Err(_), Some((ring, _))) => return Ok(ring),
            (Err(error), None) => return Err(error),
        };
        if rows.is_empty() {
            let key = new_key(app, now)?;
            rows = app.db.write("first_signing_key", move |conn| Ok(store::first_signing_key(conn, &key)?)).await?;
        }
        let keys = rows.into_iter().map(|row| read(app, row)).collect::<Result<Vec<_>>>()?;
        let ring = Arc::new(keys);
        if let Ok(mut known) = self.ring.write() {
            *known = Some((ring.clone(), Instant::now()));
        }
        Ok(ring)
    }

    /// The public keys, newest first.
    pub async fn jwks(&self, app: &App) -> Result<Vec<Jwk>> {
        Ok(self.ring(app, false).await?.iter().map(|key| key.jwk.clone()).collect())
    }

    /// Signs an access token, good until `until`.
    pub(super) async fn sign(&self, app: &App, caller: &Caller, until: DateTime<Utc>) -> Result<String> {
        let (ring, now) = (self.ring(app, false).await?, app.clock.now());
        let key = ring.iter().find(|key| key.signs_from <= now).or(ring.last());
        let key = key.ok_or_else(|| Error::internal("no signing key"))?;
        let claims = Claims {
            iss: ISSUER.into(),
            sub: caller.subject,
            sid: caller.session,
            county: caller.county_key.to_string(),
            cno: caller.county,
            role: caller.role,
            unit: caller.unit,
            iat: now.timestamp(),
            exp: until.timestamp(),
        };
        let header = Header { kid: Some(key.jwk.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(Error::internal)
    }

    /// Verifies signature and age. A token verified before costs one look into memory.
    pub(super) async fn verify(&self, app: &App, token: &str) -> Result<Arc<Verified>> {
        let verified = match self.verified.get(token) {
            Some(verified) => verified,
            None => {
                let verified = Arc::new(self.check(app, token).await?);
                self.verified.insert(token.into(), verified.clone());
                verified
            }
        };
        if verified.expires <= app.clock.now().timestamp() {
            return Err(Code::TokenExpired.into());
        }
        Ok(verified)
    }

    async fn check(&self, app: &App, token: &str) -> Result<Verified> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Code::Unauthenticated)?;
        let kid = header.kid.ok_or(Code::Unauthenticated)?;
        let mut ring = self.ring(app, false).await?;
        if !ring.iter().any(|key| key.jwk.kid == kid) {
            ring = self.ring(app, true).await?;
        }
        let now = app.clock.now();
        let fits = |key: &&Key| key.jwk.kid == kid && key.retired_at.is_none_or(|retired| retired > now);
        let key = ring.iter().find(fits).ok_or(Code::Unauthenticated)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_required_spec_claims(&["iss", "sub", "exp"]);
        // The age is checked against our own clock, at every use.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &rules);
        let claims = claims.map_err(|_| Code::Unauthenticated)?.claims;
        let caller = Caller {
            county: claims.cno,
            county_key: claims.county.into(),
            session: claims.sid,
            subject: claims.sub,
            role: claims.role,
            unit: claims.unit,
        };
        Ok(Verified { caller, expires: claims.exp })
    }
}

/// A refresh token: which session, and a secret. Only its hash is stored.
#[derive(Clone, Debug)]
pub(super) struct RefreshToken {
    pub county: i32,
    pub session: Uuid,
    secret: [u8; 32],
}

impl RefreshToken {
    pub fn first(county: i32, session: Uuid) -> Self {
        Self { county, session, secret: rand::random() }
    }

    /// The one that follows, under every key from the current one on. Derived, so that a repeated refresh is answered with the
    /// same token again.
    pub fn nexts(&self, app: &App) -> Vec<Self> {
        let material = [self.session.as_bytes().as_slice(), &self.secret].concat();
        app.keys.signs("refresh", &material).into_iter().map(|secret| Self { secret, ..*self }).collect()
    }

    pub fn hash(&self) -> Vec<u8> {
        crypto::digest(&self.secret).to_vec()
    }

    fn bytes(&self) -> [u8; 52] {
        let mut bytes = [0; 52];
        bytes[..4].copy_from_slice(&self.county.to_be_bytes());
        bytes[4..20].copy_from_slice(self.session.as_bytes());
        bytes[20..].copy_from_slice(&self.secret);
        bytes
    }

    /// As the client carries it; the tag at the end keeps those who only know a session's id from ending it.
    pub fn text(&self, app: &App) -> String {
        let bytes = self.bytes();
        let tag = app.keys.sign("refresh_token", &bytes);
        BASE64_URL_SAFE_NO_PAD.encode([&bytes[..], &tag[..16]].concat())
    }

    pub fn parse(app: &App, text: &str) -> Option<Self> {
        let whole: [u8; 68] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (bytes, tag) = whole.split_at(52);
        if !app.keys.verify("refresh_token", bytes, tag) {
            return None;
        }
        let county = i32::from_be_bytes(*bytes.first_chunk()?);
        let session = Uuid::from_slice(&bytes[4..20]).ok()?;
        Some(Self { county, session, secret: bytes[20..].try_into().ok()? })
    }
}
