//! Asking other services: what is taken for an answer, whom a secure one must be from, and where it ends.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daybook::config::{HttpClient, Settings, WebUrl, value::Setting as _};
use daybook::fetch::{Fetch, FetchError};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::crypto::ring::sign::any_eddsa_type;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::support::{Answer, Scratch, Web, pem};

const BYTES_MAX: usize = 1_000;

fn settings() -> HttpClient {
    Settings::default().http_client
}

fn url(text: &str) -> WebUrl {
    WebUrl::parse(text).unwrap()
}

async fn get(settings: &HttpClient, at: &str) -> Result<String, FetchError> {
    let body = Fetch::new(settings)
        .unwrap()
        .get(&url(at), BYTES_MAX)
        .await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn an_answer_is_a_body_that_was_asked_for_once_and_plainly() {
    let web = Web::start().await;
    web.answer("/keys?a=b", Answer::ok("{}"));
    web.answer("/full", Answer::ok("x".repeat(BYTES_MAX)));
    let at = format!("http://{}", web.address);
    assert_eq!(
        get(&settings(), &format!("{at}/keys?a=b")).await.unwrap(),
        "{}"
    );
    let full = get(&settings(), &format!("{at}/full")).await.unwrap();
    assert_eq!(full.len(), BYTES_MAX);

    let head = &web.heads()[0];
    let address = web.address;
    assert!(head.starts_with("GET /keys?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
    assert!(head.contains("user-agent: daybook/"), "{head}");
    let by_name = format!("http://localhost:{}/full", web.address.port());
    assert!(get(&settings(), &by_name).await.is_ok());
}

#[tokio::test]
async fn whatever_else_comes_is_none() {
    let web = Web::start().await;
    let elsewhere = format!("http://{}/secret", web.address);
    for (path, answer) in [
        ("/500", Answer::Text(500, "{}".into())),
        ("/204", Answer::Text(204, String::new())),
        ("/moved", Answer::Elsewhere(elsewhere)),
        ("/large", Answer::ok("x".repeat(BYTES_MAX + 1))),
        ("/endless", Answer::Endless),
        ("/half", Answer::Half),
        ("/noise", Answer::Noise),
        ("/silence", Answer::Silence),
        ("/secret", Answer::ok("secret")),
    ] {
        web.answer(path, answer);
    }
    let impatient = HttpClient {
        timeout: Duration::from_millis(300),
        ..settings()
    };
    type Is = fn(&FetchError) -> bool;
    let cases: [(&str, &HttpClient, Is); 8] = [
        ("/500", &settings(), |e| matches!(e, FetchError::Status(_))),
        ("/204", &settings(), |e| matches!(e, FetchError::Status(_))),
        ("/moved", &settings(), |e| {
            matches!(e, FetchError::Status(_))
        }),
        ("/large", &settings(), |e| {
            matches!(e, FetchError::TooLarge(_))
        }),
        ("/endless", &settings(), |e| {
            matches!(e, FetchError::TooLarge(_))
        }),
        ("/half", &settings(), |e| matches!(e, FetchError::Http(_))),
        ("/noise", &settings(), |e| matches!(e, FetchError::Http(_))),
        ("/silence", &impatient, |e| matches!(e, FetchError::Late)),
    ];
    for (path, settings, is) in cases {
        let at = format!("http://{}{path}", web.address);
        let error = get(settings, &at).await.expect_err(path);
        assert!(is(&error), "{path}: {error:?}");
    }
    assert_eq!(web.asked("/secret"), 0, "nobody goes where an answer leads");
    let address = web.address;
    drop(web);
    let gone = get(&settings(), &format!("http://{address}/x")).await;
    assert!(matches!(gone, Err(FetchError::Connect(_))), "{gone:?}");
}

/// Answers by TLS are believed of whoever an authority that is trusted vouches for, by the name that was asked.
#[tokio::test]
async fn a_secure_answer_is_from_whom_it_should_be() {
    let here = Scratch::new();
    let (certificate, tls) = certificate();
    let web = Web::secure(tls).await;
    web.answer("/keys", Answer::ok("{}"));
    let file = here.join("ca.pem");
    std::fs::write(&file, pem("CERTIFICATE", &certificate)).unwrap();
    let trusting = HttpClient {
        ca_file: Some(file),
        ..settings()
    };
    let port = web.address.port();
    let by_name = format!("https://localhost:{port}/keys");
    assert_eq!(get(&trusting, &by_name).await.unwrap(), "{}");
    // Not one that the web's authorities know, and no certificate of this name.
    for (settings, at) in [
        (settings(), by_name.as_str()),
        (trusting, &format!("https://127.0.0.1:{port}/keys")),
    ] {
        let refused = get(&settings, at).await;
        assert!(
            matches!(refused, Err(FetchError::Connect(_))),
            "{at} {refused:?}"
        );
    }
    assert_eq!(web.asked("/keys"), 1);
}

#[test]
fn certificates_that_cannot_be_used_stop_the_start() {
    let here = Scratch::new();
    let file = |name: &str, content: &str| {
        std::fs::write(here.join(name), content).unwrap();
        here.join(name)
    };
    for path in [
        here.join("absent.pem"),
        file("empty.pem", ""),
        file("key.pem", &pem("PRIVATE KEY", &[1; 48])),
        file("broken.pem", &pem("CERTIFICATE", b"no certificate")),
    ] {
        let settings = HttpClient {
            ca_file: Some(path.clone()),
            ..settings()
        };
        let error = Fetch::new(&settings).map(drop).unwrap_err().to_string();
        assert!(
            error.contains(Path::new(&path).to_str().unwrap()),
            "{error}"
        );
    }
}

/// A certificate of `localhost` that vouches for itself, and a server that shows it.
fn certificate() -> (Vec<u8>, TlsAcceptor) {
    const PKCS8_HEAD: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    let key = PrivatePkcs8KeyDer::from([&PKCS8_HEAD[..], &[7; 32]].concat());
    let signing = any_eddsa_type(&key.clone_key()).unwrap();
    let public = signing.public_key().unwrap();

    let ed25519 = der(0x30, &[&der(6, &[&[0x2b, 0x65, 0x70]])]);
    let common_name = der(0x30, &[&der(6, &[&[0x55, 4, 3]]), &der(0x0c, &[b"a test"])]);
    let name = der(0x30, &[&der(0x31, &[&common_name])]);
    let times = [&b"200101000000Z"[..], b"491231235959Z"].map(|time| der(0x17, &[time]));
    let names = der(4, &[&der(0x30, &[&der(0x82, &[b"localhost"])])]);
    let extension = der(0x30, &[&der(6, &[&[0x55, 0x1d, 0x11]]), &names]);
    let content = der(
        0x30,
        &[
            &der(0xa0, &[&der(2, &[&[2]])]),
            &der(2, &[&[1]]),
            &ed25519,
            &name,
            &der(0x30, &[&times[0], &times[1]]),
            &name,
            &public,
            &der(0xa3, &[&der(0x30, &[&extension])]),
        ],
    );
    let signer = signing.choose_scheme(&[SignatureScheme::ED25519]).unwrap();
    let signature = signer.sign(&content).unwrap();
    let certificate = der(0x30, &[&content, &ed25519, &der(3, &[&[0], &signature])]);

    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.clone())], key.into())
        .unwrap();
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

/// A value in DER: its tag, its length, its parts.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..128) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(content);
    out
}
