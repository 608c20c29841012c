// Subscribes this browser to notifications, and lets it go again. Needs a button with `data-push`.

const KEY = "/api/v1/push/key";
const SUBSCRIPTIONS = "/api/v1/push/subscriptions";

/** The bytes of a base64url text, as `pushManager.subscribe` wants the server's key. */
export function bytesOf(text) {
  const padded = text.replace(/-/g, "+").replace(/_/g, "/").padEnd(Math.ceil(text.length / 4) * 4, "=");
  return Uint8Array.from(atob(padded), (letter) => letter.charCodeAt(0));
}

async function send(method, document_) {
  const answer = await fetch(SUBSCRIPTIONS, {
    method,
    headers: { "content-type": "application/json", "x-csrf-token": document.body.dataset.csrf ?? "" },
    body: JSON.stringify(document_),
  });
  if (!answer.ok) throw new Error(`${method} ${SUBSCRIPTIONS}: ${answer.status}`);
}

async function subscribe(registration) {
  const { key } = await (await fetch(KEY)).json();
  const made = await registration.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: bytesOf(key),
  });
  try {
    await send("POST", made.toJSON());
  } catch (error) {
    // A browser that believes it is subscribed would never ask again.
    await made.unsubscribe();
    throw error;
  }
}

async function unsubscribe(subscription) {
  await send("DELETE", { endpoint: subscription.endpoint });
  await subscription.unsubscribe();
}

async function start(button) {
  const registration = await navigator.serviceWorker.register("/sw.js");
  const show = async () => {
    const on = (await registration.pushManager.getSubscription()) !== null;
    button.setAttribute("aria-pressed", String(on));
    const text = on ? button.dataset.pushOff : button.dataset.pushOn;
    if (text) button.textContent = text;
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      // Permission may only be asked for while the user's click is handled.
      const current = await registration.pushManager.getSubscription();
      if (current) await unsubscribe(current);
      else if ((await Notification.requestPermission()) === "granted") await subscribe(registration);
    } finally {
      button.disabled = false;
      await show();
    }
  });
  await show();
  button.hidden = false;
}

const button = globalThis.document?.querySelector("[data-push]");
if (button && "serviceWorker" in navigator && "PushManager" in globalThis) start(button);
