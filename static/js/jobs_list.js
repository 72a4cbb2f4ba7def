// Fetches the table again when the list of jobs has changed, at most once a second.
(() => {
  const table = document.getElementById("jobs-table");
  let due = false;
  let busy = false;
  const refresh = async () => {
    if (busy) { due = true; return; }
    busy = true;
    const url = new URL(location.href);
    url.searchParams.set("fragment", "1");
    try {
      const answer = await fetch(url);
      if (answer.ok) table.innerHTML = await answer.text();
    } catch { /* the next change tries again */ }
    setTimeout(() => { busy = false; if (due) { due = false; refresh(); } }, 1000);
  };
  window.SimpleBatchLive.subscribe({}, {
    onSnapshot: () => {}, onState: () => {}, poll: refresh,
    onEvent: (name) => { if (name === "jobs.changed") refresh(); },
  });
})();
