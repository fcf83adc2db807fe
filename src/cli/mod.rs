//! The subcommands of `mta-seal`.
