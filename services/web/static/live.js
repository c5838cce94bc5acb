// The live link of every page: the newest state, the top bar, notices, and parts that are fetched again when something
// changed. Text from outside only ever goes into textContent.
"use strict";
const TradeBot = (() => {
  const STALE_MS = 3000, RETRY_MS_MIN = 500, RETRY_MS_MAX = 10000, LOST_AFTER_MS = 1500, LINES_MAX = 500, TOAST_MS = 10000, REFRESH_MS = 1000;
  const state = { chain: null, portfolio: null, orders: null, ledger: null, holdings: null, candidates: null, session: null, equity: [], fills: [], denied: [], events: [], stopped_streams: [], alerts: null };
  const kept = Object.keys(state);
  const lists = { event: "events", fill: "fills", denied: "denied" };
  const renderers = [];
  const changed = new Set();
  const looks = document.documentElement.dataset;
  let source = null, retryMs = RETRY_MS_MIN, retryTimer = 0, chainAt = null, isScheduled = false, isUp = false, downSince = performance.now();
  let leads = false, stopLeading = null, hasSnapshot = false;

  const byId = (id) => document.getElementById(id);
  const setText = (id, text) => { const found = byId(id); if (found && found.textContent !== text) found.textContent = text; };
  const zone = (timeZone, options) => new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", ...options });
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const day = zone("America/New_York", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const utc = zone("UTC", clock), newYork = zone("America/New_York", clock);
  // The zone that was chosen, for every time in a table; services/web/times.py writes the same forms.
  const seconds = zone(looks.zone, clock), minutes = zone(looks.zone, { hour: "2-digit", minute: "2-digit" });

  // --- drawing: at most once per frame, and only what changed ---------------------------------------------------------

  function touch(kind) {
    changed.add(kind);
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      const now = new Set(changed);
      changed.clear();
      for (const [kinds, draw] of renderers) if (kinds.some((one) => now.has(one))) draw(state, now);
    });
  }

  function on(kinds, draw) { renderers.push([kinds, draw]); }

  function take(kind, value) {
    if (kind === "snapshot") {
      hasSnapshot = true;
      for (const name of kept) { state[name] = value[name]; touch(name); }
      state.equityDate = value.session_date;
      chainAt = value.chain_age_ms === null ? null : performance.now() - value.chain_age_ms;
      touch("snapshot");
    } else if (kind === "equity") {
      if (state.equityDate !== value.session_date) { state.equity = []; state.equityDate = value.session_date; }
      const last = state.equity[state.equity.length - 1];
      if (last && last[0] === value.point[0]) state.equity[state.equity.length - 1] = value.point; else state.equity.push(value.point);
      touch("equity");
    } else if (kind in lists) {
      const list = state[lists[kind]];
      list.push(value);
      if (list.length > LINES_MAX) list.shift();
      touch(lists[kind]);
    } else {
      state[kind] = value;
      touch(kind);
      if (kind === "chain") chainAt = performance.now();
      if (kind === "alerts" && value.newest) toast(value.newest.level, `${value.newest.source ? `${value.newest.source}: ` : ""}${value.newest.text}`, value.newest.number);
    }
    showFreshness();
  }

  // --- what every page shows: the link, the age of the data, the state ------------------------------------------------

  function showLink(now) {
    if (isUp && !now) downSince = performance.now();
    isUp = now;
    byId("link-state").dataset.link = now ? "up" : "down";
    showFreshness();
  }

  function showBanner(id, words) {
    const banner = byId(id);
    banner.hidden = words === "";
    if (banner.textContent !== words) banner.textContent = words;
  }

  function showFreshness() {
    const pill = byId("chain-pill"), link = byId("link-state");
    const age = chainAt === null ? null : performance.now() - chainAt;
    const isStale = age === null || age > STALE_MS;
    const isLost = !isUp && performance.now() - downSince > LOST_AFTER_MS;
    if (!isUp) link.textContent = isLost ? "no link to the server, connecting again" : "connecting";
    else link.textContent = age === null ? "connected, no data yet" : `data ${(age / 1000).toFixed(isStale ? 0 : 1)} s old`;
    if (age === null) { pill.dataset.state = "none"; pill.textContent = "no status yet"; }
    else if (isStale) { pill.dataset.state = "stale"; pill.textContent = `stale ${Math.floor(age / 1000)} s`; }
    else { pill.dataset.state = state.chain.state; pill.textContent = state.chain.state; }
    const isOld = isLost || (age !== null && isStale);
    for (const part of document.querySelectorAll("[data-live]")) part.classList.toggle("is-stale", isOld);
    showBanner("lost", isLost ? "No link to the server: the figures below are old. The chain itself is not affected. This page connects again by itself." : "");
    showBanner("stale", !isLost && age !== null && isStale ? "Stale: the watchdog has not been heard for more than 3 seconds. The figures below are old." : "");
  }

  // --- notices: polite, and listed under Alerts as well ---------------------------------------------------------------

  function toast(level, text, number) {
    const box = byId("toasts"), made = document.createElement("div"), words = document.createElement("p"), close = document.createElement("button");
    made.className = "toast-own";
    made.dataset.level = level;
    const link = document.createElement("a");
    link.href = "/alerts";
    link.textContent = level === "bad" ? "Error" : "Warning";
    words.append(link, `: ${text}`);
    close.className = "btn-close";
    close.ariaLabel = `Close notice ${number}`;
    close.addEventListener("click", () => made.remove());
    made.append(words, close);
    box.append(made);
    while (box.children.length > 4) box.firstElementChild.remove();
    // Errors do not vanish by themselves.
    if (level !== "bad") setTimeout(() => made.remove(), TOAST_MS);
  }

  // --- parts of a page that the server draws: fetched again when one of their kinds changed ---------------------------

  function refreshes(part) {
    let timer = 0, isFirst = true;
    async function swap() {
      timer = 0;
      try {
        const answer = await fetch(window.location.href, { headers: { Accept: "text/html", "X-TradeBot-Part": part.id } });
        if (!answer.ok || answer.redirected) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
        if (!fresh || fresh.innerHTML === part.dataset.drawn) return;
        part.dataset.drawn = fresh.innerHTML;
        const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
        const scrolled = [...part.querySelectorAll(".panel-body")].map((one) => one.scrollTop);
        part.replaceChildren(...fresh.childNodes);
        [...part.querySelectorAll(".panel-body")].forEach((one, index) => { one.scrollTop = scrolled[index] || 0; });
        if (focused && byId(focused)) byId(focused).focus();
      } catch { /* The server is away: the link says so, and the next change comes here again. */ }
    }
    on(part.dataset.refresh.split(" "), (_state, now) => {
      // The page was drawn with the first state in it, so only what comes later is news.
      if (isFirst) { isFirst = false; return; }
      if (part.dataset.paused === "true" || (now.has("snapshot") && !isUp)) return;
      if (!timer) timer = setTimeout(swap, REFRESH_MS);
    });
  }

  // --- the stream: one for all tabs of a browser, since a browser keeps six connections to a server --------------------

  const channel = "locks" in navigator && "BroadcastChannel" in window ? new BroadcastChannel("tradebot") : null;
  const tell = (message) => { if (channel && leads) channel.postMessage(message); };
  const whole = () => ({ ...Object.fromEntries(kept.map((name) => [name, state[name]])), session_date: state.equityDate, chain_age_ms: chainAt === null ? null : performance.now() - chainAt });

  function hear({ data }) {
    if (data.type === "hello") {
      if (leads) tell({ type: "link", isUp });
      if (leads && hasSnapshot) tell({ type: "frame", kind: "snapshot", value: whole() });
    } else if (leads) return;
    else if (data.type === "link") showLink(data.isUp);
    else if (data.type === "ended") window.location.assign("/login");
    else if (data.type === "frame" && (hasSnapshot || data.kind === "snapshot")) take(data.kind, data.value);
  }

  async function again() {
    // An event stream does not tell why it was refused, so ask once in a way that does.
    try {
      const answer = await fetch("/api/snapshot", { headers: { Accept: "application/json" } });
      if (answer.status === 401) { tell({ type: "ended" }); window.location.assign("/login"); return; }
    } catch { /* The server is away; the next attempt follows below. */ }
    open();
  }

  function open() {
    close();
    source = new EventSource("/stream");
    source.onopen = () => { retryMs = RETRY_MS_MIN; showLink(true); tell({ type: "link", isUp: true }); };
    source.onerror = () => {
      close();
      showLink(false);
      tell({ type: "link", isUp: false });
      // The timers of a page that nobody sees are slow: another tab shall connect again, if there is one.
      if (document.hidden && leads) { leave(); join(); return; }
      retryTimer = setTimeout(again, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    };
    for (const kind of ["snapshot", ...kept.filter((name) => !Object.values(lists).includes(name)), ...Object.keys(lists)]) {
      source.addEventListener(kind, (event) => {
        const value = JSON.parse(event.data);
        take(kind, value);
        tell({ type: "frame", kind, value });
      });
    }
  }

  function close() {
    clearTimeout(retryTimer);
    if (source) { source.close(); source = null; }
  }

  function join() {
    if (!channel) {
      // Without locks each tab has a stream of its own, and gives it back while nobody sees it.
      if (!document.hidden) open();
      return;
    }
    navigator.locks.request("tradebot-stream", () => new Promise((resolve) => {
      leads = true;
      stopLeading = resolve;
      open();
    }));
    channel.postMessage({ type: "hello" });
  }

  function leave() {
    close();
    leads = false;
    if (stopLeading) { stopLeading(); stopLeading = null; }
  }

  function start() {
    for (const part of document.querySelectorAll("[data-refresh]")) refreshes(part);
    if (channel) channel.onmessage = hear;
    else document.addEventListener("visibilitychange", () => { if (document.hidden) { close(); showLink(false); } else open(); });
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", (event) => { if (event.persisted) join(); });
    setInterval(showFreshness, 500);
    join();
  }

  on(["chain"], ({ chain }) => {
    if (!chain) return;
    setText("chain-words", chain.detail);
    setText("stopped-words", chain.stopped);
    setText("goes-on-words", chain.goes_on);
    byId("state-words").hidden = false;
    const by = chain.armed_by ? ` · armed by ${chain.armed_by}` : "";
    setText("session-words", `Session ${chain.session_date || "not planned"} · ${chain.bot_state.replaceAll("_", " ").toLowerCase()}${by}`);
  });
  const sessionNow = ({ portfolio, orders, chain }) => Math.max(portfolio ? portfolio.ts_event_ms : 0, orders ? orders.ts_event_ms : 0) || (chain ? chain.ts_event_ms : 0);
  on(["portfolio", "orders", "chain"], (all) => {
    const at = sessionNow(all);
    if (at) setText("clock", `${day.format(at)} · ${utc.format(at)} UTC · ${newYork.format(at)} New York`);
  });
  on(["alerts"], ({ alerts }) => {
    const link = byId("alerts-link");
    link.dataset.unseen = String(alerts.unseen);
    setText("alerts-link", alerts.unseen ? `Alerts (${alerts.unseen})` : "Alerts");
  });
  document.addEventListener("DOMContentLoaded", start);
  return { on, touch, state, byId, setText, newYork, seconds, minutes, sessionNow, zoneName: looks.zoneName };
})();
