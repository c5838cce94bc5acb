// Follow a run of TEST_MODE: every second, until it has ended; then the whole page is loaded once more.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const EVERY_MS = 1000, MARKS = { ok: "✓", info: "●", warn: "▲", bad: "✗" };
  const { byId, setText } = TradeBot;
  const shown = document.querySelectorAll("[data-routine]").length;
  let known = "";

  function draw([name, kind, state, took, words]) {
    const row = document.querySelector(`[data-routine="${name}"]`);
    if (!row || row.dataset.state === state) return;
    row.dataset.state = state;
    const badge = document.createElement("span");
    badge.className = `badge tag tag-${kind}`;
    badge.textContent = `${MARKS[kind]} ${state}`;
    row.cells[1].replaceChildren(badge);
    row.cells[2].textContent = took || "–";
    row.cells[3].textContent = words || "–";
    const log = row.cells[4].querySelector("a");
    if (log) log.hidden = state === "waiting" || state === "left out";
  }

  async function look() {
    try {
      const answer = await fetch("/test/progress", { headers: { Accept: "application/json" } });
      if (answer.status === 401) { window.location.assign("/login"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const now = await answer.json();
      known = known || now.run_id;
      // Another run, or one whose routines the page does not have yet: only a fresh page shows it whole.
      if (!now.is_open || now.run_id !== known || now.routines.length !== shown) { window.location.reload(); return; }
      now.routines.forEach(draw);
      const ended = now.routines.filter(([, , state]) => state !== "waiting" && state !== "running").length;
      setText("test-note", shown ? `Following: ${ended} of ${shown} routines have ended.` : "Following: waiting for the watchdog.");
    } catch { setText("test-note", "Following: the server does not answer, trying again."); }
    setTimeout(look, EVERY_MS);
  }

  byId("test-again").hidden = true;
  look();
});
