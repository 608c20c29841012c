// One case: take it, give it away, note, close all its alerts.
import { ask, attempt, banner, me, onKey, onLive, send, t } from "./app.js";

const page = document.getElementById("case");
const address = (action) => `/api/v1/cases/${page.dataset.case}/${action}`;
const version = Number(page.dataset.version);
const reload = async () => location.reload();
const assign = (to) => attempt(() => send("POST", address("assign"), { version, assigned_to: to }), reload);
const actions = {
  take: () => assign(me),
  close: async () => {
    const finding = await ask(document.getElementById("close-dialog"));
    if (finding) attempt(() => send("POST", address("close"), { version, ...finding }), reload);
  },
  note: async () => {
    const content = await ask(document.getElementById("note-dialog"));
    if (content) attempt(() => send("POST", address("notes"), content), reload);
  },
};
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);
document.getElementById("assign")?.addEventListener("change", (event) => assign(event.target.value === "-" ? null : event.target.value));
for (const [key, name] of [["a", "take"], ["c", "close"], ["n", "note"]]) {
  onKey(key, () => document.querySelector(`[data-do=${name}]`)?.click());
}
onLive(["desk"], (_, event) => {
  if (String(event.case) === page.dataset.case && event.by !== me) banner(t("elsewhere", { by: event.by }), reload);
});
