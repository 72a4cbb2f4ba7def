// The live feed for pages: one socket for all subscriptions, snapshots after gaps, polling while the socket is gone.
window.SimpleBatchLive = (() => {
  const POLL_MS = 2000;
  const SILENT_MS = 4000; // without a connection for this long, poll instead
  const RECONNECT_MS = 1000;
  const EVENTS = ["job.progress", "job.status", "job.buckets", "job.errors", "jobs.changed", "jobs.finished"];
  let shared = null;
  const connection = () => {
    if (shared) return shared;
    shared = io("/jobs", { transports: ["websocket", "polling"] });
    // Socket.IO reconnects by itself unless the server disconnects it, as after each change of the access
    shared.on("disconnect", (reason) => {
      if (reason === "io server disconnect") setTimeout(() => shared.connect(), RECONNECT_MS);
    });
    return shared;
  };

  // a browser keeps a page that one leaves, for Back, only without a socket
  addEventListener("pagehide", () => { if (shared) shared.disconnect(); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted && shared) shared.connect(); });

  // whether an event belongs to what was subscribed to
  const concerns = (topic, name, payload) => {
    if (topic.finished) return name === "jobs.finished";
    return topic.job_id ? payload.job_id === topic.job_id : name === "jobs.changed";
  };

  function subscribe(topic, { onSnapshot, onEvent, onState = () => {}, poll }) {
    let seq = null;
    let timer = null;
    let live = false;
    const socket = connection();
    const ask = () =>
      socket.timeout(5000).emit("subscribe", topic, (error, answer) => {
        live = !error && answer.ok;
        if (!live) return startPolling(Boolean(error));
        seq = answer.seq;
        stopPolling();
        onState("live");
        onSnapshot(answer.snapshot);
      });
    const startPolling = (again = false) => {
      if (again) setTimeout(() => { if (socket.connected && !live) ask(); }, POLL_MS); // a busy server did not answer
      if (!poll) return;
      onState("polling");
      if (timer) return;
      timer = setInterval(poll, POLL_MS);
      poll();
    };
    const stopPolling = () => { clearInterval(timer); timer = null; };

    const watch = () => setTimeout(() => { if (!live) startPolling(); }, SILENT_MS);

    watch();
    socket.on("connect", ask);
    if (socket.connected) ask();
    socket.on("disconnect", () => { live = false; onState("reconnecting"); watch(); });
    socket.on("connect_error", () => startPolling());
    for (const name of EVENTS)
      socket.on(name, (payload) => {
        if (!concerns(topic, name, payload)) return;
        if (seq !== null && payload.seq !== seq + 1) ask();
        seq = payload.seq;
        onEvent(name, payload);
      });
    socket.on("request.finished", (payload) => { if (concerns(topic, "request.finished", payload)) onEvent("request.finished", payload); });
    return socket;
  }
  // shows beside the figures of the page how fresh they are
  const badge = (name) => {
    const place = document.getElementById("feed");
    if (place.dataset.state === name) return; // a screen reader would say it again
    place.hidden = false;
    place.dataset.state = name;
    place.textContent = `${name === "live" ? "●" : "○"} ${place.dataset[name]}`;
  };
  return { subscribe, badge };
})();
