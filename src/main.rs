//! The command line.

mod commands;
mod imports;
mod keepers;
mod serving;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lianxin::{generator, sample};

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
    /// Imports a file: all of it or nothing; importing it again changes nothing.
    #[command(subcommand)]
    Import(Import),
    /// Fills a county with windows, residents, appointments, errands, volunteers, orders, ratings, households and visits that look real, once; the same seed gives the same county.
    /// Development only.
    Generate(Generate),
    /// Members of staff.
    #[command(subcommand)]
    Staff(Staff),
    /// The counties of this installation, their mini-programs and SMS gateways.
    #[command(subcommand)]
    County(County),
    /// Keys that sign access tokens, and master keys that seal.
    #[command(subcommand)]
    Keys(Keys),
    /// The audit log.
    #[command(subcommand)]
    Audit(Audit),
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
    /// The catalogue of a county, the JSON file of `GET /v1/catalogue/export`: departments, matters and their versions.
    Catalogue {
        #[command(flatten)]
        file: File,
        /// Tenant key of the county, for example 350425.
        #[arg(long)]
        county: String,
    },
}

#[derive(Args)]
struct File {
    file: PathBuf,
    /// Only says what would change.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct Generate {
    /// Tenant key of a county; the sample county is made if it is missing.
    #[arg(long, default_value = sample::COUNTY)]
    county: String,
    /// small (1000 residents), medium (50000), large (400000, two million past appointments), or a number of residents.
    #[arg(long, default_value = "small")]
    size: generator::Size,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead of those that belong to the size.
    #[arg(long)]
    past_appointments: Option<usize>,
    /// Errands filed in the last two years, most of them in the archive; instead of those that belong to the size.
    #[arg(long)]
    past_errands: Option<usize>,
    /// Errands whose limits run, or are over; instead of those that belong to the size.
    #[arg(long)]
    open_errands: Option<usize>,
    /// Orders of the last two years that were done and confirmed; instead of those that belong to the size
    #[arg(long)]
    past_orders: Option<usize>,
    /// Orders of the next days that nobody has taken yet; instead of those that belong to the size
    #[arg(long)]
    open_orders: Option<usize>,
    /// Residents who help; instead of those that belong to the size
    #[arg(long)]
    volunteers: Option<usize>,
    /// Ratings of past orders, no more than these; instead of those that belong to the size
    #[arg(long)]
    ratings: Option<usize>,
    /// Households of three; instead of those that belong to the size
    #[arg(long)]
    households: Option<usize>,
    /// Visits to them in the last two years; instead of those that belong to the size
    #[arg(long)]
    visits: Option<usize>,
    /// Also into a production installation. The people are not real, and nothing takes them out again.
    #[arg(long)]
    into_production: bool,
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
        /// county_admin, supervisor, department_staff, township_staff, village_cadre or specialist. Which department, is said over
        /// the API: `PUT /v1/staff/{id}/posts/{post_id}`.
        #[arg(long, default_value = "county_admin")]
        role: lianxin::http::permissions::Role,
        /// Name of the township or village of the post, or its division code.
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
    /// Makes a county and its own unit; townships and villages come with `import divisions`.
    Create {
        /// Tenant key, immutable; at best the six digits of the division code.
        #[arg(long)]
        key: String,
        #[arg(long)]
        name: String,
        /// Division code with 12 digits; the key and six zeros by default.
        #[arg(long)]
        code: Option<String>,
        /// Whose numbering the code is.
        #[arg(long, default_value = "statistics_bureau")]
        source: String,
    },
    /// Every county with its state.
    List,
    /// Shuts a county out within 5 seconds: no logins, sessions refused, public reads 404, jobs wait.
    Suspend {
        #[arg(long)]
        county: String,
        /// For the audit log; nobody outside is told.
        #[arg(long)]
        reason: String,
    },
    /// Lets a suspended county work again, with the sessions that it had.
    Resume {
        #[arg(long)]
        county: String,
    },
    /// Sets the SMS gateway; its secret comes from LIANXIN_SMS_SECRET or the first line of the input, and is sealed.
    Sms {
        #[arg(long)]
        county: String,
        /// Where messages are POSTed as JSON; https in production.
        #[arg(long)]
        url: String,
    },
}

#[derive(Subcommand)]
enum Keys {
    /// Adds a signing key; it signs after a minute, and the old ones are dropped when their last token has expired.
    Rotate,
    /// Seals everything again under the newest key of ENCRYPTION_KEYS. May be stopped at any time and run again.
    Reseal {
        /// Rows in one transaction.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..=5000))]
        batch: i64,
    },
    /// Says how many values lie under which key, and which keys may be removed.
    Status,
}

#[derive(Subcommand)]
enum Audit {
    /// Recomputes every seal; fails and names the first broken batch when something was changed, removed or added.
    Verify {
        /// Only this county.
        #[arg(long)]
        county: Option<String>,
        /// A digest noted earlier: must still be in the chain.
        #[arg(long)]
        anchor: Option<String>,
    },
    /// Deletes entries that were kept long enough (setting privacy.audit_months), as the owner (DATABASE_OWNER_URL).
    Prune,
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
