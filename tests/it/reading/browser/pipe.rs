//! Chromium's debugging protocol over its pipe: messages of JSON with a zero byte behind each, no web socket.
#![expect(clippy::disallowed_methods, reason = "a browser runs in real time, and its answers are read by a thread")]

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testbed::tool;

use super::{PATIENCE, given};

/// One browser with one page.
pub(super) struct Browser {
    process: Child,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    last: u64,
    /// Addresses that were asked for.
    pub(super) requested: Vec<String>,
    /// What the page, or the browser about it, complained about.
    pub(super) complaints: Vec<String>,
    // Holds its profile and its pipes; gone after the process.
    _folder: tempfile::TempDir,
}

impl Browser {
    /// `None`: there is no browser on this machine, and the test proves nothing.
    pub(super) fn start() -> Option<Self> {
        tool("chromium").map(|program| Self::run(&program))
    }

    fn run(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        for pipe in [&to, &from] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        // The browser reads its commands from descriptor 3 and answers on 4.
        let script = "exec \"$0\" \"$@\" 3<>\"$PIPES/to\" 4>\"$PIPES/from\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).env("PIPES", folder.path()).env("HOME", folder.path());
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            // Everything it opens is ours; as root it has no other way.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            "about:blank",
        ]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let messages = listen(&from);
        let commands = OpenOptions::new().read(true).write(true).open(&to).unwrap();
        let mut browser = Self {
            process,
            commands,
            messages,
            session: String::new(),
            last: 0,
            requested: Vec::new(),
            complaints: Vec::new(),
            _folder: folder,
        };
        let target = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.ask("Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser.screen(1280, 860, false);
        browser
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                self.requested.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Log.entryAdded" if params["entry"]["level"] != "verbose" => {
                self.complaints.push(params["entry"].to_string());
            }
            "Runtime.consoleAPICalled" => self.complaints.push(params["args"].to_string()),
            _ => {}
        }
    }

    /// Opens an address and waits until it is loaded.
    pub(super) fn go(&mut self, url: &str) {
        self.eval("window.left = true");
        self.ask("Page.navigate", &json!({ "url": url }));
        self.until("!window.left && document.readyState === 'complete'");
    }

    /// The value of an expression in the page.
    pub(super) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.ask("Runtime.evaluate", &params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        given(&result)
    }

    /// Waits until an expression is true.
    pub(super) fn until(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        let params = json!({ "expression": expression, "returnByValue": true });
        // While the page is exchanged there is nothing to ask.
        while given(&self.ask("Runtime.evaluate", &params)) != json!(true) {
            if Instant::now() > end {
                let page = self.eval("document.body.innerText");
                panic!("never: {expression}\n{}", page.as_str().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types into what has the focus.
    pub(super) fn write(&mut self, text: &str) {
        self.ask("Input.insertText", &json!({ "text": text }));
    }

    /// Presses a key.
    pub(super) fn press(&mut self, key: &str, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let params = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": 13 });
            self.ask("Input.dispatchKeyEvent", &params);
        }
    }

    /// How large the screen is, and whether it is dark.
    pub(super) fn screen(&mut self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", &features);
    }

    /// The screen as PNG.
    pub(super) fn picture(&mut self) -> Vec<u8> {
        let shot = self.ask("Page.captureScreenshot", &json!({ "format": "png" }));
        bytes_of(shot["data"].as_str().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Reads messages for as long as the browser writes any.
fn listen(pipe: &Path) -> Receiver<Value> {
    let (sender, messages) = mpsc::channel();
    let pipe = pipe.to_owned();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(File::open(pipe).unwrap());
        let mut message = Vec::new();
        while pipe.read_until(0, &mut message).is_ok_and(|n| n > 0) {
            message.pop();
            if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                return;
            }
            message.clear();
        }
    });
    messages
}

/// Base64.
fn bytes_of(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(digit).collect();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0u32, |bits, d| bits << 6 | u32::from(*d)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
