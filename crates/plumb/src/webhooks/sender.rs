//! One request to one receiver: signed as MLflow signs, to an address that was checked, followed nowhere else.
//!
//! The client asks for the addresses of a name through [`Judge`], which answers with addresses that are all allowed, or not
//! at all; and it connects to what it was answered. So there is no second question that could be answered otherwise
//! (DNS rebinding). It keeps no connection, goes through no proxy and follows no redirect.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use registry::webhook::{AddressRules, Topic, Webhook, WebhookError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use schema::Clock;
use schema::error::chain;

use super::names::Names;

/// How long a receiver may take for all of it.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const BODY_MAX: usize = 4 << 10;
/// How much of it is told with a failure.
const SHOWN_MAX: usize = 300;

/// What sends.
#[derive(Debug)]
pub struct Sender {
    judge: Arc<Judge>,
    /// Made for the first message: it reads the machine's authorities.
    client: OnceLock<Result<reqwest::Client, String>>,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// The same for each attempt.
    pub id: String,
    /// What it is about.
    pub topic: Topic,
    /// JSON.
    pub body: String,
}

/// What a receiver answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The beginning of its body.
    pub body: String,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// That it did not take the message, in words.
    pub fn refusal(&self) -> String {
        let Self { status, body, .. } = self;
        let hint = if (300..400).contains(status) { ", and redirects are not followed" } else { "" };
        let shown: String = body.chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        match shown.trim() {
            "" => format!("it answered {status}{hint}"),
            shown => format!("it answered {status}{hint}: {shown}"),
        }
    }
}

impl Sender {
    /// A sender under these rules.
    pub fn new(rules: AddressRules, names: Arc<dyn Names>) -> Self {
        Self { judge: Arc::new(Judge { rules, names }), client: OnceLock::new() }
    }

    /// Whether messages may go to a URL, by its words and by the addresses that its host has now.
    ///
    /// # Errors
    /// [`WebhookError::Invalid`] if not, or if its host has no address.
    pub async fn check(&self, url: &str) -> Result<(), WebhookError> {
        let invalid = |why: &str| WebhookError::Invalid(format!("Invalid webhook URL: {why}"));
        let url = self.judge.rules.check_url(url).map_err(|why| invalid(&why.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        // An address was judged with the URL.
        if host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err() {
            self.judge.addresses(host).await.map_err(|why| invalid(&chain(&*why)))?;
        }
        Ok(())
    }

    /// Sends a message, once.
    ///
    /// # Errors
    /// A sentence: where it may not go, or why it did not arrive. It names no part of the URL but its host.
    pub async fn send(&self, hook: &Webhook, parcel: &Parcel) -> Result<Answer, String> {
        let url = self.judge.rules.check_url(&hook.url).map_err(|why| why.to_string())?;
        let client = self.client.get_or_init(|| client(&self.judge)).as_ref().map_err(Clone::clone)?;
        let Parcel { id, topic: _, body } = parcel;
        let timestamp_s = Clock::wall().as_nanos().div_euclid(1_000_000_000);
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("X-MLflow-Delivery-Id", id)
            .header("X-MLflow-Timestamp", timestamp_s);
        if let Some(secret) = &hook.secret {
            request = request.header("X-MLflow-Signature", secret.sign(id, timestamp_s, body));
        }
        let failed = |why: reqwest::Error| chain(&why.without_url());
        let mut response = request.body(body.clone()).send().await.map_err(failed)?;
        let retry_after = retry_after(response.headers());
        let mut read = Vec::new();
        while read.len() < BODY_MAX {
            let Some(piece) = response.chunk().await.map_err(failed)? else { break };
            read.extend_from_slice(&piece);
        }
        read.truncate(BODY_MAX);
        let body = String::from_utf8_lossy(&read).into_owned();
        Ok(Answer { status: response.status().as_u16(), body, retry_after })
    }
}

fn client(judge: &Arc<Judge>) -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::clone(judge))
        .https_only(!judge.rules.allow_http)
        .referer(false)
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .user_agent(concat!("plumb/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|why| format!("TLS cannot be set up: {}", chain(&why)))
}

/// Seconds, or a time of the calendar.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at_s = calendar(said)?;
    let now_s = Clock::wall().as_nanos().div_euclid(1_000_000_000);
    Some(Duration::from_secs(u64::try_from(at_s.saturating_sub(now_s)).unwrap_or(0)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, in seconds since the epoch. Other forms are of another century.
fn calendar(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = parts.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? + 1;
    let (day, year) = (day.parse::<u32>().ok()?, year.parse::<u32>().ok()?);
    let at = schema::Timestamp::parse(&format!("{year:04}-{month:02}-{day:02}T{time}Z")).ok()?;
    Some(at.as_nanos().div_euclid(1_000_000_000))
}

/// Answers with addresses that are allowed, or not at all.
#[derive(Debug)]
struct Judge {
    rules: AddressRules,
    names: Arc<dyn Names>,
}

impl Judge {
    async fn addresses(&self, host: &str) -> Result<Vec<std::net::IpAddr>, schema::BoxError> {
        let found = self.names.addresses(host).await;
        let found = found.map_err(|why| format!("the address of `{host}` is not known: {why}"))?;
        self.rules.check_all(host, &found)?;
        Ok(found)
    }
}

impl Resolve for Judge {
    fn resolve(&self, name: Name) -> Resolving {
        let judge = Self { rules: self.rules.clone(), names: Arc::clone(&self.names) };
        Box::pin(async move {
            let found = judge.addresses(name.as_str()).await?;
            // Of port 0 the client takes the URL's.
            let all: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(all)
        })
    }
}

#[cfg(test)]
mod tests;
