//! Both ends of a connection on which each side shows a certificate, and takes only one of a CA that it trusts.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};

use super::files::{Contents, Files, TlsError};

/// TLS 1.3 only, and nothing is resumed: each connection looks at the certificates anew.
pub struct Mutual {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
}

/// For whom certificates must be.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// For whom the certificate of whoever connects must be, beside being of a CA that is trusted.
    pub caller: Option<ServerName<'static>>,
    /// For whom one's own must be, as those who are dialled or dial will ask.
    pub own: Option<ServerName<'static>>,
}

impl Mutual {
    /// Reads the files; blocks. A certificate that the other side would refuse is an error here.
    pub fn read(files: &Files, names: &Names) -> Result<Mutual, TlsError> {
        let contents = files.read()?;
        let provider = Arc::new(ring::default_provider());
        let callers = callers(files, &contents, &provider, names)?;
        let own = check_own(&contents, &*callers, &provider, names);
        own.map_err(|source| TlsError::Own {
            path: files.cert.clone(),
            source,
        })?;
        let ends = ends(contents, callers, &provider);
        ends.map_err(|source| TlsError::Key {
            key: files.key.clone(),
            cert: files.cert.clone(),
            source,
        })
    }
}

/// Who decides whether a caller is let in.
fn callers(
    files: &Files,
    contents: &Contents,
    provider: &Arc<CryptoProvider>,
    names: &Names,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = contents.roots.clone();
    let of_ca = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
    let of_ca = of_ca.map_err(|source| TlsError::Verifier {
        path: files.ca.clone(),
        source,
    })?;
    Ok(match &names.caller {
        Some(name) => Arc::new(Named {
            of_ca,
            name: name.clone(),
        }),
        None => of_ca,
    })
}

/// Looks at one's own certificate as the other side will, at either end.
fn check_own(
    contents: &Contents,
    callers: &dyn ClientCertVerifier,
    provider: &CryptoProvider,
    names: &Names,
) -> Result<(), rustls::Error> {
    let (own, others) = contents.chain.split_first().expect("at least one");
    let now = UnixTime::now();
    callers.verify_client_cert(own, others, now)?;
    let parsed = ParsedCertificate::try_from(own)?;
    let algorithms = provider.signature_verification_algorithms.all;
    let roots = &contents.roots;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, algorithms)?;
    match &names.own {
        Some(name) => verify_server_name(&parsed, name),
        None => Ok(()),
    }
}

fn ends(
    contents: Contents,
    callers: Arc<dyn ClientCertVerifier>,
    provider: &Arc<CryptoProvider>,
) -> Result<Mutual, rustls::Error> {
    let Contents { chain, key, roots } = contents;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain.clone(), key.clone_key())?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    client.resumption = Resumption::disabled();
    Ok(Mutual {
        client: Arc::new(client),
        server: Arc::new(server),
    })
}

/// Takes a caller whose certificate is of a CA that is trusted, and for this name.
#[derive(Debug)]
struct Named {
    of_ca: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.of_ca.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .of_ca
            .verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.of_ca.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.of_ca.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.of_ca.supported_verify_schemes()
    }
}
