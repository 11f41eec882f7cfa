//! TLS and ACL users against a real server, with certificates made for the test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};

use super::*;
use crate::online::testing::{TestCluster, TestServer, unique_project};

/// An authority and what it signed.
struct Files {
    folder: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named("the tests' authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let files = Self { folder: tempfile::tempdir().unwrap(), authority };
        std::fs::write(files.path("ca.pem"), files.authority.pem()).unwrap();
        files.sign("server", "127.0.0.1");
        files.sign("client", "client.example");
        files.sign("elsewhere", "redis.example");
        files
    }

    fn sign(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        // A certificate that bears its issuer's name is taken for one that signed itself.
        params.distinguished_name = named(host);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// A server that speaks only TLS, and has no user but `plumb`.
    fn serve(&self, certificate: &str, clients: &str) -> TestServer {
        let (cert, key) = (self.text(&format!("{certificate}.pem")), self.text(&format!("{certificate}.key")));
        TestServer::start(&[
            "--tls-port",
            "PORT",
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &self.text("ca.pem"),
            "--tls-auth-clients",
            clients,
            "--user",
            "plumb",
            "on",
            ">s3cret",
            "~plumb:*",
            "+@all",
            "-@dangerous",
        ])
    }

    fn config(&self, server: &TestServer) -> RedisConfig {
        let url = format!("rediss://plumb:s3cret@127.0.0.1:{}/0", server.argument("--tls-port"));
        let tls = TlsFiles { ca: Some(self.path("ca.pem")), identity: None };
        RedisConfig { tls, timeout: PATIENT, ..RedisConfig::one(&url).unwrap() }
    }

    fn identity(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.path("client.pem"), self.path("client.key")))
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

async fn refused(config: &RedisConfig) -> String {
    let error = RedisStore::open(config, "p").await.unwrap_err();
    let text = schema::error::chain(&error);
    // A server that does not speak TLS waits for the end of a command that never comes.
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    text
}

#[tokio::test]
async fn conforms() {
    let files = Files::new();
    let server = files.serve("server", "yes");
    let mut config = files.config(&server);
    config.tls.identity = files.identity();
    online_store_conformance(Arc::new(RedisStore::open(&config, &unique_project()).await.unwrap())).await;
    // Nobody else gets in: not without a certificate of ours, and not as another.
    config.tls.identity = None;
    refused(&config).await;
    config.tls.identity = Some((files.path("client.pem"), files.path("client.key")));
    config.servers = RedisServers::One(
        format!("rediss://nobody:s3cret@127.0.0.1:{}", server.argument("--tls-port")).parse().unwrap(),
    );
    let text = refused(&config).await;
    assert!(text.contains("does not accept this user and password"), "{text}");
}

#[tokio::test]
async fn only_the_right_server_is_talked_to() {
    let (files, others) = (Files::new(), Files::new());
    let server = files.serve("server", "no");
    RedisStore::open(&files.config(&server), "p").await.unwrap();

    // Signed by somebody else; by whoever the operating system trusts; for another host.
    let mut config = files.config(&server);
    config.tls.ca = Some(others.path("ca.pem"));
    let text = refused(&config).await;
    assert!(text.contains("certificate"), "{text}");
    config.tls.ca = None;
    match RedisStore::open(&config, "p").await {
        Err(OnlineError::Settings { problem }) => assert!(problem.contains("trusts nobody"), "{problem}"),
        other => assert_eq!(other.unwrap_err().kind(), ErrorKind::Unavailable),
    }
    let elsewhere = files.serve("elsewhere", "no");
    let text = refused(&files.config(&elsewhere)).await;
    assert!(text.contains("not valid for name"), "{text}");
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear() {
    let files = Files::new();
    // A server without TLS, asked with it.
    let plain = TestServer::start(&[]);
    let mut config = files.config(&files.serve("server", "no"));
    config.servers = RedisServers::One(format!("rediss://127.0.0.1:{}", plain.port()).parse().unwrap());
    config.timeout = Duration::from_secs(1);
    refused(&config).await;
    // One with TLS, asked without it.
    let server = files.serve("server", "no");
    let url = format!("redis://plumb:s3cret@127.0.0.1:{}", server.argument("--tls-port"));
    refused(&RedisConfig { timeout: PATIENT, ..RedisConfig::one(&url).unwrap() }).await;
}

#[tokio::test]
async fn a_cluster_is_encrypted_to_its_last_node() {
    let files = Files::new();
    let (cert, key, ca) = (files.text("server.pem"), files.text("server.key"), files.text("ca.pem"));
    let cluster = TestCluster::start_with(
        2,
        0,
        10_000,
        &[
            "--tls-port",
            "PORT",
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
            "--tls-cluster",
            "yes",
        ],
    );
    let first = format!("rediss://127.0.0.1:{}", cluster.nodes[0].argument("--tls-port"));
    let servers = RedisServers::Cluster(vec![first.parse().unwrap()]);
    let tls = TlsFiles { ca: Some(files.path("ca.pem")), identity: None };
    let config = RedisConfig { tls, timeout: PATIENT, ..RedisConfig::of(servers) };
    let store = RedisStore::open(&config, &unique_project()).await.unwrap();
    let cells: Vec<_> = (0..50_u32).map(|i| (EntityKey::from_bytes(&i.to_be_bytes()), cell(1))).collect();
    assert_eq!(store.put_many(&table(), &cells, at(1)).await.unwrap().written, 50);
    for node in &cluster.nodes {
        assert_ne!(node.ask(&["DBSIZE"]), Value::Int(0));
    }
}

/// Files that are missing or something else are named before anything is asked.
#[tokio::test]
async fn mistakes_in_files_are_found_at_once() {
    let files = Files::new();
    std::fs::write(files.path("empty.pem"), "").unwrap();
    let check = async |ca: &str, identity: Option<(&str, &str)>, want: &str| {
        let identity = identity.map(|(cert, key)| (files.path(cert), files.path(key)));
        let tls = TlsFiles { ca: Some(files.path(ca)), identity };
        // Nobody listens there.
        let config = RedisConfig { tls, ..RedisConfig::one("rediss://127.0.0.1:1").unwrap() };
        let error = RedisStore::open(&config, "p").await.unwrap_err();
        let text = error.to_string().replace(&*Path::new(files.folder.path()).to_string_lossy(), "");
        assert!(matches!(error, OnlineError::Settings { .. }), "{text}");
        assert!(text.contains(want), "{text}");
    };
    check("none.pem", None, "reading `/none.pem`: ").await;
    check("empty.pem", None, "reading `/empty.pem`: it holds no certificate").await;
    check("ca.pem", Some(("client.pem", "none.key")), "reading `/none.key`: ").await;
    check("ca.pem", Some(("client.pem", "client.pem")), "reading `/client.pem`: ").await;
    check("ca.pem", Some(("client.pem", "server.key")), "certificate `/client.pem` with key `/server.key`: ").await;
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let urls = |urls: &[&str]| urls.iter().map(|url| url.parse().unwrap()).collect();
    let check = |config: RedisConfig, want: &str| {
        let error = config.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(want), "{error}");
    };
    let cluster = |named: &[&str]| RedisConfig::of(RedisServers::Cluster(urls(named)));
    let ca = TlsFiles { ca: Some(PathBuf::from("ca.pem")), identity: None };
    check(cluster(&[]), "there is no URL");
    check(cluster(&["redis://a", "rediss://b"]), "either all connections are encrypted or none");
    check(RedisConfig { tls: ca, ..cluster(&["redis://a"]) }, "write `rediss://`");
    check(cluster(&["redis://u:p@a", "redis://u:q@b"]), "different users");
    check(cluster(&["redis://a/1"]), "only database 0");
    check(RedisConfig { database: Some(2), ..cluster(&["redis://a"]) }, "only database 0");
    check(RedisConfig { timeout: Duration::ZERO, ..cluster(&["redis://a"]) }, "`timeout` is zero");
    let watched =
        |url: &str| RedisServers::Sentinel { master: "m".to_owned(), sentinels: urls(&[url]), login: Login::default() };
    check(RedisConfig::of(watched("redis://a/1")), "a sentinel has no databases");
    cluster(&["redis://u:p@a", "redis://b"]).check().unwrap();
    for wrong in ["localhost", "http://a", "redis://", "rediss://a#insecure", "redis://a/x"] {
        assert!(wrong.parse::<RedisUrl>().is_err(), "{wrong}");
    }
    let url: RedisUrl = "rediss://u:p%23@[::1]:7000/3".parse().unwrap();
    assert_eq!((url.to_string(), url.login.password.as_deref()), ("rediss://[::1]:7000/3".to_owned(), Some("p#")));
    assert!(!format!("{:?}", RedisConfig::of(RedisServers::One(url))).contains("p#"));
}
