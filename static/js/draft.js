// Saves a form of a new job while it is typed, and says so. Another tab may work on the same draft: the
// server refuses to replace a version that this page has not seen, until the user says so.
(() => {
  const status = document.getElementById("draft-status");
  const form = status && document.getElementById(status.dataset.form);
  if (!form) return;
  const WAIT_MS = 600;
  const RETRY_MS = 2_000;
  const KEEPALIVE_BYTES = 60_000; // browsers send about 64 KB from a page that is closed
  const part = (name) => status.querySelector(`[data-when="${name}"]`);
  const keep = part("conflict").querySelector("button");
  let timer = null;
  let unsaved = false;
  let saving = false;
  let leaving = new AbortController(); // ends a save that a launch would overtake
  let stopped = false; // the other tab's version waits for a decision, or the page is left by a form

  const say = (name, message = "") => {
    for (const item of status.querySelectorAll("[data-when]"))
      item.hidden = item.dataset.when !== name && !(message && item.dataset.when === "message");
    if (message) part("message").textContent = message;
  };
  const body = () => {
    const values = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (typeof value === "string") values.append(name, value);
    return values;
  };
  const headers = { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" };
  const later = (ms) => { clearTimeout(timer); timer = setTimeout(save, ms); };

  // the address named what the form began with: loaded again, it must show what was typed since
  const forget = (address) => {
    const url = new URL(address);
    for (const name of ["saved", "version", "config"]) url.searchParams.delete(name);
    return url.href;
  };
  const settle = () => {
    if (forget(location.href) === location.href) return;
    history.replaceState(history.state, "", forget(location.href));
    for (const link of document.querySelectorAll("header a[hreflang]")) link.href = forget(link.href);
  };

  const answered = async (answer) => {
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) {
      form.elements.draft_version.value = said.version;
      settle();
      return say("saved", said.notice);
    }
    if (answer.status >= 500) throw new Error(answer.statusText);
    stopped = true;
    if (said.version === undefined) return say("message", said.error || answer.statusText);
    keep.dataset.version = said.version;
    return say("conflict", said.error);
  };

  async function save() {
    if (!unsaved || saving || stopped) return;
    saving = true;
    unsaved = false;
    try {
      await answered(await fetch(status.dataset.save, { method: "POST", headers, body: body(), signal: leaving.signal }));
    } catch {
      unsaved = true;
      if (!leaving.signal.aborted) say("failed");
      if (!stopped) later(RETRY_MS);
    }
    saving = false;
    if (unsaved && part("failed").hidden) later(WAIT_MS);
  }

  // what is not sent yet when the page is left
  const flush = () => {
    if (!unsaved || stopped) return;
    const values = body().toString();
    if (values.length > KEEPALIVE_BYTES) return;
    unsaved = false;
    fetch(status.dataset.save, { method: "POST", headers, body: values, keepalive: true }).catch(() => { unsaved = true; });
  };

  const changed = ({ target }) => {
    if (target.form !== form || target.type === "file") return;
    unsaved = true;
    if (!stopped) later(WAIT_MS);
  };
  for (const name of ["input", "change"]) document.addEventListener(name, changed);
  keep.addEventListener("click", () => {
    form.elements.draft_version.value = keep.dataset.version;
    stopped = false;
    unsaved = true;
    save();
  });
  // a form that is sent saves what stands in it, or discards the draft
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    clearTimeout(timer);
    if (event.target !== form && !event.target.action.endsWith("/discard")) return flush();
    stopped = true;
    leaving.abort();
  });
  addEventListener("pagehide", flush);
  addEventListener("beforeunload", (event) => {
    if (unsaved && !stopped && body().toString().length > KEEPALIVE_BYTES) event.preventDefault();
  });
  addEventListener("pageshow", async ({ persisted }) => {
    const [entry] = performance.getEntriesByType("navigation");
    if (!persisted && !(entry && entry.type === "back_forward")) return;
    stopped = false;
    leaving = new AbortController();
    const answer = await fetch(status.dataset.state, { headers: { Accept: "application/json" } }).catch(() => null);
    if (answer && (!answer.ok || (await answer.json()).state !== "draft")) location.reload();
  });
})();
