// What every page shares: texts, times, theme, keyboard, requests, live events.
const body = document.body;
const words = JSON.parse(document.getElementById("texts").textContent);
export const me = body.dataset.user;

export function t(key, values = {}) {
  let text = words[`js.${key}`] ?? key.split(".").pop().replaceAll("_", " ");
  for (const [name, value] of Object.entries(values)) text = text.replace(`{${name}}`, value);
  return text;
}

export const has = (key) => `js.${key}` in words;
export const language = document.documentElement.lang;
export const fmt = new Intl.NumberFormat(language === "pt" ? "pt-BR" : "en-GB", { maximumFractionDigits: 1 });

export function span(seconds) {
  const left = Math.max(seconds, 0);
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (left >= length) return `${Math.round(left / length)} ${unit}`;
  }
  return `${Math.floor(left)} s`;
}

export function times(root = document) {
  for (const element of root.querySelectorAll("time")) {
    const moment = new Date(element.dateTime);
    if ("age" in element.dataset) {
      element.textContent = span((Date.now() - moment) / 1000);
      element.title = moment.toLocaleString(language);
    } else if (!element.title) {
      element.title = element.textContent;
      element.textContent = moment.toLocaleString(language === "pt" ? "pt-BR" : "en-GB");
    }
  }
}

let toastTimer;
export function toast(text) {
  const element = document.getElementById("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => element.classList.remove("shown"), 4000);
}

export function banner(text, action) {
  const element = document.getElementById("banner");
  element.replaceChildren(document.createTextNode(text));
  if (action) {
    const button = document.createElement("button");
    button.className = "plain";
    button.textContent = t("reload");
    button.addEventListener("click", () => { element.hidden = true; action(); });
    element.append(button);
  }
  element.hidden = false;
}

export class Refused extends Error {
  constructor(problem) { super(problem.detail); this.problem = problem; }
}

// A change: resolves with the answer, rejects with Refused.
export async function send(method, path, content) {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRF-Token": body.dataset.csrf },
    body: content === undefined ? undefined : JSON.stringify(content),
  });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  let problem = { status: answer.status, detail: answer.statusText };
  try { problem = await answer.json(); } catch { /* the answer came from something in between */ }
  throw new Refused(problem);
}

export async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// Do a change and tell how it went; `reload` shows the current state.
export async function attempt(change, reload) {
  try {
    await change();
    toast(t("saved"));
    await reload();
    return true;
  } catch (error) {
    if (error instanceof Refused && error.problem.code === "changed_meanwhile") {
      const at = new Date(error.problem.changed_at);
      const ago = isNaN(at) ? "" : t("ago", { n: span((Date.now() - at) / 1000) });
      banner(t("changed", { by: error.problem.changed_by ?? "?", at: ago }), reload);
    } else {
      banner(t("failed", { detail: error.message }), reload);
    }
    return false;
  }
}

// A dialog's form as an object, or null when it was dismissed.
export function ask(dialog) {
  const form = dialog.querySelector("form");
  form.reset();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "ok" ? Object.fromEntries(new FormData(form)) : null);
    }, { once: true });
  });
}

for (const button of document.querySelectorAll("[data-dismiss]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
// In the closing dialog 1 to 5 choose a finding.
document.getElementById("close-dialog")?.addEventListener("keydown", (event) => {
  if (event.target.tagName === "TEXTAREA" || !/^[1-5]$/.test(event.key)) return;
  const choice = event.currentTarget.querySelectorAll("input[type=radio]")[event.key - 1];
  choice.checked = true;
  choice.focus();
});

const keys = {};
let prefix = "";
export const onKey = (name, action) => { keys[name] = action; };
const typing = (element) => /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) || element.closest("dialog");
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const name = prefix + event.key;
  prefix = event.key === "g" ? "g" : "";
  if (keys[name]) { event.preventDefault(); keys[name](event); }
});
onKey("gq", () => { location.href = "/queue"; });
onKey("go", () => { location.href = "/"; });
onKey("?", () => document.getElementById("help").showModal());
onKey("/", () => document.querySelector("input[type=search]")?.focus());
document.getElementById("help-button")?.addEventListener("click", () => document.getElementById("help").showModal());

document.getElementById("theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `medallion_theme=${root.dataset.theme}; path=/; max-age=31536000; SameSite=Lax`;
  dispatchEvent(new Event("theme"));
});
document.getElementById("language")?.addEventListener("click", (event) => {
  event.preventDefault();
  document.cookie = `medallion_language=${event.currentTarget.hreflang}; path=/; max-age=31536000; SameSite=Lax`;
  location.reload();
});
document.getElementById("logout")?.addEventListener("click", async () => {
  await send("POST", "/logout");
  location.href = "/login";
});

// Live events: handlers by name; `reset` reaches all of them.
const handlers = [];
export const onLive = (names, action) => handlers.push([names, action]);
function dispatch(name, data) {
  for (const [names, action] of handlers) if (name === "reset" || names.includes(name)) action(name, data);
}
if (me) {
  const dot = document.getElementById("live");
  const show = (state) => {
    dot.dataset.state = state;
    dot.title = t(`live.${state}`);
    dot.setAttribute("aria-label", dot.title);
  };
  let source = null;
  const connect = () => {
    source = new EventSource("/api/v1/events");
    source.addEventListener("open", () => show("open"));
    source.addEventListener("error", () => show("lost"));
    for (const name of ["alerts", "adopted", "desk", "reset"]) {
      source.addEventListener(name, (event) => dispatch(name, JSON.parse(event.data)));
    }
  };
  connect();
  // Browsers allow six connections to a server: tabs that nobody looks at give theirs back, and look again later.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source.close(); show("wait"); } else { connect(); dispatch("reset", {}); }
  });
}

// Call at once, then at most once in `pause` ms, and once more at the end if called meanwhile.
export function paced(action, pause = 700) {
  let running = false;
  let again = false;
  return async function run() {
    if (running) { again = true; return; }
    running = true;
    try { await action(); } finally {
      setTimeout(() => { running = false; if (again) { again = false; run(); } }, pause);
    }
  };
}

for (const button of document.querySelectorAll("[data-end-snooze]")) {
  button.addEventListener("click", () => attempt(
    () => send("DELETE", `/api/v1/snoozes/${button.dataset.endSnooze}`), async () => location.reload()));
}

times();
setInterval(times, 5000);
