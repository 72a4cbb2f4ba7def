// Fetches the table again when the list of jobs has changed, at most once a second.
(() => {
  const table = document.getElementById("jobs-table");
  let due = false;
  let busy = false;
  const chosen = () => [...table.querySelectorAll("input[name=job]:checked")].map((box) => box.value);
  const refresh = async () => {
    if (busy || document.hidden) { due = true; return; }
    busy = true;
    const kept = new Set(chosen());
    const focused = document.activeElement && document.activeElement.id;
    try {
      await htmx.ajax("GET", location.pathname + location.search, { target: table, swap: "innerHTML" });
      for (const box of table.querySelectorAll("input[name=job]")) box.checked = kept.has(box.value);
      if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
      count();
    } catch { /* the next change tries again */ }
    setTimeout(() => { busy = false; if (due) { due = false; refresh(); } }, 1000);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && due) refresh(); });

  const count = () => {
    const bar = document.getElementById("bulk");
    if (!bar) return;
    const n = chosen().length;
    for (const button of bar.querySelectorAll("button")) button.disabled = n === 0;
    document.getElementById("bulk-count").textContent = n || "";
  };
  table.addEventListener("change", (event) => {
    if (event.target.id === "all-jobs")
      for (const box of table.querySelectorAll("input[name=job]")) box.checked = event.target.checked;
    count();
  });
  table.addEventListener("htmx:afterSwap", count);
  count();

  window.SimpleBatchLive.subscribe({}, {
    onSnapshot: () => {}, onState: () => {}, poll: refresh,
    onEvent: (name) => { if (name === "jobs.changed") refresh(); },
  });
})();
