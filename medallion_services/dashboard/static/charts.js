// Apache ECharts with our colours. Tooltips are drawn on the canvas: the page's policy allows no inline styles.
import { fmt, has, t } from "./app.js";

/* global echarts */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(["text", "soft", "line", "line-soft", "card", "bg", "land", "good", "critical", "high", "medium", "low",
    "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "fill-critical", "fill-high", "fill-medium"].map((name) => [name, of(name)]));
}
export const levels = () => { const p = palette(); return { critical: p["fill-critical"], high: p["fill-high"], medium: p["fill-medium"], low: p.c5, none: p.c5 }; };

function axis(p, given, side) {
  return { axisLine: { show: side === "x", lineStyle: { color: p.line } }, axisTick: { show: false }, splitLine: { show: side === "y" && given?.type !== "category", lineStyle: { color: p["line-soft"] } },
    ...given, axisLabel: { color: p.soft, fontSize: 11, hideOverlap: true, ...given?.axisLabel } };
}

export function draw(element, option, empty = false) {
  element.classList.toggle("empty", empty);
  element.dataset.empty = t("nodata");
  const chart = echarts.getInstanceByDom(element) ?? echarts.init(element, null, { renderer: "canvas" });
  if (empty) { chart.clear(); return; }
  const p = palette();
  chart.setOption({
    color: [p.c1, p.c2, p.c3, p.c4, p.c5, p.c6, p.c7, p.c8], animation: false, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: p.text },
    ...option,
    tooltip: { renderMode: "richText", confine: true, backgroundColor: p.card, borderColor: p.line, textStyle: { color: p.text, fontSize: 12 }, ...option.tooltip },
    ...(option.legend ? { legend: { textStyle: { color: p.soft, fontSize: 11 }, itemWidth: 10, itemHeight: 8, top: 0, right: 0, icon: "roundRect", ...option.legend } } : {}),
    ...(option.xAxis ? { xAxis: axis(p, option.xAxis, "x") } : {}),
    ...(option.yAxis ? { yAxis: axis(p, option.yAxis, "y") } : {}),
  }, true);
  if (!element.dataset.watched) {
    element.dataset.watched = "yes";
    new ResizeObserver(() => chart.resize()).observe(element);
  }
}

let world;
export async function worldMap(points, element) {
  world ??= fetch("/static/vendor/world.json").then((answer) => answer.json()).then((shapes) => echarts.registerMap("world", shapes));
  await world;
  const p = palette();
  const geo = { map: "world", roam: true, scaleLimit: { min: 1, max: 60 }, silent: true, aspectScale: 1, itemStyle: { areaColor: p.land, borderColor: p.card, borderWidth: 0.6 }, left: 0, right: 0, top: 0, bottom: 0 };
  if (points.length) {
    const [xs, ys] = [points.map((each) => each[0]), points.map((each) => each[1])];
    const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
    // The shape of the element decides how much is seen beside the points, so that land keeps its shape.
    const shape = Math.max(element.clientWidth, 1) / Math.max(element.clientHeight, 1);
    const height = Math.max(1.2 * (Math.max(...ys) - Math.min(...ys)), 1.2 * (Math.max(...xs) - Math.min(...xs)) / shape, 8);
    geo.boundingCoords = [[middle[0] - height * shape / 2, middle[1] + height / 2], [middle[0] + height * shape / 2, middle[1] - height / 2]];
  }
  return { geo };
}

const grid = { left: 6, right: 14, top: 30, bottom: 4, containLabel: true };
const flat = { ...grid, top: 8 };
const named = (metric, name) => {
  const key = `${metric}.${name}`;
  return has(key) ? t(key) : name === "unknown" ? t("unknown") : name;
};
const clock = { type: "time", axisLabel: { formatter: { hour: "{HH}:{mm}", day: "{d}/{MM}" } } };
const lines = (name, data, more = {}) => ({ name, type: "line", showSymbol: false, lineStyle: { width: 1.8 }, data, ...more });
const unit = { yAxis: { type: "value" }, xAxis: clock, tooltip: { trigger: "axis" }, legend: {}, grid };

// Bars can only be stacked when every series has every moment.
function aligned(rows, name, value, width = 1) {
  const at = (row) => Math.floor(new Date(row.at) / width) * width;
  const moments = [...new Set(rows.map(at))].sort((a, b) => a - b);
  const series = {};
  for (const row of rows) {
    const known = (series[name(row)] ??= new Map());
    known.set(at(row), (known.get(at(row)) ?? 0) + value(row));
  }
  return Object.fromEntries(Object.entries(series).map(([key, known]) => [key, moments.map((each) => [each, known.get(each) ?? 0])]));
}

const painters = {
  stacked: (rows, _, period) => {
    const colours = levels();
    // A week of hours would be hairs: longer periods have wider bars.
    const step = { "7d": 6, "30d": 24 }[period] ?? 1;
    const series = aligned(rows, (row) => row.level, (row) => row.alerts, step * 3600000);
    return { ...unit, series: ["medium", "high", "critical"].filter((level) => series[level]).map((level) => ({
      name: t(`level.${level}`), type: "bar", stack: "all", barMaxWidth: 22, itemStyle: { color: colours[level] }, data: series[level] })) };
  },
  bars: (rows, metric) => horizontal(rows.slice(0, 10), metric, (row) => row.alerts),
  columns: (rows) => {
    const sorted = [...rows].sort((a, b) => Number(a.name) - Number(b.name));
    return { grid: flat, tooltip: {}, xAxis: { type: "category", data: sorted.map((row) => `${row.name}+`) }, yAxis: { type: "value" },
      series: [{ type: "bar", barMaxWidth: 40, itemStyle: { color: palette().c1, borderRadius: [3, 3, 0, 0] }, data: sorted.map((row) => row.alerts) }] };
  },
  rates: (rows, metric) => horizontal(rows.filter((row) => row.alerts).slice(0, 10), metric, (row) => (row.rate === null ? null : 100 * row.rate),
    (row) => (row.rate === null ? `${fmt.format(row.alerts)}` : `${fmt.format(100 * row.rate)} %  (${fmt.format(row.alerts)})`)),
  rate: (rows) => ({ ...unit, legend: undefined, grid: flat, yAxis: { type: "value", axisLabel: { formatter: "{value} %" } },
    tooltip: { trigger: "axis", valueFormatter: (value) => `${fmt.format(value)} %` },
    series: [lines(t("rate"), rows.filter((row) => row.rate !== null).map((row) => [row.at, 100 * row.rate]), { areaStyle: { opacity: 0.12 } })] }),
  traffic: (rows) => ({ ...unit, series: [lines(t("transactions"), rows.map((row) => [row.at, row.transactions]), { areaStyle: { opacity: 0.12 } }),
    lines(t("declined"), rows.map((row) => [row.at, row.declined])), lines(t("late"), rows.map((row) => [row.at, row.late]))] }),
  latency: (rows) => ({ ...unit, yAxis: { type: "value", axisLabel: { formatter: "{value} ms" } },
    series: [lines("p50", rows.map((row) => [row.at, row.p50_ms])), lines("p99", rows.map((row) => [row.at, row.p99_ms]))] }),
  ring: (rows, metric) => {
    const colours = metric === "level" ? levels() : { confirmed_fraud: palette().critical, false_positive: palette().good, verified: palette().c2, approved: palette().c1, declined: palette().c4, duplicate: palette().c5, inconclusive: palette().c4 };
    const key = { level: "level", answers: "answer" }[metric] ?? "disposition";
    return { tooltip: { trigger: "item" }, legend: { orient: "vertical", right: 0, top: "middle" }, series: [{ type: "pie", radius: ["52%", "78%"], center: ["34%", "50%"], label: { show: false },
      itemStyle: { borderColor: palette().card, borderWidth: 2 },
      data: rows.map((row) => ({ name: named(key, row.name), value: row.alerts, itemStyle: { color: colours[row.name] } })) }] };
  },
  heat: (rows) => {
    const p = palette();
    const days = t("weekdays").split(" ");
    return { grid: { ...flat, right: 6 }, tooltip: { formatter: (each) => `${days[each.value[1]]} ${each.value[0]}:00  ${fmt.format(each.value[2])}` },
      xAxis: { type: "category", data: [...Array(24).keys()] }, yAxis: { type: "category", data: days, inverse: true },
      visualMap: { show: false, min: 0, max: Math.max(1, ...rows.map((row) => row.alerts)), inRange: { color: [p["line-soft"], p.c1] } },
      series: [{ type: "heatmap", itemStyle: { borderColor: p.card, borderWidth: 2, borderRadius: 3 }, data: rows.map((row) => [row.hour, row.weekday - 1, row.alerts]) }] };
  },
  matrix: (rows) => {
    const p = palette();
    const [across, down] = [[...new Set(rows.map((row) => row.type))], [...new Set(rows.map((row) => row.channel))]];
    const label = (kind, name) => named(kind, name);
    return { grid: { left: 92, right: 6, top: 2, bottom: 34 }, tooltip: { formatter: (each) => `${label("channel", down[each.value[1]])}, ${label("type", across[each.value[0]])}: ${fmt.format(each.value[2])}` },
      xAxis: { type: "category", data: across.map((name) => label("type", name)), axisLabel: { width: 70, overflow: "break", interval: 0, hideOverlap: false } },
      yAxis: { type: "category", data: down.map((name) => label("channel", name)), axisLabel: { width: 84, overflow: "truncate" } },
      visualMap: { show: false, min: 0, max: Math.max(1, ...rows.map((row) => row.alerts)), inRange: { color: [p["line-soft"], p.c1] } },
      series: [{ type: "heatmap", itemStyle: { borderColor: p.card, borderWidth: 2, borderRadius: 3, opacity: 0.55 }, label: { show: true, fontSize: 11, formatter: (each) => fmt.format(each.value[2]), color: p.text },
        data: rows.map((row) => [across.indexOf(row.type), down.indexOf(row.channel), row.alerts]) }] };
  },
  rules: (rows) => {
    const totals = {};
    for (const row of rows) totals[row.rule_id] = (totals[row.rule_id] ?? 0) + row.hits + row.shadow_hits;
    const top = Object.keys(totals).sort((a, b) => totals[b] - totals[a]).slice(0, 8);
    const series = aligned(rows, (row) => row.rule_id, (row) => row.hits + row.shadow_hits);
    return { ...unit, legend: { type: "scroll", left: 0 }, series: top.map((rule) => ({ name: rule, type: "bar", stack: "all", barMaxWidth: 30, data: series[rule] })) };
  },
};

function horizontal(rows, metric, value, text = (row) => fmt.format(value(row))) {
  const p = palette();
  const reversed = [...rows].reverse();
  return { grid: { left: 142, right: 92, top: 2, bottom: 2 }, tooltip: { formatter: (each) => `${each.data.name}: ${each.data.text}` },
    xAxis: { type: "value", show: false }, yAxis: { type: "category", data: reversed.map((row) => named(metric, row.name)), axisLabel: { width: 130, overflow: "truncate", color: p.text, hideOverlap: false, interval: 0 } },
    series: [{ type: "bar", barMaxWidth: 14, itemStyle: { color: p.c1, borderRadius: 3 }, label: { show: true, position: "right", color: p.soft, fontSize: 11, formatter: (each) => each.data.text },
      data: reversed.map((row) => ({ value: value(row), text: text(row), name: named(metric, row.name) })) }] };
}

export async function paint(element, rows) {
  const [kind, column] = element.dataset.chart.split(":");
  if (kind === "map") {
    const colours = levels();
    const points = rows.map((row) => ({ value: [row.longitude, row.latitude], id: row.alert_id, name: `${named("typology", row.typology)}\n${row.merchant_name ?? ""}`, itemStyle: { color: colours[row.level] } }));
    draw(element, { ...(await worldMap(points.map((each) => each.value), element)), tooltip: { formatter: (each) => each.name },
      series: [{ type: "scatter", coordinateSystem: "geo", symbolSize: 8, itemStyle: { opacity: 0.65 }, data: points }] }, !points.length);
    return;
  }
  if (kind === "stream") {
    const names = [...new Set(rows.map((row) => row.stream))];
    draw(element, { ...unit, series: names.map((name) => lines(name, rows.filter((row) => row.stream === name && row[column] !== null).map((row) => [row.minute, row[column]]))) }, !rows.length);
    return;
  }
  draw(element, painters[kind](rows, element.dataset.metric, element.dataset.period), !rows.length);
}
