// Fetches the table again when the list of jobs has changed, at most once a second.
(() => {
  const table = document.getElementById("jobs-table");
  let due = false;
  let busy = false;
  const chosen = () => [...table.querySelectorAll("input[name=job]:checked")].map((box) => box.value);
  const refresh = async () => {
    if (busy || document.hidden) { due = true; return; }
    busy = true;
    const asked = location.href;
    try {
      const answer = await fetch(asked, { headers: { "HX-Request": "true" } });
      const login = answer.headers.get("HX-Redirect"); // the session has ended
      if (login) location.assign(login);
      if (answer.ok) await exchange(await answer.text(), asked);
    } catch { /* the next change tries again */ }
    setTimeout(() => { busy = false; again(); }, 1000);
  };
  const exchange = async (rows, asked) => {
    await window.SimpleBatchPointer.idle(table);
    if (location.href !== asked) return; // another filter is chosen since
    const kept = new Set(chosen());
    window.SimpleBatchFocus.keep(table, () => { table.innerHTML = rows; });
    htmx.process(table);
    for (const box of table.querySelectorAll("input[name=job]")) box.checked = kept.has(box.value);
    count();
  };
  const again = () => { if (due) { due = false; refresh(); } };
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
