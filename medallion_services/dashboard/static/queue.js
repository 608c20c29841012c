// The queue: rows stay current, one of them is picked, keys work on it.
import { ask, attempt, me, onKey, onLive, paced, send, times } from "./app.js";

const rows = () => [...document.querySelectorAll(".queue tbody tr[data-alert], .queue tbody tr[data-case]")];
let picked = null;
const keyOf = (row) => row.dataset.alert ?? row.dataset.case;

function pick(row, focus = true) {
  for (const each of rows()) each.classList.toggle("picked", each === row);
  picked = row ? keyOf(row) : null;
  if (row && focus) {
    row.querySelector("a").focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => keyOf(row) === picked);
  pick(all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]);
}

const current = () => rows().find((row) => keyOf(row) === picked);

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-alert], tr[data-case]");
  if (row && !event.target.closest("a, button") && !getSelection().toString()) row.querySelector("a").click();
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest?.("tr[data-alert], tr[data-case]");
  if (row) pick(row, false);
});

async function refresh() {
  const answer = await fetch(location.href, { headers: { "X-Fragment": "rows" } });
  if (!answer.ok) return;
  const before = new Set(rows().map(keyOf));
  const focused = document.activeElement?.closest?.("tr") !== null && document.activeElement?.closest?.("tr") !== undefined;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("rows").replaceWith(parsed.getElementById("rows"));
  times(document.getElementById("rows"));
  for (const row of rows()) if (!before.has(keyOf(row))) row.classList.add("fresh");
  const again = current();
  if (again) pick(again, focused);
}

if (document.getElementById("rows")) {
  onLive(["alerts", "desk"], paced(refresh));
  const dialog = document.getElementById("close-dialog");
  onKey("a", () => {
    const row = current();
    if (!row) return;
    attempt(() => send("POST", `/api/v1/alerts/${row.dataset.alert}/assign`,
      { version: Number(row.dataset.version), assigned_to: me }), refresh);
  });
  onKey("c", async () => {
    const row = current();
    if (!row) return;
    const [alert, version] = [row.dataset.alert, Number(row.dataset.version)];
    const finding = await ask(dialog);
    if (finding) attempt(() => send("POST", `/api/v1/alerts/${alert}/close`, { version, ...finding }), refresh);
  });
  for (const select of document.querySelectorAll(".filters select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
}
document.querySelector(".filters")?.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});
onKey("j", () => step(1));
onKey("k", () => step(-1));
onKey("Enter", () => current()?.querySelector("a").click());
