//! The commands about people, tills and the audit trail.

use clap::{Subcommand, ValueEnum};
use pos_model::{OperatorId, TillId};
use protocol::latest::people::RoleName;

use super::ending;

/// Operators. A PIN is typed at a prompt, or comes as one line on stdin; never as a flag, which others could see.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Add an operator; asks for their PIN
    ///
    /// As long as a store has none, everything is allowed to everybody. From the first one on, whoever works at a till signs
    /// on there. The agent must be running.
    #[command(after_help = ending("breakwater-agent operator add chen --name \"Chen\" --role manager", ""))]
    Add {
        /// Their id, for ever: letters, digits, '-' and '_'
        operator: OperatorId,
        /// Their name on the screen
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What they are
        #[arg(long, value_name = "ROLE")]
        role: RoleWord,
    },
    /// List the operators
    #[command(after_help = ending("breakwater-agent operator list --json", ""))]
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Give an operator another PIN; wrong ones are forgotten
    #[command(after_help = ending("breakwater-agent operator set-pin li", ""))]
    SetPin {
        /// Their id
        operator: OperatorId,
    },
    /// Make an operator something else
    #[command(after_help = ending("breakwater-agent operator set-role li shift-lead", ""))]
    SetRole {
        /// Their id
        operator: OperatorId,
        /// What they are from this moment on
        role: RoleWord,
    },
    /// Let an operator sign on no more; the audit trail goes on naming them
    #[command(after_help = ending("breakwater-agent operator remove li", ""))]
    Remove {
        /// Their id
        operator: OperatorId,
    },
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Sells
    Cashier,
    /// Leads a shift: voids, refunds, cash movements, counts
    ShiftLead,
    /// Answers for the store
    Manager,
}

impl From<RoleWord> for RoleName {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Cashier => Self::Cashier,
            RoleWord::ShiftLead => Self::ShiftLead,
            RoleWord::Manager => Self::Manager,
        }
    }
}

/// Tills. The agent must be running.
#[derive(Debug, Subcommand)]
pub enum TillCommand {
    /// Print a code by which a till pairs
    ///
    /// It holds for ten minutes, or until the agent is started again. The till gets a token for it.
    #[command(after_help = ending("breakwater-agent till pair-code --tills 3", ""))]
    PairCode {
        /// How many tills may pair with it
        #[arg(long, default_value_t = 1, value_name = "COUNT")]
        tills: u32,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tills that were paired
    #[command(after_help = ending("breakwater-agent till list --json", ""))]
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Take a till's token back; what it has open ends
    #[command(after_help = ending("breakwater-agent till revoke T2", ""))]
    Revoke {
        /// The till
        till: TillId,
    },
}

/// The audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List what an auditor should see: voids, approvals, wrong PINs, clock jumps and so on; the newest come last
    #[command(after_help = ending("breakwater-agent audit list --limit 50", ""))]
    List {
        /// At most so many, the newest
        #[arg(long, default_value_t = 100, value_name = "MARKS", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}
