// The page of a request that has not ended: what the server shows of it changes as it is sent and answered.
(() => {
  const PARTS = ["facts-part", "retry-part", "edit-part", "answer-part", "attempts-part"];
  const FINAL = ["succeeded", "failed", "cancelled"];
  const EVERY_MS = 1000;
  const status = () => document.getElementById("facts-part").dataset.requestStatus;
  const shown = {}; // by part, as the server last sent it
  let busy = false;
  let again = false;

  async function refresh() {
    if (FINAL.includes(status())) return;
    if (busy) { again = true; return; }
    busy = true;
    again = false;
    try {
      const answer = await fetch(location.href);
      if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { /* the next change tries again */ }
    setTimeout(() => { busy = false; if (again) refresh(); }, EVERY_MS);
  }

  function exchange(page) {
    const before = status();
    for (const id of PARTS) {
      const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
      if (!old || !fresh || fresh.outerHTML === shown[id]) continue;
      if (old.querySelector("#edit")) continue; // a user may be writing there
      shown[id] = fresh.outerHTML;
      window.SimpleBatchFocus.keep(old.parentElement, () => old.replaceWith(document.adoptNode(fresh)));
    }
    if (status() !== before)
      document.getElementById("request-news").textContent = document.getElementById("facts-part").dataset.word;
    document.dispatchEvent(new Event("requestchange"));
  }

  document.addEventListener("requestchange", () => {
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
    window.SimpleBatchEdit.begin();
  });
  document.addEventListener("jobprogress", refresh); // of the feed, and where that is gone, of a poll
})();
