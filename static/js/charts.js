// The charts of a job. One window for all; a click on a bucket lists its requests below.
(() => {
  const root = document.getElementById("charts");
  const words = JSON.parse(root.dataset.words);
  let data = JSON.parse(document.getElementById("chart-data").textContent);
  const charts = {};
  const COLOURS = { succeeded: "#198754", failed: "#c9302c", retried: "#d39e00", sent: "#2f6fdb", p50: "#2f6fdb", p95: "#d39e00", p99: "#c9302c" };

  const base = (axis) => ({
    backgroundColor: "transparent", animation: false, legend: { top: 0 },
    grid: { left: 60, right: 60, top: 35, bottom: 70 },
    tooltip: { trigger: "axis", renderMode: "richText", confine: true },
    xAxis: axis, yAxis: { type: "value", min: 0 },
  });
  const overTime = () => ({ ...base({ type: "time" }), dataZoom: [{ type: "slider", bottom: 10 }, { type: "inside", zoomOnMouseWheel: "ctrl" }] });
  const points = (name) => data.buckets.map((b) => [b.t * 1000, b[name]]);

  const options = {
    outcomes: () => ({
      ...overTime(), yAxis: { type: "value", min: 0, minInterval: 1 },
      series: [
        ...["succeeded", "failed"].map((name) => ({ name: words[name], type: "bar", stack: "ended", color: COLOURS[name], data: points(name), barCategoryGap: "5%" })),
        ...["sent", "retried"].map((name) => ({ name: words[name], type: "line", step: "middle", symbol: "none", color: COLOURS[name], data: points(name) })),
      ],
    }),
    latency: () => ({
      ...overTime(), yAxis: { type: "value", min: 0, name: "ms" },
      series: ["p50", "p95", "p99"].map((name) => ({ name, type: "line", connectNulls: false, symbol: "none", color: COLOURS[name], data: points(`${name}_ms`) })),
    }),
    tokens: () => {
      let sum = 0;
      return {
        ...overTime(), yAxis: [{ type: "value", min: 0 }, { type: "value", min: 0, name: root.dataset.currency, splitLine: { show: false } }],
        series: [
          { name: words.tokens_in, type: "bar", stack: "tokens", data: points("input_tokens") },
          { name: words.tokens_out, type: "bar", stack: "tokens", data: points("output_tokens") },
          { name: words.cost, type: "line", step: "end", symbol: "none", yAxisIndex: 1, data: data.buckets.map((b) => [b.t * 1000, +(sum += b.cost).toFixed(9)]) },
        ],
      };
    },
    histogram: () => ({
      ...base({ type: "category", data: data.histogram.map((b) => `${b.from_ms}–${b.to_ms}`), name: "ms" }), grid: { left: 60, right: 40, top: 35, bottom: 40 },
      series: [{ name: words.count, type: "bar", barCategoryGap: "5%", color: COLOURS.sent, data: data.histogram.map((b) => b.count) }],
    }),
  };

  function draw() {
    const dark = document.documentElement.dataset.bsTheme === "dark";
    for (const name of Object.keys(options)) {
      if (charts[name]) charts[name].dispose();
      charts[name] = echarts.init(document.getElementById(`chart-${name}`), dark ? "dark" : null);
      charts[name].setOption(options[name]());
      if (name === "histogram") continue;
      charts[name].group = "time";
      // anywhere in a bucket's column counts as a click on it, not only on its bar
      charts[name].getZr().on("click", (event) => {
        const at = [event.offsetX, event.offsetY];
        if (!charts[name].containPixel("grid", at)) return;
        const ms = charts[name].convertFromPixel({ xAxisIndex: 0 }, event.offsetX);
        choose(nearest(ms / 1000));
      });
    }
    echarts.connect("time");
  }
  const nearest = (t) => {
    let best = 0;
    data.buckets.forEach((b, n) => { if (Math.abs(b.t - t) < Math.abs(data.buckets[best].t - t)) best = n; });
    return best;
  };

  const part = document.getElementById("bucket-part");
  let chosen = null;
  let which = "";
  async function choose(n) {
    if (n < 0 || n >= data.buckets.length) return;
    chosen = n;
    const bucket = data.buckets[n];
    const url = new URL(root.dataset.requests, location.href);
    url.searchParams.set("from", bucket.t);
    url.searchParams.set("to", bucket.t + bucket.bucket_s);
    if (which) url.searchParams.set("status", which);
    const place = new URL(location.href);
    place.hash = `bucket=${bucket.t}${which ? "&" + which : ""}`;
    history.replaceState(null, "", place);
    url.searchParams.set("fragment", "1");
    const answer = await fetch(url);
    if (!answer.ok) return;
    document.getElementById("bucket-requests").innerHTML = await answer.text();
    document.getElementById("bucket-title").textContent = new Date(bucket.t * 1000).toLocaleTimeString();
    part.hidden = false;
  }
  const step = (by) => {
    let n = chosen + by;
    while (data.buckets[n] && !data.buckets[n].succeeded && !data.buckets[n].failed) n += by;
    choose(n);
  };
  document.getElementById("bucket-previous").addEventListener("click", () => step(-1));
  document.getElementById("bucket-next").addEventListener("click", () => step(1));
  for (const button of part.querySelectorAll("[data-which]"))
    button.addEventListener("click", () => {
      which = button.dataset.which;
      for (const other of part.querySelectorAll("[data-which]")) other.classList.toggle("active", other === button);
      choose(chosen);
    });

  async function refresh() {
    const url = new URL(root.dataset.data, location.href);
    url.search = location.search;
    const answer = await fetch(url);
    if (!answer.ok) return;
    data = await answer.json();
    for (const name of Object.keys(options)) charts[name].setOption(options[name]());
  }
  let busy = false;
  document.addEventListener("job.buckets", async () => {
    if (busy) return;
    busy = true;
    await refresh();
    setTimeout(() => { busy = false; }, 2000);
  });

  draw();
  document.addEventListener("themechange", draw);
  addEventListener("resize", () => Object.values(charts).forEach((chart) => chart.resize()));
  const wanted = /#bucket=(\d+)(?:&(\w+))?/.exec(location.hash);
  if (wanted && data.buckets.length) {
    which = wanted[2] || "";
    for (const button of part.querySelectorAll("[data-which]")) button.classList.toggle("active", button.dataset.which === which);
    choose(nearest(Number(wanted[1])));
  }
})();
