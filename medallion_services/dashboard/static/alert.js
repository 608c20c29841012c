// One alert: actions, the customer's time line, places, and who else is working on it.
import { ask, attempt, banner, fmt, get, has, me, onKey, onLive, send, span, t, times } from "./app.js";
import { draw, levels, palette, worldMap } from "./charts.js";

const page = () => document.getElementById("alert");
const address = (action) => `/api/v1/alerts/${page().dataset.alert}/${action}`;
const version = () => Number(page().dataset.version);
let timeline = [];

async function reload() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  // Charts and the loaded message stay; what people change is replaced.
  for (const part of [".headline", ".trail"]) document.querySelector(part).replaceWith(parsed.querySelector(part));
  Object.assign(page().dataset, parsed.getElementById("alert").dataset);
  document.getElementById("banner").hidden = true;
  times(page());
  bind();
}

const actions = {
  take: () => attempt(() => send("POST", address("assign"), { version: version(), assigned_to: me }), reload),
  close: async () => {
    const at = version();
    const finding = await ask(document.getElementById("close-dialog"));
    if (finding) attempt(() => send("POST", address("close"), { version: at, ...finding }), reload);
  },
  note: async () => {
    const content = await ask(document.getElementById("note-dialog"));
    if (content) attempt(() => send("POST", address("notes"), content), reload);
  },
  snooze: async () => {
    const content = await ask(document.getElementById("snooze-dialog"));
    if (!content) return;
    const until = new Date(Date.now() + Number(content.hours) * 3600000).toISOString();
    const { kind, subject } = page().dataset;
    attempt(() => send("POST", "/api/v1/snoozes",
      { rule_id: content.rule_id, subject_kind: kind, subject, until, reason: content.reason }), reload);
  },
  move: (button) => attempt(
    () => send("POST", address("transition"), { version: version(), status: button.dataset.to }), reload),
};

function bind() {
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => actions[button.dataset.do](button));
  }
  document.getElementById("assign")?.addEventListener("change", (event) => {
    const to = event.target.value;
    attempt(() => send("POST", address("assign"), { version: version(), assigned_to: to === "-" ? null : to }), reload);
  });
}
bind();
for (const [key, name] of [["a", "take"], ["c", "close"], ["n", "note"], ["s", "snooze"]]) {
  onKey(key, () => document.querySelector(`[data-do=${name}]`)?.click());
}

onLive(["desk"], (_, event) => {
  if (event.alert !== page().dataset.alert || event.by === me) return;
  const busy = document.querySelector("dialog[open]");
  if (busy || event.action !== "noted") banner(t("elsewhere", { by: event.by }), reload);
  if (!busy) reload().then(() => banner(t("elsewhere", { by: event.by })));
});

const data = JSON.parse(document.getElementById("alert-data").textContent);
const amount = (row) => Number(row.amount);

function table() {
  const box = document.getElementById("timeline-table");
  if (!timeline.length) { box.replaceChildren(Object.assign(document.createElement("p"), { className: "soft", textContent: t("none") })); return; }
  const made = document.createElement("table");
  made.className = "timeline";
  const head = made.createTHead().insertRow();
  for (const name of ["time", "amount", "where", "status", "score", "label"]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = t(name);
    head.append(cell);
  }
  const content = made.createTBody();
  for (const row of timeline) {
    const line = content.insertRow();
    if (row.transaction_id === data.transaction_id) line.className = "this";
    const where = row.merchant_name ?? row.merchant_id ?? "";
    const kind = has(`channel.${row.channel}`) ? t(`channel.${row.channel}`) : row.channel;
    const cells = [new Date(row.event_time).toLocaleString(document.documentElement.lang), `${fmt.format(amount(row))} ${row.currency}`,
      [where, kind].filter(Boolean).join(" · "), row.status === "APPROVED" ? "✓" : `✗ ${row.decline_reason ?? row.status}`, "", row.label ? t(row.label.label) : ""];
    cells.forEach((text) => { line.insertCell().textContent = text; });
    if (row.alert_id && row.transaction_id !== data.transaction_id) {
      const link = document.createElement("a");
      link.href = `/alerts/${row.alert_id}`;
      link.textContent = fmt.format(row.score ?? 0);
      line.cells[4].append(link);
    } else line.cells[4].textContent = row.score ? fmt.format(row.score) : "–";
  }
  box.replaceChildren(made);
}

function drawTimeline() {
  const colours = palette();
  const points = timeline.map((row) => ({
    value: [row.event_time, amount(row)],
    symbolSize: row.transaction_id === data.transaction_id ? 16 : 8,
    name: `${row.merchant_name ?? row.channel}\n${fmt.format(amount(row))} ${row.currency}\n${new Date(row.event_time).toLocaleString(document.documentElement.lang)}`,
    itemStyle: { color: row.level && row.level !== "none" ? levels()[row.level] : colours.c5, opacity: row.status === "APPROVED" ? 0.95 : 0.45,
      borderColor: row.transaction_id === data.transaction_id ? colours.text : "transparent", borderWidth: 2 },
  }));
  document.getElementById("timeline-plot").hidden = !points.length;
  if (!points.length) return;
  draw(document.getElementById("timeline-plot"), {
    grid: { left: 8, right: 12, top: 12, bottom: 4, containLabel: true },
    xAxis: { type: "time" }, yAxis: { type: "value" },
    tooltip: { formatter: (each) => each.name },
    series: [{ type: "scatter", data: points }],
  });
}

async function drawPlaces() {
  const colours = palette();
  const here = data.context ?? {};
  const others = timeline.filter((row) => row.latitude !== null && row.longitude !== null && row.transaction_id !== data.transaction_id);
  const spots = others.map((row) => ({ value: [row.longitude, row.latitude], name: row.merchant_name ?? row.channel }));
  const special = [];
  if (here.home_latitude != null) special.push({ value: [here.home_longitude, here.home_latitude], name: t("home"), symbol: "diamond", itemStyle: { color: colours.good } });
  if (here.latitude != null) special.push({ value: [here.longitude, here.latitude], name: t("this"), itemStyle: { color: levels()[data.level] } });
  const all = [...spots, ...special];
  const map = await worldMap(all.map((each) => each.value), document.getElementById("places-plot"));
  draw(document.getElementById("places-plot"), { ...map, tooltip: { formatter: (each) => each.name }, series: [
    { type: "scatter", coordinateSystem: "geo", data: spots, symbolSize: 6, itemStyle: { color: colours.c1, opacity: 0.6 } },
    { type: "scatter", coordinateSystem: "geo", data: special, symbolSize: 13, label: { show: true, position: "right", formatter: "{b}", color: colours.text } },
  ] }, !all.length);
}

async function paint() { drawTimeline(); await drawPlaces(); }

async function load() {
  try {
    const answer = await get(address("transactions"));
    timeline = answer.transactions;
    if (answer.delta_version !== null && answer.delta_version !== undefined) document.getElementById("delta-version").textContent = answer.delta_version;
  } catch { timeline = []; }
  table();
  await paint();
}
addEventListener("theme", paint);
load();

document.getElementById("message")?.addEventListener("toggle", async (event) => {
  const target = event.currentTarget.querySelector("pre");
  if (!event.currentTarget.open || target.dataset.loaded) return;
  const answer = await fetch(address("message"));
  const content = await answer.json();
  target.dataset.loaded = "yes";
  target.textContent = answer.ok ? (Object.keys(content.document).length ? JSON.stringify(content.document, null, 2) : content.text) : content.detail;
});
