//! Passwords, hashed with argon2id on threads of their own, so that logins never starve other requests.

use std::sync::{Arc, LazyLock};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::{Semaphore, oneshot};

/// Hashes at once; each takes 19 MiB and one core for some tens of milliseconds.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// Verified for users that do not exist, so that the time taken does not tell.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password("nobody"));

/// Neither 0 and O nor 1, I and L: read out over the phone and typed on small keys.
const UNAMBIGUOUS: &[u8] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// The PHC string of a new password.
pub fn hash_password(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the default parameters are valid").to_string()
}

/// Waits for one of the few places and works on a thread of its own.
async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let permit = AT_ONCE.clone().acquire_owned().await.expect("never closed");
    let (answer, verdict) = oneshot::channel();
    std::thread::spawn(move || {
        // Whoever waits for anything else goes first; on Linux the nice value is the thread's own.
        let _ = rustix::process::nice(10);
        // Held by the work, not by the caller: one who hangs up does not make room before it is done.
        let _permit = permit;
        let _ = answer.send(work());
    });
    verdict.await.ok()
}

/// [`hash_password`] in turn, for requests.
pub async fn hash_password_in_turn(password: String) -> crate::error::Result<String> {
    let hash = in_turn(move || hash_password(&password)).await;
    hash.ok_or_else(|| crate::error::Error::internal("hashing a password broke off"))
}

/// Whether `password` is the one of `hash`; with no hash it takes as long and says no.
pub async fn verify_password(password: String, hash: Option<String>) -> bool {
    let verdict = in_turn(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let fits = PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        known && fits
    });
    verdict.await.unwrap_or(false)
}

/// A random code of characters that nobody confuses: 4.95 bits each.
pub fn random_code(length: usize) -> String {
    (0..length).map(|_| char::from(UNAMBIGUOUS[rand::random_range(0..UNAMBIGUOUS.len())])).collect()
}
