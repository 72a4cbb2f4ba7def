// The live feed for pages: one socket, snapshots after gaps, polling while the socket is gone.
window.SimpleBatchLive = (() => {
  const POLL_MS = 2000;
  const PATIENCE_MS = 4000; // a socket that is silent this long is as good as gone
  const EVENTS = ["job.progress", "job.status", "job.buckets", "job.errors", "jobs.changed"];

  function subscribe(wish, { onSnapshot, onEvent, onState, poll }) {
    let seq = null;
    let timer = null;
    let live = false;
    const socket = io("/jobs", { transports: ["websocket", "polling"] });
    const ask = () =>
      socket.timeout(5000).emit("subscribe", wish, (error, answer) => {
        if (error || !answer.ok) return startPolling();
        seq = answer.seq;
        stopPolling();
        live = true;
        onState("live");
        onSnapshot(answer.snapshot);
      });
    const startPolling = () => {
      if (timer || !poll) return;
      onState("polling");
      timer = setInterval(poll, POLL_MS);
      poll();
    };
    const stopPolling = () => { clearInterval(timer); timer = null; };

    const watch = () => setTimeout(() => { if (!live) startPolling(); }, PATIENCE_MS);

    watch();
    socket.on("connect", ask);
    socket.on("disconnect", () => { live = false; onState("reconnecting"); watch(); });
    socket.on("connect_error", startPolling);
    for (const name of EVENTS)
      socket.on(name, (payload) => {
        if (seq !== null && payload.seq !== seq + 1) ask();
        seq = payload.seq;
        onEvent(name, payload);
      });
    socket.on("request.finished", (payload) => onEvent("request.finished", payload));
    return socket;
  }
  // says beside the page's figures how fresh they are
  const badge = (name) => {
    const place = document.getElementById("feed");
    place.hidden = false;
    place.dataset.state = name;
    place.textContent = `${name === "live" ? "●" : "○"} ${place.dataset[name]}`;
  };
  return { subscribe, badge };
})();
