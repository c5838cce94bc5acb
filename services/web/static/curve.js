// The equity curve of the session, on New York time, above and below the day's start.
"use strict";
(() => {
  const { on, byId, newYork } = TradeBot;
  const box = byId("curve"), table = byId("curve-rows"), details = table.closest("details");
  const minute = new Intl.DateTimeFormat("en-GB", { timeZone: "America/New_York", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let chart = null, series = null, markers = null, limit = null, drawn = 0, lastMs = 0;

  function paint() {
    chart.applyOptions({
      layout: { background: { color: "transparent" }, textColor: colour("--soft"), attributionLogo: false },
      grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
    });
    const up = colour("--up"), down = colour("--down");
    series.applyOptions({ topLineColor: up, bottomLineColor: down, topFillColor1: `${up}44`, topFillColor2: `${up}08`, bottomFillColor1: `${down}08`, bottomFillColor2: `${down}44`, lineWidth: 2 });
  }

  function build() {
    chart = LightweightCharts.createChart(box, {
      autoSize: true,
      localization: { timeFormatter: (s) => `${newYork.format(s * 1000)} New York` },
      timeScale: { timeVisible: true, borderVisible: false, tickMarkFormatter: (s) => minute.format(s * 1000) },
      rightPriceScale: { borderVisible: false },
      layout: { attributionLogo: false },
    });
    series = chart.addSeries(LightweightCharts.BaselineSeries, {});
    markers = LightweightCharts.createSeriesMarkers(series, []);
    paint();
    new MutationObserver(paint).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    new ResizeObserver(() => chart.timeScale().fitContent()).observe(box);
  }

  function drawLines({ portfolio: p }) {
    if (!p || !series) return;
    series.applyOptions({ baseValue: { type: "price", price: Number(p.start_equity) } });
    const price = Number(p.loss_line);
    if (!limit) limit = series.createPriceLine({ price, title: "loss limit", color: colour("--down"), lineStyle: 2, lineWidth: 1 });
    else if (limit.options().price !== price) limit.applyOptions({ price });
  }

  function drawFills({ fills, equity }) {
    if (!markers || !equity.length) return;
    const first = equity[0][0];
    markers.setMarkers(fills.filter((f) => f.ts_event_ms >= first).map((f) => ({
      time: Math.floor(f.ts_event_ms / 15000) * 15, size: 0.6,
      position: f.side === "BUY" ? "belowBar" : "aboveBar", shape: f.side === "BUY" ? "arrowUp" : "arrowDown", color: colour("--link"),
    })));
  }

  function drawTable({ equity }) {
    if (!details.open) return;
    table.tBodies[0].replaceChildren(...equity.slice(-120).reverse().map(([ms, text]) => {
      const row = document.createElement("tr");
      for (const [value, css] of [[newYork.format(ms), ""], [Number(text).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }), "num"]]) {
        const cell = document.createElement("td");
        cell.textContent = value;
        cell.className = css;
        row.append(cell);
      }
      return row;
    }));
  }

  function drawCurve(state) {
    const { equity } = state;
    box.hidden = equity.length === 0;
    byId("curve-empty").hidden = equity.length > 0;
    if (!equity.length) return;
    if (!chart) build();
    const points = equity.map(([ms, text]) => ({ time: ms / 1000, value: Number(text) }));
    const last = equity[equity.length - 1][0];
    // One new point is drawn as an update; anything else, such as a new day or a gap, is drawn whole.
    if (drawn && last >= lastMs && points.length - drawn <= 1 && points.length >= drawn) series.update(points[points.length - 1]);
    else { series.setData(points); drawFills(state); }
    if (points.length !== drawn) chart.timeScale().fitContent();
    drawn = points.length;
    lastMs = last;
    drawLines(state);
    drawTable(state);
  }

  on(["equity"], drawCurve);
  on(["portfolio"], drawLines);
  on(["fills"], drawFills);
  details.addEventListener("toggle", () => drawTable(TradeBot.state));
})();
