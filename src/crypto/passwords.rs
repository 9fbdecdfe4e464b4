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

/// The PHC string of a new password.
pub fn hash_password(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the default parameters are valid").to_string()
}

/// Whether `password` is the one of `hash`; with no hash it takes as long and says no.
pub async fn verify_password(password: String, hash: Option<String>) -> bool {
    let permit = AT_ONCE.clone().acquire_owned().await.expect("never closed");
    let (answer, verdict) = oneshot::channel();
    std::thread::spawn(move || {
        // Held by the work, not by the caller: one who hangs up does not make room before it is done.
        let _permit = permit;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let fits = PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        let _ = answer.send(known && fits);
    });
    verdict.await.unwrap_or(false)
}
