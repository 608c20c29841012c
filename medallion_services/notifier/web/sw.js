// Shows what was pushed, and opens the alert when it is touched. Keeps no copy of any page.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let told = {};
  try {
    told = event.data?.json() ?? {};
  } catch {
    // What cannot be read is still shown: browsers end subscriptions whose pushes show nothing.
  }
  event.waitUntil(
    self.registration.showNotification(told.title ?? "Medallion", {
      body: told.body ?? "",
      // The same message again replaces the first and makes no second sound.
      tag: told.tag,
      renotify: false,
      requireInteraction: told.urgent === true,
      data: { url: told.url ?? "/" },
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  // Only pages of the dashboard are opened, whatever was pushed.
  const wanted = new URL(event.notification.data?.url ?? "/", self.location.origin);
  const url = wanted.origin === self.location.origin ? wanted.href : self.location.origin;
  event.waitUntil(
    self.clients.matchAll({ type: "window" }).then((windows) => {
      const open = windows.find((client) => client.url === url);
      return open ? open.focus() : self.clients.openWindow(url);
    }),
  );
});
