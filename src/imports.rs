//! `lianxin import`: reads the file, and says what it did.

use anyhow::{Context, Result};
use lianxin::{app::App, calendar, matters, units};

use crate::Import;

pub async fn import(app: &App, import: Import) -> Result<()> {
    let (file, imported) = match import {
        Import::Divisions { file, source, vintage } => {
            let content = std::fs::read(&file.file).with_context(|| file.file.display().to_string())?;
            let imported = units::import::import(app, &content, &source, vintage.as_deref(), file.dry_run).await?;
            (file, imported)
        }
        Import::Calendar { file, allow_removal } => {
            let content = std::fs::read(&file.file).with_context(|| file.file.display().to_string())?;
            let imported = calendar::import::import(app, &content, file.dry_run, allow_removal).await?;
            (file, imported)
        }
        Import::Catalogue { file, county } => {
            let content = std::fs::read(&file.file).with_context(|| file.file.display().to_string())?;
            let imported = matters::import::import(app, &county, &content, file.dry_run).await?;
            (file, imported)
        }
    };
    let did = if file.dry_run { "would import" } else { "imported" };
    println!("{did} {}: {imported}", file.file.display());
    Ok(())
}
