// Keeps the page fresh, and lets the filter act as it is typed. Without it everything works by links, the form and a reload.
(() => {
  "use strict";
  const EVERY = 2000;
  const PATIENCE = 10000;
  const beat = document.getElementById("beat");
  const said = document.getElementById("said");
  let etag = null;
  let timer = null;
  let asking = null;
  document.documentElement.classList.add("js");

  const show = (state, text) => {
    if (beat.dataset.state !== state && (state === "lost" || beat.dataset.state === "lost")) {
      said.textContent = state === "lost" ? "The connection is lost" : "Connected again";
    }
    beat.dataset.state = state;
    document.getElementById("beat-text").textContent = text;
  };

  // Makes `from` like `to`, touching only what differs: focus, selection, scroll position and opened details stay.
  const morph = (from, to) => {
    if (from.isEqualNode(to) && !from.querySelector("input, select") && from.nodeName !== "INPUT") return;
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value && name !== "open") from.setAttribute(name, value);
    }
    // What a person typed or chose is a property, not the attribute.
    if (from.nodeName === "INPUT" && from.value !== to.value) from.value = to.value;
    if (from.nodeName === "OPTION" && from.selected !== to.selected) from.selected = to.selected;
    const keyed = new Map();
    for (const child of from.children) {
      if (child.dataset.key !== undefined) keyed.set(child.nodeName + child.dataset.key, child);
    }
    let at = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      const key = wanted.dataset?.key;
      let match = key === undefined ? null : keyed.get(wanted.nodeName + key);
      if (key === undefined && at && at.nodeType === wanted.nodeType && at.nodeName === wanted.nodeName
          && at.dataset?.key === undefined) match = at;
      if (!match) {
        from.insertBefore(document.importNode(wanted, true), at);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else from.insertBefore(match, at);
      if (match.nodeType === Node.ELEMENT_NODE) {
        if (match.id !== "filter" || !match.contains(document.activeElement)) morph(match, wanted);
      } else if (match.nodeValue !== wanted.nodeValue) {
        match.nodeValue = wanted.nodeValue;
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const announce = () => {
    const found = document.querySelector("[data-announce]");
    if (found) said.textContent = found.textContent;
  };

  const refresh = async (asked) => {
    clearTimeout(timer);
    if (asking) asking.abort();
    const mine = asking = new AbortController();
    const late = setTimeout(() => mine.abort("late"), PATIENCE);
    try {
      const headers = etag && !asked ? { "If-None-Match": etag } : {};
      const answer = await fetch(location.href, { headers, signal: mine.signal, cache: "no-store" });
      const taken = answer.headers.get("X-Report-Taken");
      if (answer.status !== 304) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const main = page.getElementById("main");
        if (!main) throw new Error("not our page");
        morph(document.getElementById("main"), main);
        document.title = page.title;
        etag = answer.headers.get("ETag");
        if (asked) announce();
      }
      if (taken) {
        const time = document.getElementById("taken");
        time.dateTime = taken;
        time.textContent = taken.slice(11, 19) + " UTC";
      }
      show("live", "Live, as of");
    } catch {
      if (asking === mine) show("lost", "Connection lost, trying again; as of");
    } finally {
      clearTimeout(late);
      if (asking === mine) {
        asking = null;
        timer = setTimeout(refresh, EVERY);
      }
    }
  };

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) refresh();
  });
  window.addEventListener("popstate", () => refresh(true));

  let typing = null;
  const filter = (form) => {
    const wanted = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value !== "") wanted.append(name, value);
    }
    const query = wanted.toString();
    history.replaceState(null, "", query ? `${form.action}?${query}` : form.action);
    refresh(true);
  };
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form?.id !== "filter") return;
    clearTimeout(typing);
    typing = setTimeout(() => filter(form), event.target.type === "search" ? 250 : 0);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "filter") return;
    event.preventDefault();
    clearTimeout(typing);
    filter(event.target);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-live]");
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    refresh(true);
  });

  timer = setTimeout(refresh, EVERY);
})();
