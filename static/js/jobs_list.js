// Fetches the table again when the list of jobs has changed, at most once a second.
(() => {
  const table = document.getElementById("jobs-table");
  let due = false;
  let busy = false;
  const chosen = () => [...table.querySelectorAll("input[name=job]:checked")].map((box) => box.value);
  const refresh = async () => {
    if (busy || pressed || document.hidden) { due = true; return; }
    busy = true;
    const kept = new Set(chosen());
    try {
      // what has the focus has an id, by which htmx gives it back
      await htmx.ajax("GET", location.pathname + location.search, { target: table, swap: "innerHTML" });
      for (const box of table.querySelectorAll("input[name=job]")) box.checked = kept.has(box.value);
      count();
    } catch { /* the next change tries again */ }
    setTimeout(() => { busy = false; again(); }, 1000);
  };
  const again = () => { if (due) { due = false; refresh(); } };
  // a row or button is not exchanged between the press and the release of a click
  let pressed = false;
  table.addEventListener("pointerdown", () => { pressed = true; });
  addEventListener("pointerup", () => setTimeout(() => { pressed = false; again(); }, 100));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });

  const count = () => {
    const bar = document.getElementById("bulk");
    if (!bar) return;
    const n = chosen().length;
    const all = document.getElementById("all-jobs");
    all.checked = n > 0 && n === table.querySelectorAll("input[name=job]").length;
    all.indeterminate = n > 0 && !all.checked;
    for (const button of bar.querySelectorAll("button")) button.disabled = n === 0;
    document.getElementById("bulk-count").textContent = n || "";
  };
  table.addEventListener("change", (event) => {
    if (event.target.id === "all-jobs")
      for (const box of table.querySelectorAll("input[name=job]")) box.checked = event.target.checked;
    count();
  });
  table.addEventListener("htmx:afterSwap", count);
  addEventListener("pageshow", count); // by then the browser has put back what was checked

  window.SimpleBatchLive.subscribe({}, {
    onSnapshot: () => {}, onState: window.SimpleBatchLive.badge, poll: refresh,
    onEvent: (name) => { if (name === "jobs.changed") refresh(); },
  });
})();
