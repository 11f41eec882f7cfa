//! TLS by rustls and ring. The provider is named here, not taken from the process, so that no other crate's features
//! can change it; certificates are always checked, and a connection that should be encrypted is never made in the clear.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use schema::BoxError;

use super::config::TlsFiles;
use crate::online::OnlineError;

/// How to open an encrypted connection; one for all of a store, so that sessions are resumed.
pub(super) fn client(files: &TlsFiles) -> Result<Arc<ClientConfig>, OnlineError> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|why| problem(format!("TLS: {why}")))?
        .with_root_certificates(roots(files.ca.as_deref())?);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = certificates(cert)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable(key, &why))?;
            builder.with_client_auth_cert(chain, secret).map_err(|why| {
                problem(format!("certificate `{}` with key `{}`: {why}", cert.display(), key.display()))
            })?
        }
    };
    Ok(Arc::new(config))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, OnlineError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|why| unreadable(ca, &why))?;
        }
        return Ok(roots);
    }
    // Single files that the system keeps and nobody can read are no reason to fail; to find none is.
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        return Err(problem("the operating system trusts nobody: name the servers' authority as `tls: {ca: file}`"));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OnlineError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|why| unreadable(path, &why))?;
    if found.is_empty() { Err(unreadable(path, &"it holds no certificate")) } else { Ok(found) }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> OnlineError {
    problem(format!("reading `{}`: {why}", path.display()))
}

fn problem(problem: impl Into<String>) -> OnlineError {
    OnlineError::Settings { problem: problem.into() }
}

/// The name that a server's certificate must carry.
pub(super) fn server_name(host: &str) -> Result<rustls::pki_types::ServerName<'static>, BoxError> {
    Ok(rustls::pki_types::ServerName::try_from(host)?.to_owned())
}
