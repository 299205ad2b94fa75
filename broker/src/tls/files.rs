//! A certificate, its key, and the CAs that vouch for others, as files in PEM.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::reason;

#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate first, then those that lead from it to its CA.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// One certificate or several.
    pub ca: PathBuf,
}

/// What the files hold.
pub struct Contents {
    /// At least one: the certificate, then those that lead to its CA.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub roots: Arc<RootCertStore>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: no {what} in PEM: {source}")]
    Pem {
        path: PathBuf,
        what: &'static str,
        source: pem::Error,
    },
    #[error("{path}: not the certificate of a CA: {source}")]
    Ca {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("{key} is not the key of {cert}: {source}")]
    Key {
        key: PathBuf,
        cert: PathBuf,
        source: rustls::Error,
    },
    #[error("others would not take {path}: it {}", reason::of_own(.source))]
    Own {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("{path}: {source}")]
    Verifier {
        path: PathBuf,
        source: rustls::server::VerifierBuilderError,
    },
}

impl Files {
    /// Where a change is to be looked for.
    pub fn paths(&self) -> Vec<PathBuf> {
        vec![self.cert.clone(), self.key.clone(), self.ca.clone()]
    }

    /// Reads the files; blocks.
    pub fn read(&self) -> Result<Contents, TlsError> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?);
        let key = key.map_err(|source| TlsError::Pem {
            path: self.key.clone(),
            what: "private key",
            source,
        })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.ca)? {
            roots.add(root).map_err(|source| TlsError::Ca {
                path: self.ca.clone(),
                source,
            })?;
        }
        Ok(Contents {
            chain,
            key,
            roots: Arc::new(roots),
        })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The certificates of a file; none is an error.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem {
        path: path.to_owned(),
        what: "certificate",
        source,
    };
    let bytes = bytes(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(wrong)?;
    match found.is_empty() {
        true => Err(wrong(pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}
