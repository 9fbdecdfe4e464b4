//! The command line.

mod commands;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Back end of a county's party-masses service centres (党群服务中心).
///
/// Configured by the environment (README: Configuration). Production unless LIANXIN_MODE=development.
#[derive(Parser)]
#[command(version)]
enum Cli {
    /// Everything in one process: migrations, server, worker; in development also private databases, a fake WeChat and the
    /// sample county.
    Run,
    /// The HTTP server alone.
    Serve,
    /// The worker alone: relay, jobs, sweeps.
    Worker,
    /// Brings the database to the present schema, as the owner (DATABASE_OWNER_URL).
    Migrate {
        /// Takes every migration back instead: all data is lost.
        #[arg(long)]
        down: bool,
    },
    /// Prints the OpenAPI document.
    Openapi,
    /// Imports a CSV file: all of it or nothing; importing it again changes nothing.
    #[command(subcommand)]
    Import(Import),
    /// Members of staff.
    #[command(subcommand)]
    Staff(Staff),
    /// A county's mini-program.
    #[command(subcommand)]
    County(County),
    /// Keys that sign access tokens.
    #[command(subcommand)]
    Keys(Keys),
    /// Runs a command with private PostgreSQL and Redis in its environment (DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL),
    /// made for tests: fast, not durable. Development only.
    WithServices {
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// A WeChat of our own that speaks the real protocol. Development only.
    FakeWechat {
        #[arg(long, default_value_t = 8090)]
        port: u16,
    },
}

#[derive(Subcommand)]
enum Import {
    /// A county and its units: division_code,level,name,parent_code.
    Divisions {
        #[command(flatten)]
        file: File,
        /// Whose numbering the codes are.
        #[arg(long, default_value = "statistics_bureau")]
        source: String,
        /// The year of the numbering.
        #[arg(long)]
        vintage: Option<String>,
    },
    /// Statutory holidays and make-up workdays: date,kind,name. Replaces the years that the file holds.
    Calendar {
        #[command(flatten)]
        file: File,
        /// Days of the file's years that the file does not hold are removed.
        #[arg(long)]
        allow_removal: bool,
    },
}

#[derive(Args)]
struct File {
    file: PathBuf,
    /// Only says what would change.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum Staff {
    /// Creates a member of staff with one post; the password comes from LIANXIN_PASSWORD or the first line of the input.
    Create {
        /// Tenant key of the county, for example 350425.
        #[arg(long)]
        county: String,
        #[arg(long)]
        username: String,
        #[arg(long)]
        name: String,
        /// county_admin, supervisor, department_staff, township_staff, village_cadre or specialist.
        #[arg(long, default_value = "county_admin")]
        role: lianxin::http::permissions::Role,
        /// Name of the township or village of the post.
        #[arg(long)]
        unit: Option<String>,
    },
    /// Prints a one-time password, good for 24 hours; every session ends within 5 seconds. For a county whose administrators
    /// cannot log in themselves.
    ResetPassword {
        #[arg(long)]
        county: String,
        #[arg(long)]
        username: String,
    },
    /// Dismisses somebody who holds nothing any more: no login, and every session ends within 5 seconds. What is held is handed
    /// over through the API.
    Dismiss {
        #[arg(long)]
        county: String,
        #[arg(long)]
        username: String,
    },
}

#[derive(Subcommand)]
enum County {
    /// Sets appid and secret; the secret comes from LIANXIN_WECHAT_SECRET or the first line of the input, and is sealed.
    Wechat {
        #[arg(long)]
        county: String,
        #[arg(long)]
        appid: String,
        /// Template of the message that an appointment is booked.
        #[arg(long)]
        booked_template: Option<String>,
    },
}

#[derive(Subcommand)]
enum Keys {
    /// Adds a signing key; it signs after a minute, and the old ones are dropped when their last token has expired.
    Rotate,
}

fn main() -> std::process::ExitCode {
    match commands::execute(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lianxin: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
