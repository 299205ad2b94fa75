//! Why a TLS connection did not come about, and what to do, in words for people.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// What went wrong with a peer, as a sentence in which "it" is the peer.
pub fn of_peer(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => format!("its certificate {}", of_certificate(error)),
        Error::NoCertificatesPresented => {
            "it shows no certificate: give it one of a CA that is trusted here".to_owned()
        }
        error if is_no_tls(error) => "it does not speak TLS".to_owned(),
        Error::AlertReceived(alert) => of_alert(*alert),
        other => format!("TLS with it failed: {other}"),
    }
}

/// Whether what the peer said was no TLS at all.
pub fn is_no_tls(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidMessage(InvalidMessage::InvalidContentType)
    )
}

/// What is wrong with one's own certificate, as the end of a sentence that begins with it.
pub fn of_own(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        other => format!("is of no use: {other}"),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as Wrong;
    match error {
        // A CA of the same name with another key comes as the second.
        Wrong::UnknownIssuer | Wrong::BadSignature => {
            "is signed by no CA that is trusted here: have it signed by one, or trust its CA too"
                .to_owned()
        }
        Wrong::Expired | Wrong::ExpiredContext { .. } => "has expired: renew it".to_owned(),
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
            "is not valid yet: compare the clocks of both machines".to_owned()
        }
        Wrong::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "is not for {}, but for [{}]: have it made for that name",
            expected.to_str(),
            presented.join(", ")
        ),
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => {
            "is not made for both ends of a connection: it needs the extended key usages serverAuth and clientAuth"
                .to_owned()
        }
        other => format!("is not taken: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    let of_certificate = match alert {
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "is signed by no CA that is trusted there: have it signed by one, or have its CA trusted there too"
        }
        AlertDescription::CertificateExpired => "has expired, or is not valid yet by its clock",
        AlertDescription::BadCertificate => "is for another name than it asks for",
        AlertDescription::UnsupportedCertificate => {
            "lacks the extended key usages serverAuth and clientAuth"
        }
        AlertDescription::CertificateRequired => "was not shown",
        other => return format!("it ended TLS ({other:?}): its log says why"),
    };
    format!("it refuses this node: this node's certificate {of_certificate} ({alert:?})")
}
