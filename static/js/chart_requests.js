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
  let chosen = null; // what the table shows: {kind: "bucket" | "bin", n}
  let which = "";

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
      choose(name === "histogram" ? { kind: "bin", n: Math.round(x) } : { kind: "bucket", n: containing(x / 1000) });
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

  const containing = (t) => {
    const list = drawn.data().buckets;
    if (!list.length) return -1;
    return Math.min(list.length - 1, Math.max(0, Math.floor((t - list[0].t) / list[0].bucket_s)));
  };
  const listOf = (kind) => drawn.data()[kind === "bucket" ? "buckets" : "histogram"];

  async function choose({ kind, n }) {
    const item = listOf(kind)[n];
    if (!item) return;
    chosen = { kind, n };
    const url = new URL(root.dataset.requests, location.href);
    for (const [name, text] of new URLSearchParams(location.search)) if (name !== "bucket") url.searchParams.set(name, text);
    const range = kind === "bucket" ? { from: item.t, to: item.t + item.bucket_s } : { min_ms: item.from_ms, max_ms: item.to_ms };
    for (const [name, text] of Object.entries(range)) url.searchParams.set(name, text);
    if (which) url.searchParams.set("status", which);
    const place = new URL(location.href);
    place.hash = `${kind}=${kind === "bucket" ? item.t : n}${which ? "&" + which : ""}`;
    history.replaceState(null, "", place);
    if (part.parentElement !== drawer) drawer.append(part);
    if (!(await list(url))) return;
    title.textContent = kind === "bucket" ? clock.format(item.t * 1000) : `${item.from_ms}–${item.to_ms} ms`;
    if (!drawer.open) drawer.showModal();
    markSteps();
  }
  let asked = 0;
  // puts the requests into the part; true if they are still wanted then
  async function list(url) {
    const turn = ++asked;
    url.searchParams.set("fragment", "1");
    const answer = await fetch(url);
    if (!answer.ok) return false;
    const rows = await answer.text();
    if (turn !== asked) return false; // a later one is on its way
    document.getElementById("bucket-requests").innerHTML = rows;
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
    let n = chosen.n + by;
    while (items[n] && !items[n].succeeded && !items[n].failed && !items[n].count) n += by;
    return items[n] && { kind: chosen.kind, n };
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
    const url = new URL(root.dataset.requests, location.href);
    url.search = location.search;
    url.searchParams.delete("bucket");
    if (which) url.searchParams.set("status", which);
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
  if (wanted && drawn.data().buckets.length)
    choose({ kind: wanted[1], n: wanted[1] === "bucket" ? containing(Number(wanted[2])) : Number(wanted[2]) });
  else if (new URLSearchParams(location.search).has("from")) showWindow();
})();
