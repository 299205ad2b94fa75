//! Certificates for nodes, of CAs that live as long as a test.

use std::path::Path;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

/// A CA with a name of its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Authority(ca))
    }

    /// Writes a certificate for this host, its key and the CA into `dir`, over what was there; answers the node's options.
    pub fn issue(&self, dir: &Path, host: &str) -> Result<String> {
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.0)?;
        let mut options = String::new();
        for (option, name, text) in [
            ("cluster-tls-cert", "node.crt", cert.pem()),
            ("cluster-tls-key", "node.key", key.serialize_pem()),
            ("cluster-tls-ca", "ca.crt", self.0.pem()),
        ] {
            let path = dir.join(name);
            std::fs::write(&path, text)?;
            options += &format!("{option} = '{}'\n", path.display());
        }
        Ok(options)
    }
}
