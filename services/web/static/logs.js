// Follow the logs: the newest lines by the filter that is set, every two seconds, until somebody pauses or scrolls up.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const EVERY_MS = 2000, NAMES = ["UTC", "Level", "Service", "Logger", "Message"];
  const { byId, setText } = TradeBot;
  const follow = byId("logs-follow"), copy = byId("logs-copy"), box = byId("logs-box"), body = byId("logs").tBodies[0];
  let timer = 0, drawn = "";

  function row(line) {
    const made = document.createElement("tr");
    made.dataset.level = line[1];
    line.forEach((text, index) => {
      const cell = made.insertCell();
      cell.dataset.label = NAMES[index];
      cell.className = ["nowrap", "", "", "", "words-cell"][index];
      cell.textContent = index === 0 ? text.replace("T", " ").replace(/Z$/, "") : text || "–";
    });
    return made;
  }

  async function look() {
    try {
      const answer = await fetch(`/logs/lines${window.location.search}`, { headers: { Accept: "application/json" } });
      if (answer.status === 401) { window.location.assign("/login"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (text !== drawn) {
        drawn = text;
        const lines = JSON.parse(text);
        body.replaceChildren(...lines.map(row));
        byId("logs-empty").hidden = lines.length > 0;
        setText("logs-note", `Following: ${lines.length} lines.`);
        box.scrollTop = box.scrollHeight;
      }
    } catch { setText("logs-note", "Following: the server does not answer, trying again."); }
    if (follow.ariaPressed === "true") timer = setTimeout(look, EVERY_MS);
  }

  function set(isOn, words) {
    clearTimeout(timer);
    follow.ariaPressed = String(isOn);
    follow.textContent = isOn ? "Pause" : "Follow";
    setText("logs-note", words);
    if (isOn) look();
  }

  follow.addEventListener("click", () => set(follow.ariaPressed !== "true", follow.ariaPressed === "true" ? "Paused: the lines below stay." : "Following."));
  // Whoever scrolls up reads: nothing moves under their eyes.
  box.addEventListener("wheel", (event) => { if (event.deltaY < 0 && follow.ariaPressed === "true") set(false, "Paused, because you scrolled up: the lines below stay."); }, { passive: true });
  copy.addEventListener("click", async () => {
    const text = [...body.rows].map((line) => [...line.cells].map((cell) => cell.textContent).join("\t")).join("\n");
    try { await navigator.clipboard.writeText(text); setText("logs-note", `Copied: ${body.rows.length} lines.`); } catch { setText("logs-note", "The browser does not let this page copy: mark the lines and copy them by hand."); }
  });
  follow.hidden = false;
  copy.hidden = !navigator.clipboard;
  box.scrollTop = box.scrollHeight;
});
