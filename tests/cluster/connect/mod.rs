//! Connecting as kubectl does: both are given the same kubeconfig, environment and flags, and what they come to is compared. The
//! table of it is `docs/connecting.md`.

mod cases;
mod proxy;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Filter, Options, TestNamespace, Testbed, eventually, skip};

use self::{cases::Case, proxy::Proxy};
use crate::support::DEADLINE;

const MARK: &str = "<!-- From here on made by a test: SIDECAR_DRIFT_GENERATE=1 cargo test --test cluster connect -->\n";

/// Where everything is: the same for all cases.
struct Stage<'t> {
    testbed: &'t Testbed,
    proxy: Proxy,
    folder: PathBuf,
    /// The administrator's kubeconfig.
    admin: Value,
    /// Tokens of ServiceAccounts, by name.
    tokens: BTreeMap<&'static str, String>,
    port: u16,
}

impl<'t> Stage<'t> {
    async fn new(testbed: &'t Testbed, ns: &TestNamespace<'t>) -> Result<Self> {
        let admin: Value = serde_json::from_slice(&fs::read(testbed.kubeconfig())?)?;
        let mut tokens = BTreeMap::new();
        for name in ["anna", "bert"] {
            let kubeconfig: Value = serde_json::from_slice(&fs::read(ns.service_account(name).await?)?)?;
            let token = kubeconfig["users"][0]["user"]["token"].as_str().context("no token")?;
            tokens.insert(name, token.to_owned());
        }
        let server: http::Uri = testbed.api_url().parse()?;
        let port = server.port_u16().context("no port")?;
        let proxy = Proxy::before(([127, 0, 0, 1], port).into()).await?;
        let folder = testbed.directory().join("connect");
        fs::create_dir_all(&folder)?;
        Ok(Self { testbed, proxy, folder, admin, tokens, port })
    }

    /// A kubeconfig whose only context leads to the API server, as the ServiceAccount `anna`.
    fn kubeconfig(&self) -> Value {
        let mut kubeconfig = self.admin.clone();
        kubeconfig["users"][0]["user"] = json!({ "token": self.tokens["anna"] });
        kubeconfig
    }

    /// What comes of a program.
    async fn outcome(&self, program: &Path, agent: &str, arguments: &[String], case: &Case) -> Result<Outcome> {
        let audit = self.testbed.audit().context("no audit log")?;
        let (before, passed) = (audit.marker()?, self.proxy.passed());
        let mut command = self.testbed.command(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.folder);
        command.envs(case.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments).args(&case.flags).stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pid = child.id();
        let ran = tokio::time::timeout(2 * DEADLINE, child.wait_with_output()).await;
        pid.inspect(|pid| self.testbed.forget(*pid));
        let said = String::from_utf8(ran.with_context(|| format!("{}: did not end", case.name))??.stderr)?;
        let filter = Filter::default().since(before).user_agent(agent);
        // Who is not known is logged only after the answer.
        let unknown = ["401", "Unauthorized"].iter().any(|text| said.contains(text));
        let asked = eventually(format_args!("{}: what it asked is logged", case.name), DEADLINE, async || {
            let asked = audit.entries(&filter).await?;
            Ok((!unknown || !asked.is_empty()).then_some(asked))
        })
        .await?;
        let first = asked.iter().find(|entry| entry.request_uri.starts_with("/version"));
        Ok(Outcome {
            seen: first.map(|entry| (entry.user.clone(), entry.acts_as.clone(), entry.code)),
            by_proxy: self.proxy.passed() > passed,
            says: case.must_say.is_none_or(|text| said.contains(text)),
            said,
        })
    }
}

/// What the API server saw, and what the person did.
struct Outcome {
    /// Who asked, as whom, and with which result.
    seen: Option<(String, String, Option<u16>)>,
    by_proxy: bool,
    /// It says what it has to say.
    says: bool,
    said: String,
}

impl Outcome {
    fn text(&self) -> String {
        let mut text = match &self.seen {
            None => "no connection".to_owned(),
            Some((_, _, Some(401))) => "not known (401)".to_owned(),
            Some((user, acts_as, Some(200))) => {
                let user = user.strip_prefix("system:serviceaccount:connect:").unwrap_or(user);
                let acts_as = if acts_as.is_empty() { String::new() } else { format!(", acting as {acts_as}") };
                format!("{user}{acts_as}")
            }
            Some((_, _, code)) => format!("refused ({})", code.unwrap_or_default()),
        };
        if self.by_proxy {
            text += ", by the proxy";
        }
        if !self.says {
            text += ", without a word of why";
        }
        text
    }
}

#[tokio::test]
async fn each_case_comes_to_what_kubectl_comes_to() -> Result<()> {
    if Testbed::shared().await?.assets().is_none() {
        return skip("kubectl is only known with our control plane");
    }
    // Of its own: whatever is asked there is asked by this test.
    let testbed = Testbed::start(Options { nodes: 0, ..Options::default() }).await?;
    let kubectl = testbed.assets().context("kubectl")?.kubectl.clone();
    let ns = testbed.create_namespace_named("connect").await?;
    let stage = Stage::new(&testbed, &ns).await?;
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let theirs_asks = text(&["get", "--raw", "/version", "--request-timeout=10s"]);
    let ours_asks = text(&["scan", "-n", "connect", "--settle=0s"]);
    let mut table = "\n| case | kubectl | sidecar-drift | |\n| --- | --- | --- | --- |\n".to_owned();
    let mut differ = Vec::new();
    for case in cases::all(&stage)? {
        let theirs = stage.outcome(&kubectl, "kubectl", &theirs_asks, &case).await?;
        let ours =
            stage.outcome(Path::new(env!("CARGO_BIN_EXE_sidecar-drift")), "sidecar-drift/", &ours_asks, &case).await?;
        let same = theirs.text() == ours.text();
        let word = match case.on_purpose {
            None if same => "same".to_owned(),
            None => "**other**".to_owned(),
            Some(why) => {
                assert!(!same, "{}: is the same, though {why}", case.name);
                format!("other: {why}")
            }
        };
        writeln!(table, "| {} | {} | {} | {word} |", case.name, theirs.text(), ours.text())?;
        if !same && case.on_purpose.is_none() {
            differ.push(format!(
                "{}\n  kubectl: {}\n{}  ours: {}\n{}",
                case.name,
                theirs.text(),
                theirs.said,
                ours.text(),
                ours.said
            ));
        }
    }
    assert!(differ.is_empty(), "{table}\n{}", differ.join("\n"));
    check(&table)?;
    testbed.stop().await
}

/// The table in the page is this one; or, if we are asked to, it is made.
#[expect(clippy::disallowed_methods, reason = "whether to compare or to write is not the product's configuration")]
fn check(table: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/connecting.md");
    let page = fs::read_to_string(&path)?;
    let (prose, _) = page.split_once(MARK).context("the page has no mark")?;
    let fresh = format!("{prose}{MARK}{table}");
    if std::env::var_os("SIDECAR_DRIFT_GENERATE").is_some() {
        fs::write(path, fresh)?;
    } else {
        ensure!(
            page == fresh,
            "the table of docs/connecting.md is out of date: SIDECAR_DRIFT_GENERATE=1 makes it anew\n{table}"
        );
    }
    Ok(())
}
