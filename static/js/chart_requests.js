// From a chart to its requests: a click opens those of a bucket in a drawer, a drag narrows the window, whose
// requests are below.
(() => {
  const drawn = window.SimpleBatchCharts;
  const root = document.getElementById("charts");
  const part = document.getElementById("bucket-part");
  const title = document.getElementById("bucket-title");
  const drawer = document.getElementById("bucket-drawer");
  const below = part.parentElement; // where the requests of a window are
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium", hourCycle: "h23" });
  let chosen = null; // what the table shows: {kind: "bucket" | "bin", at}, at in seconds or ms
  let which = "";
  const choices = document.getElementById("bucket-which");
  const charted = new URLSearchParams(location.search).get("status"); // "" or null: all of them
  // offers the statuses to choose from, but not where the charts count one alone, as the histogram does
  function statusFor(kind) {
    const only = kind === "bin" ? "succeeded" : charted;
    choices.hidden = Boolean(only);
    return only || which;
  }

  drawn.each((name, chart) => {
    if (drawn.timed.includes(name)) {
      // dragging selects, without a button to be pressed first
      chart.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "lineX", brushMode: "single" } });
      chart.on("brushEnd", ({ areas }) => { if (areas.length) narrow(areas[0].coordRange); });
    }
    if (name === "scatter") return chart.on("click", ({ data }) => { location.href = `${root.dataset.requests}/${data[2]}${location.search}`; });
    // anywhere in a bucket's column counts as a click on it, not only on its bar
    let down = null;
    chart.getZr().on("mousedown", (event) => { down = event.offsetX; });
    chart.getZr().on("click", (event) => {
      const at = [event.offsetX, event.offsetY];
      if (!chart.containPixel("grid", at) || Math.abs(event.offsetX - down) > 3) return;
      const x = chart.convertFromPixel({ xAxisIndex: 0 }, event.offsetX);
      if (name !== "histogram") return choose({ kind: "bucket", at: x / 1000 });
      const bar = drawn.data().histogram[Math.round(x)];
      if (bar) choose({ kind: "bin", at: bar.from_ms });
    });
  });

  function narrow([from, to]) {
    const width = drawn.data().buckets[0].bucket_s;
    const url = new URL(location.href);
    url.hash = "";
    url.searchParams.set("from", Math.floor(from / 1000 / width) * width);
    url.searchParams.set("to", Math.ceil(to / 1000 / width) * width);
    location.href = url;
  }

  // the bars of a kind, and where each of them starts: while a job runs, the bar at a place changes
  const listOf = (kind) => drawn.data()[kind === "bucket" ? "buckets" : "histogram"];
  const startOf = (kind, item) => (kind === "bucket" ? item.t : item.from_ms);
  // the number of the bar that holds a time or a latency; the first or the last one where it is outside
  const containing = ({ kind, at }) => Math.max(0, listOf(kind).findLastIndex((item) => startOf(kind, item) <= at));

  // the requests that the charts show: the window in the address is widened to whole intervals
  function requestsUrl() {
    const url = new URL(root.dataset.requests, location.href);
    url.search = location.search;
    url.searchParams.delete("bucket");
    for (const [name, at] of [["from", drawn.data().from_s], ["to", drawn.data().to_s]]) if (at !== null) url.searchParams.set(name, at);
    return url;
  }

  async function choose({ kind, at }) {
    const item = listOf(kind)[containing({ kind, at })];
    if (!item) return;
    chosen = { kind, at: startOf(kind, item) };
    const url = requestsUrl();
    const range = kind === "bucket" ? { from: item.t, to: item.t + item.bucket_s } : { min_ms: item.from_ms, max_ms: item.to_ms };
    for (const [name, text] of Object.entries(range)) url.searchParams.set(name, text);
    const status = statusFor(kind);
    if (status) url.searchParams.set("status", status);
    const place = new URL(location.href);
    place.hash = `${kind}=${chosen.at}${which && !choices.hidden ? "&" + which : ""}`;
    history.replaceState(null, "", place);
    if (part.parentElement !== drawer) drawer.append(part);
    if (!(await list(url))) return;
    title.textContent = kind === "bucket" ? clock.format(item.t * 1000) : `${drawn.range(item)} ms`;
    if (!drawer.open) drawer.showModal();
    markSteps();
  }
  let asked = 0;
  // puts the requests into the part; true if they are still wanted then
  async function list(url) {
    const turn = ++asked;
    url.searchParams.set("fragment", "1");
    const answer = await fetch(url).catch(() => null);
    const rows = answer && answer.ok ? await answer.text().catch(() => null) : null;
    if (turn !== asked) return false; // a later one is on its way
    const place = document.getElementById("bucket-requests");
    if (rows === null) place.textContent = place.dataset.notLoaded;
    else place.innerHTML = rows;
    part.hidden = false;
    return true;
  }

  // The drawer is left: the page is as it was before, with the requests of its window where it has one.
  drawer.addEventListener("close", () => {
    asked += 1;
    chosen = null;
    const place = new URL(location.href);
    place.hash = "";
    history.replaceState(null, "", place);
    part.hidden = true;
    below.append(part);
    if (new URLSearchParams(location.search).has("from")) showWindow();
  });
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
  drawer.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, .table-responsive")) return;
    event.preventDefault();
    step(by);
  });
  document.getElementById("bucket-close").addEventListener("click", () => drawer.close());

  // the next bar with requests; undefined behind the last one
  const neighbour = (by) => {
    const items = listOf(chosen.kind);
    let n = containing(chosen) + by;
    while (items[n] && !items[n].succeeded && !items[n].failed && !items[n].count) n += by;
    return items[n] && { kind: chosen.kind, at: startOf(chosen.kind, items[n]) };
  };
  const step = (by) => { if (chosen && neighbour(by)) choose(neighbour(by)); };
  const steps = [["bucket-previous", -1], ["bucket-next", 1]].map(([id, by]) => [document.getElementById(id), by]);
  for (const [button, by] of steps) button.addEventListener("click", () => step(by));
  const markSteps = () => {
    for (const [button, by] of steps) button.setAttribute("aria-disabled", String(!neighbour(by)));
  };
  const mark = () => {
    for (const button of part.querySelectorAll("[data-which]")) {
      button.classList.toggle("active", button.dataset.which === which);
      button.setAttribute("aria-pressed", String(button.dataset.which === which));
    }
  };
  for (const button of part.querySelectorAll("[data-which]"))
    button.addEventListener("click", () => {
      which = button.dataset.which;
      mark();
      if (chosen) choose(chosen);
      else showWindow();
    });

  // A narrowed window has its requests below it.
  function showWindow() {
    if (part.parentElement !== below) below.append(part);
    const url = requestsUrl();
    const status = statusFor("window");
    if (status) url.searchParams.set("status", status);
    const [from, to] = ["from", "to"].map((name) => Number(url.searchParams.get(name)) * 1000);
    title.textContent = from && to ? `${clock.format(from)} – ${clock.format(to)}` : "";
    list(url);
  }

  let busy = false;
  document.addEventListener("job.buckets", async () => {
    if (busy) return;
    busy = true;
    const url = new URL(root.dataset.data, location.href);
    url.search = location.search;
    try {
      const answer = await fetch(url);
      if (answer.ok) drawn.show(await answer.json());
    } catch { /* the next second tries again */ }
    setTimeout(() => { busy = false; }, 2000);
  });

  const wanted = /#(bucket|bin)=(\d+)(?:&(\w+))?/.exec(location.hash);
  which = (wanted && wanted[3]) || "";
  mark();
  if (wanted && drawn.data().buckets.length) choose({ kind: wanted[1], at: Number(wanted[2]) });
  else if (new URLSearchParams(location.search).has("from")) showWindow();
})();
