//! Why a command ended without success, in words for who typed it.

use std::io;
use std::path::PathBuf;

use crate::client::{ClientError, HttpError};

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("line {line}: {reason}")]
    Line { line: usize, reason: String },
    #[error("{0}")]
    Usage(String),
    /// The command ran, and its answer is no; all has been said.
    #[error("{0}")]
    No(String),
}
