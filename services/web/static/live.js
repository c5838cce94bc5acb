// The live link: one event stream, the newest state, and the top bar. Text from outside only ever goes into textContent.
"use strict";
const TradeBot = (() => {
  const STALE_MS = 3000, RETRY_MS_MIN = 500, RETRY_MS_MAX = 10000, LINES_MAX = 500;
  const state = { chain: null, portfolio: null, orders: null, ledger: null, candidates: null, session: null, equity: [], fills: [], denied: [], events: [], stopped_streams: [] };
  const kept = Object.keys(state);
  const lists = { event: "events", fill: "fills", denied: "denied" };
  const renderers = [];
  const changed = new Set();
  let source = null, retryMs = RETRY_MS_MIN, retryTimer = 0, chainAt = null, isScheduled = false;

  const byId = (id) => document.getElementById(id);
  const setText = (id, text) => { const found = byId(id); if (found && found.textContent !== text) found.textContent = text; };
  const zone = (timeZone, options) => new Intl.DateTimeFormat("en-GB", { timeZone, hourCycle: "h23", ...options });
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const day = zone("America/New_York", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
  const utc = zone("UTC", clock), newYork = zone("America/New_York", clock);

  // Draw at most once per frame, and only what changed.
  function touch(kind) {
    changed.add(kind);
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      const now = new Set(changed);
      changed.clear();
      for (const [kinds, draw] of renderers) if (kinds.some((one) => now.has(one))) draw(state);
    });
  }

  function on(kinds, draw) { renderers.push([kinds, draw]); }

  function take(kind, value) {
    if (kind === "snapshot") {
      for (const name of kept) { state[name] = value[name]; touch(name); }
      state.equityDate = value.session_date;
      chainAt = value.chain_age_ms === null ? null : performance.now() - value.chain_age_ms;
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
    }
    showFreshness();
  }

  function showLink(isUp) {
    const link = byId("link-state");
    link.dataset.link = isUp ? "up" : "down";
    if (!isUp) link.textContent = "no link to the server, connecting again";
  }

  function showFreshness() {
    const pill = byId("chain-pill"), live = byId("live"), banner = byId("stale"), link = byId("link-state");
    const age = chainAt === null ? null : performance.now() - chainAt;
    const isStale = age === null || age > STALE_MS;
    if (link.dataset.link === "up") link.textContent = age === null ? "connected, no data yet" : `data ${(age / 1000).toFixed(isStale ? 0 : 1)} s old`;
    if (age === null) { pill.dataset.state = "none"; pill.textContent = "no status yet"; }
    else if (isStale) { pill.dataset.state = "stale"; pill.textContent = `stale ${Math.floor(age / 1000)} s`; }
    else { pill.dataset.state = state.chain.state; pill.textContent = state.chain.state; }
    if (live) live.classList.toggle("is-stale", age !== null && isStale);
    if (banner) {
      banner.hidden = age === null || !isStale;
      const words = banner.hidden ? "" : "Stale: the watchdog has not been heard for more than 3 seconds. The figures below are old.";
      if (banner.textContent !== words) banner.textContent = words;
    }
  }

  async function again() {
    // An event stream does not tell why it was refused, so ask once in a way that does.
    try {
      const answer = await fetch("/api/snapshot", { headers: { Accept: "application/json" } });
      if (answer.status === 401) { window.location.assign("/login"); return; }
    } catch { /* The server is away; the next attempt follows below. */ }
    open();
  }

  function open() {
    close();
    source = new EventSource("/stream");
    source.onopen = () => { retryMs = RETRY_MS_MIN; showLink(true); showFreshness(); };
    source.onerror = () => {
      close();
      showLink(false);
      retryTimer = setTimeout(again, retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    };
    for (const kind of ["snapshot", "chain", "portfolio", "orders", "ledger", "candidates", "session", "equity", "event", "fill", "denied", "stopped_streams"]) {
      source.addEventListener(kind, (event) => take(kind, JSON.parse(event.data)));
    }
  }

  function close() {
    clearTimeout(retryTimer);
    if (source) { source.close(); source = null; }
  }

  function start() {
    // A browser keeps six connections to one server: pages that nobody sees give theirs back.
    document.addEventListener("visibilitychange", () => { if (document.hidden) { close(); showLink(false); } else open(); });
    setInterval(showFreshness, 500);
    if (!document.hidden) open();
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
  on(["portfolio", "orders", "chain"], ({ portfolio, orders, chain }) => {
    const at = Math.max(portfolio ? portfolio.ts_event_ms : 0, orders ? orders.ts_event_ms : 0) || (chain ? chain.ts_event_ms : 0);
    if (at) setText("clock", `${day.format(at)} · ${utc.format(at)} UTC · ${newYork.format(at)} New York`);
  });
  document.addEventListener("DOMContentLoaded", start);
  return { on, touch, state, byId, setText, newYork, utc };
})();
