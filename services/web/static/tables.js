// The tiles and tables of the dashboard. Every cell is made with textContent; a row keeps its place, and its focus.
"use strict";
(() => {
  const { on, touch, byId, setText, seconds, zoneName } = TradeBot;
  const ROWS_MAX = 200, ENDED = ["FILLED", "CANCELLED", "REJECTED", "EXPIRED"], REFUSED = ["REJECTED", "EXPIRED", "UNKNOWN"];
  const amount = (text, places = 2) => Number(text).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: places });
  const dollars = (text) => `$${amount(text)}`;
  const price = (text) => (Number(text) === 0 ? "–" : amount(text, 4));
  const shares = (text) => Number(text).toLocaleString("en-US", { maximumFractionDigits: 9 });
  const percent = (bps) => `${(bps / 100).toFixed(2)} %`;
  const tone = (text) => (Number(text) > 0 ? "gain" : Number(text) < 0 ? "loss" : "");
  // Sign and triangle say the same as the colour, for those who do not see it.
  const signed = (text) => { const n = Number(text); return n === 0 ? "$0.00" : `${n > 0 ? "▲ +" : "▼ -"}$${amount(Math.abs(n))}`; };
  // A cell is a text, or {text, css, ms, href, meter, more}: ms makes it a time, href a link, meter puts a bar before it.
  const at = (ms) => ({ ms, css: "nowrap" });
  const chainOf = (intentId) => `/orders/chain?intent=${encodeURIComponent(intentId)}`;
  const name = (symbol, intentId) => ({ text: symbol, href: intentId ? chainOf(intentId) : "" });

  function fill(cell, spec) {
    cell.replaceChildren();
    if (spec.meter) {
      const meter = document.createElement("meter");
      meter.ariaLabel = spec.meter.label;
      Object.assign(meter, { min: 0, max: spec.meter.max, low: spec.meter.max / 4, high: spec.meter.max / 2, optimum: spec.meter.max, value: spec.meter.value });
      cell.append(meter, " ");
    }
    if (spec.ms) {
      const time = document.createElement("time");
      time.dateTime = new Date(spec.ms).toISOString();
      time.title = zoneName;
      time.textContent = seconds.format(spec.ms);
      cell.append(time);
    } else if (spec.href) {
      const link = document.createElement("a");
      link.href = spec.href;
      link.textContent = spec.text;
      cell.append(link);
    } else cell.append(spec.text);
    if (spec.more) {
      const more = document.createElement("span");
      more.className = spec.more.css;
      more.textContent = spec.more.text;
      cell.append(more);
    }
  }

  function patch(row, specs, labels) {
    specs.forEach((one, index) => {
      const spec = typeof one === "string" ? { text: one } : one, shown = JSON.stringify(spec);
      const cell = row.cells[index] || row.insertCell();
      if (cell.shown === shown) return;
      cell.shown = shown;
      cell.className = `${labels[index].className} ${spec.css || ""}`.trim();
      cell.dataset.label = labels[index].textContent;
      const link = cell.querySelector("a");
      // A link that only says the same again stays, so that whoever is on it stays on it.
      if (link && spec.href && link.getAttribute("href") === spec.href && link.textContent === spec.text) return;
      fill(cell, spec);
    });
  }

  function rows(id, items, keyOf, specsOf, emptyText) {
    const table = byId(id), body = table.tBodies[0], labels = [...table.tHead.rows[0].cells];
    const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    const wanted = items.slice(0, ROWS_MAX).map((item, index) => {
      const key = String(keyOf(item, index)), row = known.get(key) || document.createElement("tr");
      known.delete(key);
      row.dataset.key = key;
      patch(row, specsOf(item), labels);
      return row;
    });
    for (const row of known.values()) row.remove();
    wanted.forEach((row, index) => { if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] || null); });
    table.hidden = items.length === 0;
    const empty = byId(`${id}-empty`);
    empty.hidden = items.length > 0;
    if (emptyText) empty.textContent = emptyText;
    setText(`${id}-count`, items.length ? String(items.length) : "");
  }

  function tile(id, text, css, note) {
    const value = byId(id);
    if (value.textContent !== text) value.textContent = text;
    value.className = `tile-value ${css}`.trim();
    setText(`${id}-note`, note);
  }

  function drawTiles({ portfolio: p }) {
    if (!p) return;
    // There is a best result where the loss is counted from it (DAILY_LOSS_FROM peak); rounded up as risk counts it.
    const best = Number(p.peak) > 0 ? signed(p.peak) : "";
    const open = p.positions.length;
    tile("equity", dollars(p.equity), "", `day began at ${dollars(p.start_equity)}`);
    tile("day-pnl", signed(p.day_pnl), tone(p.day_pnl), `${percent(p.day_pnl_bps)} of the day's start${best ? `, best ${best}` : ""}`);
    tile("realized", signed(p.realized), tone(p.realized), "closed trades of the day");
    tile("unrealized", signed(p.unrealized), tone(p.unrealized), `${open} open position${open === 1 ? "" : "s"}, at the last bid`);
    tile("allocation", percent(p.allocation_used_bps), "", `${dollars(p.allocated)} of ${dollars(p.allocation_limit)}`);
    tile("loss", percent(p.loss_used_bps), p.loss_used_bps >= 9000 ? "down" : "", `limit ${dollars(p.loss_limit)}${best ? " below the day's best" : ""}`);
    tile("trades", `${p.trades.toLocaleString("en-US")} of ${p.trades_max.toLocaleString("en-US")}`, "", "entries approved, of MAX_TRADES_PER_DAY");
    tile("at-risk", dollars(p.at_risk), "", "from the last prices to the stops; all of it without one");
    byId("allocation-meter").value = p.allocation_used_bps;
    byId("loss-meter").value = p.loss_used_bps;
    byId("trades-meter").value = p.trades_max ? (p.trades * 10000) / p.trades_max : 0;
  }

  const KEPT_BY = { broker: "at the broker", bot: "watched by the bot alone", both: "part at the broker, part by the bot", "": "no stop rests" };
  function drawPositions({ portfolio }) {
    rows("positions", portfolio ? portfolio.positions : [], (p) => p.intent_id, (p) => {
      const hasStop = Number(p.stop) > 0;
      const room = hasStop ? { text: percent(p.room_bps), css: "nowrap", meter: { label: `Way to the stop of ${p.symbol}`, value: Math.max(0, p.room_bps), max: Math.max(p.trail_bps, 1) } } : "–";
      const uncovered = hasStop && Number(p.uncovered) > 0 ? { css: "warn", text: `; ${shares(p.uncovered)} without a stop` } : null;
      return [name(p.symbol, p.intent_id), p.strategy, shares(p.qty), price(p.entry), price(p.last), { text: signed(p.pnl), css: tone(p.pnl) }, price(p.stop), room, dollars(p.at_risk), { text: KEPT_BY[p.rests], css: hasStop ? "" : "warn", more: uncovered }, p.moved_ms ? at(p.moved_ms) : "not seen to move"];
    });
  }

  function facts(list, pairs) {
    list.replaceChildren(...pairs.flatMap(([name, text, css]) => ["dt", "dd"].map((tag, index) => {
      const made = document.createElement(tag);
      made.textContent = index ? text : name;
      if (css && !index) made.className = css;
      return made;
    })));
  }

  // Only what changed is put in again, so that a screen reader hears a sentence once.
  let notesShown = "";
  function drawNotes({ orders: o }) {
    const notes = o ? [["Warning", o.warnings, "warn"], ["Open orders", o.drain, "warn"], ["At the broker", o.external, ""]].filter(([, text]) => text) : [];
    if (JSON.stringify(notes) === notesShown) return;
    notesShown = JSON.stringify(notes);
    byId("orders-notes").hidden = notes.length === 0;
    facts(byId("orders-notes"), notes);
  }

  function drawOrders({ orders }) {
    const wanted = byId("orders-filter").value;
    const fits = (o) => wanted === "all" || (wanted === "open" ? !ENDED.includes(o.state.toUpperCase()) : REFUSED.includes(o.state.toUpperCase()));
    const found = (orders ? orders.orders : []).filter(fits).reverse();
    const none = wanted === "all" ? "No orders today. They appear with the first signal that passes every check of risk." : `No ${wanted} orders.`;
    rows("orders", found, (o) => o.client_order_id, (o) => [at(o.ts_ms), name(o.symbol, o.intent_id), o.side, o.leg, o.order_type.replace("_", " "), shares(o.qty), shares(o.filled), price(o.average), { text: o.state, css: REFUSED.includes(o.state.toUpperCase()) ? "down" : "" }, o.reason, o.broker_words || "–"], none);
  }

  function drawCandidates({ candidates }) {
    const isIn = byId("candidates-filter").value === "in";
    const why = (item) => item.reasons.filter((r) => isIn || !r.passed).map((r) => `${r.passed ? "✓" : "✗"} ${r.rule} ${r.value} (${r.threshold})`).join(" · ");
    const found = candidates ? (isIn ? candidates.candidates : candidates.rejected) : [];
    const none = candidates ? (isIn ? "No name passed the screener." : "No name was screened out.") : "No candidates yet: the screener ranks them before the open.";
    rows("candidates", found, (c) => `${isIn} ${c.symbol}`, (c) => (isIn ? [String(c.rank), c.symbol, price(c.price), percent(c.gap_bps), why(c)] : ["–", c.symbol, "–", "–", why(c)]), none);
    // Only the first names that were screened out are said; the page of candidates has all of them.
    if (!isIn && candidates && candidates.rejected_total > found.length) setText("candidates-count", `${found.length} of ${candidates.rejected_total.toLocaleString("en-US")}`);
  }

  function drawEvents({ events }) {
    const wanted = byId("events-filter").value;
    const levels = { all: ["info", "warn", "bad"], warn: ["warn", "bad"], bad: ["bad"] }[wanted];
    const css = { info: "", warn: "warn", bad: "down" };
    const found = events.filter((e) => levels.includes(e.level)).reverse();
    rows("events", found, (e) => e.n, (e) => [at(e.ts_ms), { text: e.kind, css: css[e.level] }, e.text], wanted === "all" ? "No events yet: each thing that happens in the chain is said here." : "None of this kind.");
  }

  function drawLedger({ ledger }) {
    if (!ledger) return;
    facts(byId("ledger-facts"), [["Ledger", ledger.ledger], ["Entries", String(ledger.entries)], ["Cash", dollars(ledger.cash)], ["Realized", signed(ledger.realized)],
      ["Debits − credits", ledger.imbalance === 0 ? "0, in balance" : `${ledger.imbalance}, NOT in balance`], ["Suspended", String(ledger.suspended)]]);
    byId("ledger-empty").hidden = true;
  }

  const status = { up: "up", stale: "warn", down: "down", "never seen": "warn" };
  const marks = { up: "✓ up", stale: "▲ stale", down: "✗ down", "never seen": "▲ never seen" };
  function drawServices({ chain }) {
    rows("services", chain ? chain.services : [], (s) => s.service, (s) => {
      const error = s.last_error && s.last_error !== s.detail ? { css: "down d-block", text: `Last error: ${s.last_error}` } : null;
      const lag = s.lag_ms ? `${s.outbox_depth}, ${s.lag_ms} ms` : String(s.outbox_depth);
      return [s.service, { text: marks[s.status], css: `nowrap ${status[s.status]}` }, s.status === "never seen" ? "–" : `${s.age_ms} ms`, String(s.restarts), lag, { text: s.detail, more: error }];
    });
  }

  on(["stopped_streams"], ({ stopped_streams: stopped }) => { byId("stopped").hidden = stopped.length === 0; });
  on(["portfolio"], drawTiles);
  on(["portfolio"], drawPositions);
  on(["orders"], drawNotes);
  on(["orders"], drawOrders);
  on(["candidates"], drawCandidates);
  on(["events"], drawEvents);
  on(["ledger"], drawLedger);
  on(["fills"], ({ fills }) => rows("fills", [...fills].reverse(), (f) => f.execution_id, (f) => [at(f.ts_event_ms), name(f.symbol, f.intent_id), f.side, shares(f.qty), price(f.price), f.leg, f.reason]));
  on(["denied", "portfolio"], ({ denied, portfolio }) => {
    const known = denied.length || !portfolio ? denied : portfolio.denied;
    rows("denied", [...known].reverse(), (d, index) => `${d.intent_id} ${d.ts_event_ms} ${known.length - index}`, (d) => [at(d.ts_event_ms), name(d.symbol, d.intent_id), d.rule, d.value, d.limit]);
  });
  on(["chain"], drawServices);
  for (const [id, kind] of [["orders-filter", "orders"], ["candidates-filter", "candidates"], ["events-filter", "events"]]) byId(id).addEventListener("change", () => touch(kind));
})();
