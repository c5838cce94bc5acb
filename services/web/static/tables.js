// The tiles and tables of the dashboard. Every cell is made with textContent.
"use strict";
(() => {
  const { on, touch, byId, setText, utc } = TradeBot;
  const ROWS_MAX = 200, ENDED = ["FILLED", "CANCELLED", "REJECTED", "EXPIRED"], REFUSED = ["REJECTED", "EXPIRED", "UNKNOWN"];
  const amount = (text, places = 2) => Number(text).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: places });
  const dollars = (text) => `$${amount(text)}`;
  const price = (text) => (Number(text) === 0 ? "–" : amount(text, 4));
  const shares = (text) => Number(text).toLocaleString("en-US", { maximumFractionDigits: 9 });
  const percent = (bps) => `${(bps / 100).toFixed(2)} %`;
  const at = (ms) => utc.format(ms);
  const tone = (text) => (Number(text) > 0 ? "gain" : Number(text) < 0 ? "loss" : "");
  // Sign and triangle say the same as the colour, for those who do not see it.
  const signed = (text) => { const n = Number(text); return n === 0 ? "$0.00" : `${n > 0 ? "▲ +" : "▼ -"}$${amount(Math.abs(n))}`; };

  function rows(id, items, cellsOf, emptyText) {
    const table = byId(id);
    if (!table) return;
    const labels = [...table.tHead.rows[0].cells];
    const made = items.slice(0, ROWS_MAX).map((item) => {
      const row = document.createElement("tr");
      cellsOf(item).forEach((cell, index) => {
        const [text, css] = Array.isArray(cell) ? cell : [cell, ""];
        const made = document.createElement("td");
        made.textContent = text;
        made.className = `${labels[index].className} ${css}`.trim();
        made.dataset.label = labels[index].textContent;
        row.append(made);
      });
      return row;
    });
    table.tBodies[0].replaceChildren(...made);
    table.hidden = items.length === 0;
    const empty = byId(`${id}-empty`);
    empty.hidden = items.length > 0;
    if (emptyText) empty.textContent = emptyText;
    setText(`${id}-count`, items.length ? String(items.length) : "");
  }

  function tile(id, text, css, note) {
    const value = byId(id);
    value.textContent = text;
    value.className = `tile-value ${css}`.trim();
    setText(`${id}-note`, note);
  }

  function drawTiles({ portfolio: p }) {
    if (!p) return;
    // There is a best result where the loss is counted from it (DAILY_LOSS_FROM peak); rounded up as risk counts it.
    const best = Number(p.peak) > 0 ? signed(p.peak) : "";
    tile("equity", dollars(p.equity), "", `day began at ${dollars(p.start_equity)}`);
    tile("day-pnl", signed(p.day_pnl), tone(p.day_pnl), `${percent(p.day_pnl_bps)} of the day's start${best ? `, best ${best}` : ""}`);
    tile("realized", signed(p.realized), tone(p.realized), "closed trades");
    tile("unrealized", signed(p.unrealized), tone(p.unrealized), `${p.positions.length} open positions`);
    tile("allocation", percent(p.allocation_used_bps), "", `${dollars(p.allocated)} of ${dollars(p.allocation_limit)}`);
    tile("loss", percent(p.loss_used_bps), p.loss_used_bps >= 9000 ? "down" : "", `limit ${dollars(p.loss_limit)}${best ? " below the day's best" : ""}`);
    byId("allocation-meter").value = p.allocation_used_bps;
    byId("loss-meter").value = p.loss_used_bps;
  }

  function drawPositions({ portfolio, orders }) {
    const stops = new Map((orders ? orders.orders : []).filter((o) => o.leg === "stop" && !ENDED.includes(o.state.toUpperCase())).map((o) => [o.intent_id, o.stop]));
    rows("positions", portfolio ? portfolio.positions : [], (p) => {
      const stop = stops.get(p.intent_id) || "0";
      const room = Number(stop) && Number(p.last) ? `${((Number(p.last) / Number(stop) - 1) * 100).toFixed(2)} %` : "no stop rests";
      return [p.symbol, p.strategy, shares(p.qty), price(p.entry), price(p.last), price(stop), [room, Number(stop) ? "nowrap" : "warn"], [signed(p.pnl), tone(p.pnl)]];
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
    const none = wanted === "all" ? "No orders today." : `No ${wanted} orders.`;
    rows("orders", found, (o) => [[at(o.ts_ms), "nowrap"], o.symbol, o.side, o.leg, o.order_type.replace("_", " "), shares(o.qty), shares(o.filled), price(o.average), [o.state, REFUSED.includes(o.state.toUpperCase()) ? "down" : ""], o.reason], none);
  }

  function drawCandidates({ candidates }) {
    const isIn = byId("candidates-filter").value === "in";
    const why = (item) => item.reasons.filter((r) => isIn || !r.passed).map((r) => `${r.passed ? "✓" : "✗"} ${r.rule} ${r.value} (${r.threshold})`).join(" · ");
    const found = candidates ? (isIn ? candidates.candidates : candidates.rejected) : [];
    const none = candidates ? (isIn ? "No name passed the screener." : "No name was screened out.") : "No candidates yet: the screener ranks them before the open.";
    rows("candidates", found, (c) => (isIn ? [String(c.rank), c.symbol, price(c.price), percent(c.gap_bps), why(c)] : ["–", c.symbol, "–", "–", why(c)]), none);
    // Only the first names that were screened out are said; docs/screener.md tells where all of them are.
    if (!isIn && candidates && candidates.rejected_total > found.length) setText("candidates-count", `${found.length} of ${candidates.rejected_total.toLocaleString("en-US")}`);
  }

  function drawEvents({ events }) {
    const wanted = byId("events-filter").value;
    const levels = { all: ["info", "warn", "bad"], warn: ["warn", "bad"], bad: ["bad"] }[wanted];
    const css = { info: "", warn: "warn", bad: "down" };
    const found = events.filter((e) => levels.includes(e.level)).reverse();
    rows("events", found, (e) => [[at(e.ts_ms), "nowrap"], [e.kind, css[e.level]], e.text], wanted === "all" ? "No events yet." : "None of this kind.");
  }

  function drawLedger({ ledger }) {
    if (!ledger) return;
    facts(byId("ledger-facts"), [["Ledger", ledger.ledger], ["Entries", String(ledger.entries)], ["Cash", dollars(ledger.cash)], ["Realized", signed(ledger.realized)],
      ["Debits − credits", ledger.imbalance === 0 ? "0, in balance" : `${ledger.imbalance}, NOT in balance`], ["Suspended", String(ledger.suspended)]]);
    byId("ledger-empty").hidden = true;
  }

  const status = { up: "up", stale: "warn", down: "down", "never seen": "warn" };
  on(["stopped_streams"], ({ stopped_streams: stopped }) => { byId("stopped").hidden = stopped.length === 0; });
  on(["portfolio"], drawTiles);
  on(["portfolio", "orders"], drawPositions);
  on(["orders"], drawNotes);
  on(["orders"], drawOrders);
  on(["candidates"], drawCandidates);
  on(["events"], drawEvents);
  on(["ledger"], drawLedger);
  on(["fills"], ({ fills }) => rows("fills", [...fills].reverse(), (f) => [[at(f.ts_event_ms), "nowrap"], f.symbol, f.side, shares(f.qty), price(f.price), f.leg, f.reason]));
  on(["denied", "portfolio"], ({ denied, portfolio }) => {
    const known = denied.length || !portfolio ? denied : portfolio.denied;
    rows("denied", [...known].reverse(), (d) => [[at(d.ts_event_ms), "nowrap"], d.symbol, d.rule, d.value, d.limit]);
  });
  on(["chain"], ({ chain }) => rows("services", chain ? chain.services : [], (s) => [s.service, [s.status, status[s.status]], s.status === "never seen" ? "–" : `${s.age_ms} ms`, String(s.restarts), String(s.outbox_depth), s.detail]));
  for (const [id, kind] of [["orders-filter", "orders"], ["candidates-filter", "candidates"], ["events-filter", "events"]]) byId(id).addEventListener("change", () => touch(kind));
})();
