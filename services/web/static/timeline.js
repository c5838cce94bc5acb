// The session as steps in time: what is over, what is now, and how long until the next one.
"use strict";
(() => {
  const { on, byId, setText, minutes, sessionNow, zoneName } = TradeBot;
  const NAMES = [["open_ms", "Market opens"], ["start_open_ms", "Strategy open"], ["start_mid_ms", "Strategy mid"], ["start_close_ms", "Strategy close"], ["flatten_ms", "Sell all"], ["close_ms", "Market closes"]];
  const two = (n) => String(n).padStart(2, "0");
  const span = (ms) => { const s = Math.max(0, Math.ceil(ms / 1000)); return `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`; };
  let drawn = "";

  function draw(state) {
    const { session } = state;
    byId("timeline-empty").hidden = Boolean(session);
    byId("timeline").hidden = !session || !session.is_trading_day;
    byId("timeline-bar").hidden = byId("timeline").hidden;
    if (!session) return;
    if (!session.is_trading_day) { setText("timeline-next", `${session.session_date}: no session, the exchange is closed or TRADING_DAYS leaves the day out`); return; }
    const now = sessionNow(state);
    const steps = NAMES.map(([field, name]) => [session[field], name]).filter(([ms]) => ms > 0).sort((a, b) => a[0] - b[0]);
    const passed = steps.filter(([ms]) => ms <= now).length;
    const next = steps[passed];
    setText("timeline-next", `${session.is_half_day ? "Half day · " : ""}${next ? `${next[1]} in ${span(next[0] - now)}` : "the session is over"}`);
    const bar = byId("timeline-bar");
    bar.max = session.close_ms - session.open_ms;
    bar.value = Math.min(bar.max, Math.max(0, now - session.open_ms));
    const key = `${session.session_date} ${passed}`;
    if (drawn === key) return;
    drawn = key;
    byId("timeline").replaceChildren(...steps.map(([ms, name], index) => {
      const item = document.createElement("li"), time = document.createElement("time");
      time.dateTime = new Date(ms).toISOString();
      time.title = zoneName;
      time.textContent = minutes.format(ms);
      item.className = index < passed ? "is-over" : "";
      if (index === passed - 1) item.ariaCurrent = "step";
      item.append(time, ` ${name}`);
      return item;
    }));
  }

  on(["session", "portfolio", "orders", "chain"], draw);
})();
