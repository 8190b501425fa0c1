//! An agent of one test's own, asked over HTTP.

use std::time::Duration;

use agent::config::{Config, Sources};
use agent::{Running, run};
use protocol::latest::local_api::{Problem, SaleReceipt};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Store {
    pub(crate) running: Option<Running>,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) folder: tempfile::TempDir,
}

impl Store {
    pub(crate) async fn open() -> Self {
        Self::open_on(tempfile::tempdir().expect("a folder")).await
    }

    pub(crate) async fn open_on(folder: tempfile::TempDir) -> Self {
        Self::open_with(folder, &[]).await
    }

    /// With settings besides the usual ones.
    pub(crate) async fn open_with(folder: tempfile::TempDir, settings: &[(&'static str, &str)]) -> Self {
        let data_dir = folder.path().join("data").display().to_string();
        let mut flags = vec![
            ("data_dir", data_dir),
            ("http.listen", "127.0.0.1:0".to_owned()),
            ("store.time_zone", "Asia/Shanghai".to_owned()),
        ];
        flags.extend(settings.iter().map(|&(key, value)| (key, value.to_owned())));
        let sources = Sources { flags, ..Sources::none() };
        let config = Config::load(&sources).expect("sound").config;
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let running = run(config, shutdown).await.expect("starts");
        let url = format!("http://{}", running.address);
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { running: Some(running), stop: Some(stop), url, client, folder }
    }

    pub(crate) async fn close(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        let running = self.running.take().expect("runs");
        tokio::time::timeout(PATIENCE, running.finished()).await.expect("in time").expect("ends in order");
        self.folder
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.expect("answers")
    }

    pub(crate) async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.expect("of this form")
    }

    /// Posts a sale.
    pub(crate) async fn post(&self, body: impl Into<reqwest::Body>) -> Response {
        self.post_to("/v1/sales", body).await
    }

    pub(crate) async fn post_to(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", "application/json");
        request.body(body).send().await.expect("answers")
    }

    pub(crate) async fn sell(&self, sale: &Value) -> SaleReceipt {
        let response = self.post(sale.to_string()).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.expect("a receipt")
    }
}

/// The problem in a response, which must be of this status and have this key.
pub(crate) async fn problem(response: Response, status: u16, message_key: &str) -> Problem {
    assert_eq!(response.status().as_u16(), status, "{message_key}");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Problem = response.json().await.expect("a problem");
    assert_eq!((problem.status, problem.message_key.as_str()), (status, message_key), "{}", problem.detail);
    problem
}
