// Pages with charts and figures: everything stays current without a reload.
import { get, onLive, paced, times } from "./app.js";
import { paint } from "./charts.js";

const plots = [...document.querySelectorAll("[data-chart]")];
const kept = new Map();

async function load() {
  const asked = new Map();
  for (const plot of plots) {
    const { metric, period } = plot.dataset;
    const path = `/api/v1/metrics/${metric}?period=${period}`;
    if (!asked.has(path)) asked.set(path, get(path).then((answer) => answer.rows));
    try {
      kept.set(plot, await asked.get(path));
      await paint(plot, kept.get(plot));
    } catch (error) { console.warn(error.message); }
  }
}

// The server writes figures, feed and tables; what changed is taken from a fresh copy of the page.
async function refresh() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const known = new Set([...document.querySelectorAll("#feed li")].map((row) => row.dataset.alert));
  for (const id of ["figures", "feed", "streams", "board"]) {
    const [old, fresh] = [document.getElementById(id), parsed.getElementById(id)];
    if (!old || !fresh || old.contains(document.activeElement)) continue;
    if (id === "feed") for (const row of fresh.children) if (known.size && !known.has(row.dataset.alert)) row.classList.add("fresh");
    old.replaceChildren(...fresh.childNodes);
    times(old);
  }
}

onLive(["alerts", "desk"], paced(refresh));
onLive(["adopted", "desk"], paced(load, 5000));
if (document.getElementById("streams")) { setInterval(refresh, 3000); setInterval(load, 5000); } else setInterval(load, 15000);
addEventListener("theme", () => { for (const [plot, rows] of kept) paint(plot, rows); });
load();
