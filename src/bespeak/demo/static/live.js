/* The live view: figures and rows from one stream; rates are differences of the counters. */
(() => {
  "use strict";
  const KEPT = 120;
  const ROWS = 11;
  const number = new Intl.NumberFormat("en");
  const state = document.querySelector("[data-state]");
  const feed = document.querySelector("[data-feed]");
  const rates = { events: [], decisions: [] };
  const counters = { events: "bespeak_events_accepted_total", decisions: "bespeak_decisions_total" };
  const trail = [];
  let before = null;
  let beforeAt = 0;

  const spark = (name) => {
    const values = rates[name];
    const most = Math.max(1, ...values);
    const step = 300 / (KEPT - 1);
    const points = values.map((value, place) => `${((KEPT - values.length + place) * step).toFixed(1)} ${(66 - 60 * (value / most)).toFixed(1)}`);
    const svg = document.querySelector(`[data-spark="${name}"]`);
    if (points.length < 2) return;
    svg.querySelector(".line").setAttribute("d", `M${points.join("L")}`);
    svg.querySelector(".area").setAttribute("d", `M${points.join("L")}L300 70L${points[0].split(" ")[0]} 70Z`);
  };

  const show = (figures) => {
    const now = performance.now();
    for (const element of document.querySelectorAll("[data-metric]")) {
      element.textContent = number.format(figures[element.dataset.metric] ?? 0);
    }
    if (before) {
      const seconds = (now - beforeAt) / 1000;
      for (const [name, counter] of Object.entries(counters)) {
        rates[name].push(Math.max(0, (figures[counter] - before[counter]) / seconds));
        rates[name] = rates[name].slice(-KEPT);
        const last = rates[name].slice(-3);
        const rate = last.reduce((sum, one) => sum + one, 0) / last.length;
        document.querySelector(`[data-rate="${name}"]`).textContent = rate >= 10 ? Math.round(rate) : rate.toFixed(1);
        spark(name);
      }
    }
    const each = figures.bespeak_decisions_total ? (1000 * figures.bespeak_decision_cpu_seconds_total) / figures.bespeak_decisions_total : 0;
    document.querySelector("[data-each]").textContent = `${each.toFixed(2)} ms`;
    trail.push(figures);
    if (trail.length > 61) trail.shift();
    bars(figures);
    before = figures;
    beforeAt = now;
  };

  /** Bars are relative to the largest segment; beside them, the change within the last minute. */
  const bars = (figures) => {
    const rows = [...document.querySelectorAll("[data-segment]")];
    const most = Math.max(1, ...rows.map((row) => figures[row.dataset.segment] ?? 0));
    for (const row of rows) {
      const size = figures[row.dataset.segment] ?? 0;
      const change = size - (trail[0][row.dataset.segment] ?? size);
      row.querySelector(".fill").style.width = `${(100 * size) / most}%`;
      const move = row.querySelector(".move");
      move.textContent = change ? `${change > 0 ? "+" : "−"}${Math.abs(change)}` : "";
      move.className = `move ${change > 0 ? "up" : "down"}`;
    }
  };

  const cell = (name, text) => {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    return span;
  };

  const add = (rows) => {
    for (const row of rows) {
      const line = document.createElement("li");
      line.className = row.kind;
      line.append(cell("kind", row.kind), cell("text", row.text), cell("who", row.who));
      feed.prepend(line);
    }
    while (feed.children.length > ROWS) feed.lastElementChild.remove();
  };

  const stream = new EventSource("/live/stream");
  stream.addEventListener("open", () => { state.textContent = "Live"; state.classList.add("on"); });
  stream.addEventListener("error", () => { state.textContent = "Waiting for the server…"; state.classList.remove("on"); });
  stream.addEventListener("figures", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("rows", (event) => add(JSON.parse(event.data)));
})();
