// The equity curve over the whole session, on New York time, above and below the day's start.
"use strict";
(() => {
  const { on, byId, setText, newYork, seconds } = TradeBot;
  const box = byId("curve"), table = byId("curve-rows"), details = table.closest("details");
  const minute = new Intl.DateTimeFormat("en-GB", { timeZone: "America/New_York", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const STEP_MS = 15000, LINE_SHOWN_WITHIN = 4;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let chart = null, series = null, markers = null, limit = null, known = new Map(), range = null;

  function paint() {
    chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: colour("--soft"), attributionLogo: false },
      grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
    });
    const up = colour("--gain"), down = colour("--lossy");
    series.applyOptions({ topLineColor: up, bottomLineColor: down, topFillColor1: `${up}44`, topFillColor2: `${up}08`, bottomFillColor1: `${down}08`, bottomFillColor2: `${down}44`, lineWidth: 2 });
  }

  function build() {
    chart = LightweightCharts.createChart(box, {
      autoSize: true,
      localization: { timeFormatter: (s) => `${newYork.format(s * 1000)} New York` },
      timeScale: { timeVisible: true, minBarSpacing: 0.01, borderVisible: false, tickMarkFormatter: (s) => minute.format(s * 1000) },
      rightPriceScale: { borderVisible: false },
      layout: { attributionLogo: false },
    });
    series = chart.addSeries(LightweightCharts.BaselineSeries, {});
    markers = LightweightCharts.createSeriesMarkers(series, []);
    paint();
    new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    new ResizeObserver(show).observe(box);
  }

  // The whole session, or all that is there where no session is known.
  function show() {
    if (range) chart.timeScale().setVisibleLogicalRange(range);
    else chart.timeScale().fitContent();
  }

  // The loss limit is drawn when the curve is near it; a line far below would press the curve flat. The head says it.
  function scaled(original, line) {
    const found = original();
    if (found === null || !line) return found;
    const { minValue, maxValue } = found.priceRange, room = Math.max(maxValue - minValue, 1) * LINE_SHOWN_WITHIN;
    if (line < minValue && minValue - line <= room) found.priceRange.minValue = line;
    return found;
  }

  function drawLines({ portfolio: p }) {
    if (!p || !series) return;
    series.applyOptions({ baseValue: { type: "price", price: Number(p.start_equity) } });
    const price = Number(p.loss_line);
    setText("curve-count", `New York time · loss limit at $${price.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`);
    series.applyOptions({ autoscaleInfoProvider: (original) => scaled(original, price) });
    if (!limit) limit = series.createPriceLine({ price, title: "loss limit", color: colour("--down"), lineStyle: 2, lineWidth: 1 });
    else if (limit.options().price !== price) limit.applyOptions({ price });
  }

  function drawFills({ fills, equity }) {
    if (!markers || !equity.length) return;
    // A session that is played again has fills of its first time that lie after its curve: they are drawn when it is there.
    const first = equity[0][0], last = equity[equity.length - 1][0] + 15000;
    markers.setMarkers(fills.filter((f) => f.ts_event_ms >= first && f.ts_event_ms < last).map((f) => ({
      time: Math.floor(f.ts_event_ms / 15000) * 15, size: 0.6,
      position: f.side === "BUY" ? "belowBar" : "aboveBar", shape: f.side === "BUY" ? "arrowUp" : "arrowDown", color: colour("--link"),
    })));
  }

  function drawTable({ equity }) {
    if (!details.open) return;
    table.tBodies[0].replaceChildren(...equity.slice(-120).reverse().map(([ms, text]) => {
      const row = document.createElement("tr");
      for (const [value, css] of [[seconds.format(ms), ""], [Number(text).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }), "num"]]) {
        const cell = document.createElement("td");
        cell.textContent = value;
        cell.className = css;
        row.append(cell);
      }
      return row;
    }));
  }

  function slots({ equity, session, equityDate }) {
    const found = new Map(equity.map(([ms, text]) => [ms, Number(text)]));
    const isKnown = session && session.is_trading_day && session.session_date === equityDate;
    for (let ms = isKnown ? session.open_ms : 1; isKnown && ms <= session.close_ms; ms += STEP_MS) if (!found.has(ms)) found.set(ms, null);
    const times = [...found.keys()].sort((a, b) => a - b);
    // Room on the right for the label of the close.
    range = isKnown ? { from: times.indexOf(session.open_ms), to: (times.length - 1) * 1.05 } : null;
    return times.map((ms) => (found.get(ms) === null ? { time: ms / 1000 } : { time: ms / 1000, value: found.get(ms) }));
  }

  function drawCurve(state, now) {
    const { equity } = state;
    box.hidden = equity.length === 0;
    byId("curve-empty").hidden = equity.length > 0;
    if (!equity.length) return;
    if (!chart) build();
    const [ms, text] = equity[equity.length - 1];
    const fresh = equity.filter(([at]) => !known.get(at)).length;
    // The newest point, or the one after it, is an update; anything else, such as a new day or a gap, is drawn whole.
    if (!now.has("session") && !now.has("snapshot") && known.has(ms) && fresh <= 1) series.update({ time: ms / 1000, value: Number(text) }, true);
    else {
      const points = slots(state);
      series.setData(points);
      known = new Map(points.map((point) => [point.time * 1000, false]));
      for (const [at] of equity) known.set(at, true);
      show();
    }
    known.set(ms, true);
    drawFills(state);
    drawLines(state);
    drawTable(state);
  }

  on(["equity", "session"], drawCurve);
  on(["portfolio"], drawLines);
  on(["fills"], drawFills);
  details.addEventListener("toggle", () => drawTable(TradeBot.state));
})();
