//! The cases: those in which it was another thing than kubectl once, then each flag.

use std::{fs, path::PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::Stage;

/// One row of the table.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) flags: Vec<String>,
    /// What stderr has to hold.
    pub(super) must_say: Option<&'static str>,
    /// Why we do something else.
    pub(super) on_purpose: Option<&'static str>,
}

impl Case {
    fn new(name: &str, kubeconfig: String) -> Self {
        let environment = vec![("KUBECONFIG", kubeconfig)];
        Self { name: name.to_owned(), environment, flags: Vec::new(), must_say: None, on_purpose: None }
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    fn must_say(self, text: &'static str) -> Self {
        Self { must_say: Some(text), ..self }
    }

    fn other_on_purpose(self, why: &'static str) -> Self {
        Self { on_purpose: Some(why), ..self }
    }
}

/// Writes kubeconfigs, each under a name of its own.
struct Files<'s> {
    folder: &'s PathBuf,
    written: usize,
}

impl Files<'_> {
    fn write(&mut self, kubeconfig: &Value) -> Result<String> {
        self.written += 1;
        let path = self.folder.join(format!("kubeconfig-{}", self.written));
        fs::write(&path, kubeconfig.to_string())?;
        Ok(path.display().to_string())
    }
}

pub(super) fn all(stage: &Stage<'_>) -> Result<Vec<Case>> {
    let mut files = Files { folder: &stage.folder, written: 0 };
    let mut cases = proxies(stage, &mut files)?;
    cases.extend(kubeconfigs(stage, &mut files)?);
    cases.extend(plugins(stage, &mut files)?);
    cases.extend(places(stage, &mut files)?);
    cases.extend(credentials(stage, &mut files)?);
    cases.extend(impersonation(stage, &mut files)?);
    Ok(cases)
}

fn cluster(kubeconfig: &mut Value) -> &mut Value {
    &mut kubeconfig["clusters"][0]["cluster"]
}

fn user(kubeconfig: &mut Value) -> &mut Value {
    &mut kubeconfig["users"][0]["user"]
}

fn with(mut kubeconfig: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut kubeconfig);
    kubeconfig
}

/// Addresses that are not this machine's by the look of them: one that has no name, and one that leads here all the same.
fn proxies(stage: &Stage<'_>, files: &mut Files<'_>) -> Result<Vec<Case>> {
    let proxy = format!("http://{}", stage.proxy.address);
    let at = |host: &str| {
        with(stage.kubeconfig(), |kubeconfig| {
            *cluster(kubeconfig) = with(cluster(kubeconfig).clone(), |cluster| {
                cluster["server"] = json!(format!("https://{host}:{}", stage.port));
                cluster["tls-server-name"] = json!("localhost");
            });
        })
    };
    let here = files.write(&stage.kubeconfig())?;
    let name = files.write(&at("api.test"))?;
    let address = files.write(&at("0.0.0.0"))?;
    let said = |url: String| with(stage.kubeconfig(), |kubeconfig| cluster(kubeconfig)["proxy-url"] = json!(url));
    let http = files.write(&said(proxy.clone()))?;
    let socks = files.write(&said(format!("socks5://{}", stage.proxy.address)))?;
    let socks_name = with(at("api.test"), |kubeconfig| {
        cluster(kubeconfig)["proxy-url"] = json!(format!("socks5://{}", stage.proxy.address));
    });
    let socks_name = files.write(&socks_name)?;
    let by = |name: &str, kubeconfig: &String| Case::new(name, kubeconfig.clone()).env("HTTPS_PROXY", proxy.clone());
    Ok(vec![
        by("`HTTPS_PROXY`, the server is this machine", &here),
        by("`HTTPS_PROXY` and `NO_PROXY=127.0.0.1`, the server is this machine", &here).env("NO_PROXY", "127.0.0.1"),
        by("`HTTPS_PROXY`, the server has a name", &name),
        by("`HTTPS_PROXY`, the server has an address", &address),
        Case::new("`https_proxy`", name.clone()).env("https_proxy", proxy.clone()),
        Case::new("`HTTP_PROXY`, the server speaks HTTPS", address.clone()).env("HTTP_PROXY", proxy.clone()),
        by("`HTTPS_PROXY` and `NO_PROXY=.test`, the server is `api.test`", &name).env("NO_PROXY", ".test"),
        by("`HTTPS_PROXY` and `NO_PROXY` with another name", &name).env("NO_PROXY", "api.example,10.0.0.0/8"),
        by("`HTTPS_PROXY` and `NO_PROXY=0.0.0.0/8`, the server has an address in it", &address)
            .env("NO_PROXY", "10.0.0.0/8,0.0.0.0/8"),
        by("`HTTPS_PROXY` and `NO_PROXY=*`", &address).env("NO_PROXY", "*"),
        by("`HTTPS_PROXY` and `NO_PROXY` with the server's port", &address)
            .env("NO_PROXY", format!("0.0.0.0:{}", stage.port)),
        by("`HTTPS_PROXY` and `NO_PROXY` with another port", &address).env("NO_PROXY", "0.0.0.0:1"),
        by("`HTTPS_PROXY` and `NO_PROXY=.api.test`, the server is `api.test`", &name).env("NO_PROXY", ".api.test"),
        by("`HTTPS_PROXY` and `NO_PROXY=*.test`, the server is `api.test`", &name).env("NO_PROXY", "*.test"),
        by("`HTTPS_PROXY` and a `NO_PROXY` with empty entries", &name).env("NO_PROXY", ",api.example,,"),
        Case::new("`proxy-url`, and `NO_PROXY` names the server", http).env("NO_PROXY", "localhost,127.0.0.1"),
        Case::new("`proxy-url` with `socks5`", socks),
        Case::new("`proxy-url` with `socks5`, the server has a name", socks_name),
    ])
}

fn kubeconfigs(stage: &Stage<'_>, files: &mut Files<'_>) -> Result<Vec<Case>> {
    let good = files.write(&stage.kubeconfig())?;
    let missing = stage.folder.join("missing").display().to_string();
    let empty = files.write(&json!({ "apiVersion": "v1", "kind": "Config", "current-context": "" }))?;
    let plain = with(stage.kubeconfig(), |kubeconfig| {
        cluster(kubeconfig)["server"] = json!(format!("127.0.0.1:{}", stage.port));
    });
    let plain = files.write(&plain)?;
    Ok(vec![
        Case::new("`KUBECONFIG` with a missing file before a good one", format!("{missing}:{good}")),
        Case::new("`KUBECONFIG` with a missing file after a good one", format!("{good}:{missing}")),
        Case::new("`KUBECONFIG`, the first file has an empty `current-context`", format!("{empty}:{good}")),
        Case::new("a `server` without scheme that speaks TLS", plain)
            .other_on_purpose("kubectl speaks plain HTTP to it"),
        Case::new("`--kubeconfig` beats `KUBECONFIG`", missing.clone()).flag(format!("--kubeconfig={good}")),
        Case::new("`--kubeconfig` that is missing", good).flag(format!("--kubeconfig={missing}")),
    ])
}

fn plugins(stage: &Stage<'_>, files: &mut Files<'_>) -> Result<Vec<Case>> {
    let plugin = |script: &str| {
        with(stage.kubeconfig(), |kubeconfig| {
            let version = "client.authentication.k8s.io/v1";
            let exec =
                json!({ "apiVersion": version, "interactiveMode": "Never", "command": "sh", "args": ["-c", script] });
            *user(kubeconfig) = json!({ "exec": exec });
        })
    };
    let answers = |status: Value| {
        let credential =
            json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
        plugin(&format!("cat <<'EOF'\n{credential}\nEOF"))
    };
    let token = files.write(&answers(json!({ "token": stage.tokens["anna"] })))?;
    let decoded = |key: &str| {
        let text = stage.admin["users"][0]["user"][key].as_str().unwrap_or_default();
        let pem = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap_or_default();
        String::from_utf8_lossy(&pem).into_owned()
    };
    let certificate = json!({
        "clientCertificateData": decoded("client-certificate-data"), "clientKeyData": decoded("client-key-data"),
    });
    let certificate = files.write(&answers(certificate))?;
    let fails = files.write(&plugin("echo 'run login first' >&2; exit 3"))?;
    Ok(vec![
        Case::new("a login plugin that gives a token without an end", token),
        Case::new("a login plugin that gives a certificate", certificate),
        Case::new("a login plugin that fails, and says why", fails).must_say("run login first"),
    ])
}

/// Which cluster, and how it is known.
fn places(stage: &Stage<'_>, files: &mut Files<'_>) -> Result<Vec<Case>> {
    let server = format!("https://127.0.0.1:{}", stage.port);
    let nowhere = "https://127.0.0.1:1";
    let good = files.write(&stage.kubeconfig())?;
    let two = with(stage.kubeconfig(), |kubeconfig| {
        let leads = kubeconfig["clusters"][0]["cluster"].clone();
        let elsewhere = with(leads.clone(), |cluster| cluster["server"] = json!(nowhere));
        kubeconfig["clusters"] =
            json!([{ "name": "elsewhere", "cluster": elsewhere }, { "name": "here", "cluster": leads }]);
        kubeconfig["contexts"] = json!([
            { "name": "first", "context": { "cluster": "elsewhere", "user": "testbed" } },
            { "name": "second", "context": { "cluster": "here", "user": "testbed" } },
        ]);
        kubeconfig["current-context"] = json!("first");
    });
    let without_context = with(two.clone(), |kubeconfig| kubeconfig["current-context"] = json!(""));
    let named = |name: &str| {
        with(two.clone(), |kubeconfig| kubeconfig["clusters"][0]["cluster"]["tls-server-name"] = json!(name))
    };
    let stranger = with(stage.kubeconfig(), |kubeconfig| {
        cluster(kubeconfig).as_object_mut().into_iter().for_each(|cluster| {
            cluster.remove("certificate-authority-data");
        });
    });
    let (wrong_name, stranger) = (files.write(&named("other.test"))?, files.write(&stranger)?);
    let (two, without_context) = (files.write(&two)?, files.write(&without_context)?);
    let missing = stage.folder.join("missing").display().to_string();
    let token = format!("--token={}", stage.tokens["bert"]);
    let at = format!("--server={server}");
    Ok(vec![
        Case::new("`--context`", two.clone()).flag("--context=second"),
        Case::new("`--context` that is not there", two.clone()).flag("--context=third"),
        Case::new("`--cluster`", two.clone()).flag("--cluster=here"),
        Case::new("`--cluster` that is not there", good.clone()).flag("--cluster=there"),
        Case::new("`--cluster` without a context, `--user`", without_context.clone())
            .flag("--cluster=here")
            .flag("--user=testbed"),
        Case::new("`--server`", two).flag(&at),
        Case::new("`-s`", without_context.clone())
            .flag("--cluster=elsewhere")
            .flag("--user=testbed")
            .flag("-s")
            .flag(&server),
        Case::new("`--server` takes the kubeconfig's `tls-server-name` away", wrong_name).flag(&at),
        Case::new("`--server` where nobody answers", good.clone()).flag(format!("--server={nowhere}")),
        Case::new("`--server`, `--token`, `--insecure-skip-tls-verify` and no kubeconfig", missing)
            .flag(&at)
            .flag(&token)
            .flag("--insecure-skip-tls-verify"),
        Case::new("`--tls-server-name` that is in the certificate", good.clone())
            .flag("--tls-server-name=kubernetes.default.svc"),
        Case::new("`--tls-server-name` that is not", good.clone()).flag("--tls-server-name=other.test"),
        Case::new("a server that is not trusted", stranger.clone()),
        Case::new("`--insecure-skip-tls-verify`, a server that is not trusted", stranger)
            .flag("--insecure-skip-tls-verify"),
        Case::new("`--insecure-skip-tls-verify`, where the kubeconfig names an authority", good)
            .flag("--insecure-skip-tls-verify=true"),
    ])
}

/// Who asks.
fn credentials(stage: &Stage<'_>, files: &mut Files<'_>) -> Result<Vec<Case>> {
    let two = with(stage.kubeconfig(), |kubeconfig| {
        kubeconfig["users"] = json!([
            { "name": "testbed", "user": { "token": stage.tokens["anna"] } },
            { "name": "other", "user": { "token": stage.tokens["bert"] } },
        ]);
    });
    let file = stage.folder.join("token");
    fs::write(&file, &stage.tokens["anna"])?;
    let as_user = |value: Value| with(stage.kubeconfig(), |kubeconfig| *user(kubeconfig) = value);
    let token_file = files.write(&as_user(json!({ "tokenFile": file })))?;
    let gone = files.write(&as_user(json!({ "token": stage.tokens["anna"], "tokenFile": "/nowhere/token" })))?;
    let version = "client.authentication.k8s.io/v1";
    let exec = json!({ "apiVersion": version, "interactiveMode": "Never", "command": "sh", "args": ["-c", "exit 3"] });
    let plugin = files.write(&as_user(json!({ "exec": exec })))?;
    let password = files.write(&as_user(json!({ "username": "anna", "password": "secret" })))?;
    let nobody = files.write(&as_user(json!({})))?;
    let certificate = files.write(&stage.admin)?;
    let (good, two) = (files.write(&stage.kubeconfig())?, files.write(&two)?);
    let token = format!("--token={}", stage.tokens["bert"]);
    Ok(vec![
        Case::new("no credentials", nobody.clone()).other_on_purpose("kubectl asks for a name and a password"),
        Case::new("`--user`", two.clone()).flag("--user=other"),
        Case::new("`--user` that is not there", two).flag("--user=third"),
        Case::new("`--token`, where the user has none", nobody).flag(&token),
        Case::new("`--token` over the user's token", good.clone()).flag(&token),
        Case::new("`--token` that nobody knows", good).flag("--token=nonsense"),
        Case::new("`--token`, and the user has a `tokenFile`", token_file).flag(&token),
        Case::new("a token, and a `tokenFile` that is missing", gone),
        Case::new("`--token`, and the user has a client certificate", certificate).flag(&token),
        Case::new("`--token`, and the user has a password", password).flag(&token),
        Case::new("`--token`, and the user's login plugin fails", plugin).flag(&token),
    ])
}

/// As whom.
fn impersonation(stage: &Stage<'_>, files: &mut Files<'_>) -> Result<Vec<Case>> {
    let admin = files.write(&stage.admin)?;
    let says = |more: Value| {
        with(stage.admin.clone(), |kubeconfig| {
            for (key, value) in more.as_object().into_iter().flatten() {
                user(kubeconfig)[key] = value.clone();
            }
        })
    };
    let acts = json!({ "as": "carl", "as-uid": "7", "as-groups": ["ops"], "as-user-extra": { "why": ["night"] } });
    let acts = files.write(&says(acts))?;
    let groups = files.write(&says(json!({ "as-groups": ["ops"] })))?;
    let powerless = files.write(&stage.kubeconfig())?;
    Ok(vec![
        Case::new("`--as`", admin.clone()).flag("--as=jane"),
        Case::new("`--as` without the right to", powerless).flag("--as=jane"),
        Case::new("`--as`, `--as-group` twice, `--as-uid`", admin.clone())
            .flag("--as=jane")
            .flag("--as-group=dev")
            .flag("--as-group=ops,night")
            .flag("--as-uid=42"),
        Case::new("`--as-group` without `--as`", admin.clone()).flag("--as-group=dev"),
        Case::new("`--as-uid` without `--as`", admin).flag("--as-uid=42"),
        Case::new("a kubeconfig with `as`, `as-uid`, `as-groups`, `as-user-extra`", acts.clone()),
        Case::new("the same, and `--as`", acts.clone()).flag("--as=jane"),
        Case::new("the same, and `--as-group`", acts).flag("--as-group=dev"),
        Case::new("a kubeconfig with `as-groups` and without `as`", groups.clone()),
        Case::new("the same, and `--as`", groups).flag("--as=jane"),
    ])
}
