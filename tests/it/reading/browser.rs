//! The page in a real browser: Chromium, driven through its debugging pipe. Where there is none, these tests say so and
//! prove nothing.
//!
//! `SIDECAR_DRIFT_SCREENSHOTS=1` writes the pictures in `docs/images` anew.
#![expect(
    clippy::disallowed_methods,
    reason = "a browser runs in real time, and the environment says whether to keep pictures"
)]

mod pipe;

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use sidecar_drift::{
    core::{io::Stop, model::words::Gate, report::Report},
    http::Published,
};
use testbed::tool;
use tokio::runtime::Runtime;

use self::pipe::Browser;
use super::{fleet, published, serve};
use crate::cli::reports;

/// A served report that a test can exchange, and a browser.
struct Stage {
    published: Published,
    browser: Browser,
    address: String,
    /// What serves; without it nobody does.
    runtime: Option<Runtime>,
}

impl Stage {
    /// `None`: there is no browser here.
    fn open(report: Report) -> Option<Self> {
        let browser = Browser::start()?;
        let published = published();
        published.publish(Arc::new(report));
        let mut stage = Self { published, browser, address: "127.0.0.1:0".to_owned(), runtime: None };
        stage.serve();
        Some(stage)
    }

    /// Serves at the same address as before, as a daemon that was restarted.
    fn serve(&mut self) {
        let (runtime, address) = serve(self.published.clone(), &self.address);
        self.address = address.to_string();
        self.runtime = Some(runtime);
    }

    /// Cuts all connections, as abruptly as a process ends.
    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    fn go(&mut self, path: &str) {
        self.browser.go(&format!("http://{}{path}", self.address));
    }

    /// Waits until an expression is true in the page.
    fn until(&mut self, expression: &str) {
        self.browser.until(expression);
    }

    fn text(&mut self, selector: &str) -> String {
        let shown = self.browser.eval(&format!("document.querySelector({}).textContent", json!(selector)));
        shown.as_str().unwrap_or_default().trim().to_owned()
    }

    /// Nothing went wrong in the page, and nothing was asked of anybody else.
    fn check(&mut self) {
        let origin = format!("http://{}/", self.address);
        let foreign: Vec<_> = self.browser.requested.iter().filter(|url| !url.starts_with(&origin)).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        assert!(self.browser.complaints.is_empty(), "{:?}", self.browser.complaints);
    }

    fn picture(&mut self, name: &str) {
        let png = self.browser.picture();
        assert!(png.len() > 10_000, "{name}: the picture is nearly empty");
        if std::env::var_os("SIDECAR_DRIFT_SCREENSHOTS").is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name).with_extension("png"), png).unwrap();
        }
    }
}

const ROWS: &str = "document.querySelectorAll('#workloads tbody tr').length";

#[test]
fn the_list_filters_sorts_and_turns_pages_with_ten_thousand_workloads() {
    let Some(mut stage) = Stage::open(fleet::of(10_000)) else { return };
    stage.go("/workloads");
    stage.until(&format!("{ROWS} === 100"));
    assert_eq!(stage.text("#found"), "10\u{202f}000 workloads");

    // As it is typed, without a reload, and without losing the place in the text.
    stage.browser.eval("window.here = true; document.querySelector('[name=q]').focus()");
    stage.browser.write("GATEWAY-77");
    stage.until(&format!("{ROWS} > 0 && {ROWS} < 12"));
    assert_eq!(stage.browser.eval("window.here && document.activeElement.name"), "q");
    assert_eq!(stage.browser.eval("location.search"), "?q=GATEWAY-77");

    stage.browser.eval(
        "const q = document.querySelector('[name=q]'); q.value = ''; \
         const v = document.querySelector('[name=verdict]'); v.value = 'drifted'; \
         v.dispatchEvent(new Event('input', { bubbles: true }))",
    );
    stage.until(
        "document.querySelector('#found').textContent.includes(' of ') && location.search === '?verdict=drifted'",
    );
    stage.until(&format!("{ROWS} === 100"));

    // By keyboard: the heading is a link.
    stage
        .browser
        .eval("[...document.querySelectorAll('#workloads thead a')].find((a) => a.textContent === 'Pods').focus()");
    stage.browser.press("Enter", "\r");
    stage.until("document.querySelector('[aria-sort=descending]')?.textContent === 'Pods'");
    stage.until("location.search.includes('sort=pods') && window.here");
    assert_eq!(
        stage.browser.eval("document.querySelector('#workloads tbody td[data-label=Pods]').textContent"),
        "7 of 7"
    );

    stage.browser.eval("document.querySelector('[rel=next]').click()");
    stage.until("document.querySelector('.pager').textContent.includes('Page 2 of')");
    stage.browser.eval("history.back()");
    stage.until("document.querySelector('.pager').textContent.includes('Page 1 of')");
    stage.check();
}

#[test]
fn it_follows_what_happens_and_survives_a_restart() {
    let Some(mut stage) = Stage::open(reports::empty()) else { return };
    stage.go("/");
    stage.until("document.querySelector('h1').textContent.startsWith('No workloads')");
    stage.until("document.querySelector('#beat').dataset.state === 'live'");

    stage.browser.eval("window.here = true");
    stage.published.publish(Arc::new(fleet::of(300)));
    stage.until("document.querySelector('h1').textContent.endsWith('have drifted')");
    let mut paused = fleet::of(300);
    paused.paused = Some(Stop { reason: "upgrading the mesh".to_owned(), at: paused.taken });
    stage.published.publish(Arc::new(paused));
    stage.until("document.querySelector('.banner strong')?.textContent === 'All rollouts are paused'");
    assert!(stage.text(".banner").contains("upgrading the mesh"));

    // What a person opened stays open while the page renews itself.
    stage.go("/workloads/payments/Deployment/api-0");
    stage.until("document.querySelector('details') !== null");
    stage.browser.eval("window.here = true; document.querySelector('details').open = true");
    let mut changed = fleet::of(300);
    changed.guard = Some(false);
    stage.published.publish(Arc::new(changed));
    stage.until("document.querySelector('.banner strong')?.textContent === 'The guard is missing'");
    assert_eq!(stage.browser.eval("window.here && document.querySelector('details').open"), true);

    stage.check();
    stage.kill();
    stage.until("document.querySelector('#beat').dataset.state === 'lost'");
    // The browser itself complains that it could not connect.
    stage.browser.complaints.clear();
    stage.published.publish(Arc::new(fleet::of(300)));
    stage.serve();
    stage.until("document.querySelector('#beat').dataset.state === 'live' && !document.querySelector('.banner')");
    assert_eq!(stage.browser.eval("window.here"), true);
}

#[test]
fn each_page_is_named_labelled_and_as_wide_as_the_screen() {
    let Some(mut stage) = Stage::open(fleet::of(2000)) else { return };
    let one = "/workloads/payments/Deployment/api-0";
    for (width, height, dark) in [(1280, 860, false), (1280, 860, true), (390, 844, false)] {
        stage.browser.screen(width, height, dark);
        for path in ["/", "/workloads", one, "/plan", "/activity", "/nothing"] {
            stage.go(path);
            stage.until("document.querySelector('h1') !== null");
            let problems = stage.browser.eval(AUDIT);
            assert_eq!(problems, json!([]), "{path} at {width}");
        }
    }
    // Such an address is an error, and the browser notes it.
    stage.browser.complaints.retain(|complaint| !complaint.contains("404"));
    stage.check();
}

/// What a page must have for everybody to read it.
const AUDIT: &str = r#"(() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  if (document.documentElement.lang !== "en") wrong.push("no language");
  if (!document.title.includes("sidecar-drift")) wrong.push("no title");
  if (all("h1").length !== 1) wrong.push("not one h1");
  if (all("main").length !== 1) wrong.push("not one main");
  if (all("table:not(:has(caption))").length) wrong.push("a table without a caption");
  if (all("th:not([scope])").length) wrong.push("a heading cell without a scope");
  for (const field of all("input:not([type=hidden]), select")) if (!field.labels.length) wrong.push("no label: " + field.name);
  for (const link of all("a, button")) if (!link.textContent.trim()) wrong.push("no text: " + link.outerHTML);
  const ids = all("[id]").map((e) => e.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  const keys = all("tbody").flatMap((b) => { const k = [...b.children].map((r) => r.dataset.key); return k.length === new Set(k).size ? [] : ["a key twice"]; });
  wrong.push(...keys);
  if (document.documentElement.scrollWidth > window.innerWidth) wrong.push("wider than the screen: " + document.documentElement.scrollWidth);
  const luminance = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const layers = (colours) => { canvas.clearRect(0, 0, 1, 1); for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); } return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
  const seen = new Set();
  for (const e of all("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.nodeValue.trim()) || e.closest(".said, svg, [aria-hidden]") || e.classList.contains("off") || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const grounds = [];
    for (let p = e; p; p = p.parentElement) grounds.unshift(getComputedStyle(p).backgroundColor);
    const ground = ["Canvas", ...grounds];
    const [a, b] = [luminance(layers(ground)), luminance(layers([...ground, style.color]))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const what = e.tagName + "." + e.className;
    if (ratio < 4.5 && !seen.has(what)) { seen.add(what); wrong.push(`contrast ${ratio.toFixed(2)} of ${what}: ${e.textContent.trim().slice(0, 30)}`); }
  }
  return wrong;
})()"#;

/// What axe-core finds, each with how bad it is and where it is first.
const AXE: &str =
    "axe.run().then((found) => found.violations.map((v) => `${v.impact} ${v.id}: ${v.help}: ${v.nodes[0].html}`))";

#[test]
fn axe_finds_nothing_in_the_way_of_anybody() {
    let Some(axe) = tool("axe") else { return };
    let axe = fs::read_to_string(axe).unwrap();
    let Some(mut stage) = Stage::open(fleet::of(2000)) else { return };
    let one = "/workloads/payments/Deployment/api-0";
    let audit = |stage: &mut Stage, path: &str, name: &str| {
        stage.go(path);
        stage.until("document.querySelector('h1') !== null");
        // A function, so that nothing of it is returned; what the debugger evaluates is not held by the page's policy.
        stage.browser.eval(&format!("(() => {{ {axe}\n }})()"));
        let found = stage.browser.eval(AXE);
        found.as_array().unwrap().iter().map(|one| format!("{path} {name}: {one}")).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (name, width, height, dark) in
        [("light", 1280, 860, false), ("dark", 1280, 860, true), ("on a phone", 390, 844, false)]
    {
        stage.browser.screen(width, height, dark);
        for path in ["/", "/workloads", one, "/plan", "/activity", "/nothing"] {
            all.extend(audit(&mut stage, path, name));
        }
    }
    let mut stopped = fleet::held_by(fleet::of(300), Gate::BreakerOpen);
    stopped.breaker = Some(Stop { reason: "2 of the last 2 rollouts failed".to_owned(), at: stopped.taken });
    stopped.leader = false;
    stage.published.publish(Arc::new(stopped));
    all.extend(audit(&mut stage, "/", "stopped"));
    assert!(all.is_empty(), "{all:#?}");
    // It finds what is wrong.
    stage.browser.eval("document.body.insertAdjacentHTML('beforeend', '<img src=\"/assets/icon.svg\"><input>')");
    let found = stage.browser.eval(AXE).to_string();
    assert!(found.contains("critical image-alt") && found.contains("critical label"), "{found}");
}

#[test]
fn pictures_for_the_documents() {
    let Some(mut stage) = Stage::open(fleet::of(1200)) else { return };
    let one = "/workloads/payments/Deployment/api-0";
    for (name, path, width, height, dark) in [
        ("overview-light", "/", 1280, 860, false),
        ("overview-dark", "/", 1280, 860, true),
        ("workloads-light", "/workloads?verdict=drifted&sort=pods&order=desc", 1280, 860, false),
        ("workload-light", one, 1280, 860, false),
        ("workload-dark", one, 1280, 860, true),
        ("plan-dark", "/plan", 1280, 860, true),
        ("overview-phone", "/", 390, 844, false),
        ("workload-phone", one, 390, 844, true),
    ] {
        stage.browser.screen(width, height, dark);
        stage.go(path);
        stage.until("document.querySelector('#beat').dataset.state === 'live'");
        stage.picture(name);
    }
    let mut stopped = fleet::held_by(fleet::of(1200), Gate::BreakerOpen);
    stopped.breaker = Some(Stop { reason: "2 of the last 2 rollouts failed".to_owned(), at: stopped.taken });
    stage.published.publish(Arc::new(stopped));
    stage.browser.screen(1280, 860, false);
    stage.go("/plan");
    stage.until("document.querySelector('#beat').dataset.state === 'live'");
    stage.picture("breaker-light");
    stage.check();
}

/// How long anything may take in a browser on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A value that the page gave.
fn given(result: &Value) -> Value {
    result["result"]["value"].clone()
}
