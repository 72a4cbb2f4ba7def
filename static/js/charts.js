// Draws the charts of a job from the data in the page; also inside a report that stands by itself.
window.SimpleBatchCharts = (() => {
  const root = document.getElementById("charts");
  const words = JSON.parse(root.dataset.words);
  let data = JSON.parse(document.getElementById("chart-data").textContent);
  const charts = {};
  // green and red are for outcomes alone, other series differ by the kind of line
  const COLOURS = { succeeded: "#198754", failed: "#c9302c", accent: "#2f6fdb", pale: "#8fb0e8", grey: "#868e96" };
  const ink = () => getComputedStyle(document.body).color;
  const LINES = { p50: ["solid", "circle", () => COLOURS.accent], p95: ["dashed", "triangle", ink], p99: ["dotted", "diamond", () => COLOURS.grey] };
  const STRIPES = { dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4, color: "rgba(255,255,255,.6)" };
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const short = new Intl.NumberFormat(document.documentElement.lang, { notation: "compact" });

  const base = (axis) => ({
    backgroundColor: "transparent", animation: false, legend: { top: 0, type: "scroll" },
    grid: { left: 12, right: 28, top: 34, bottom: 8, containLabel: true },
    tooltip: { trigger: "axis", renderMode: "richText", confine: true, valueFormatter: (v) => (v === null || v === undefined ? "–" : number.format(v)) },
    xAxis: axis, yAxis: value(),
  });
  const value = (more) => ({ type: "value", min: 0, axisLabel: { formatter: (v) => short.format(v) }, ...more });
  // the latencies of a bar of the histogram, in ms
  const range = (bar) => [...new Set([bar.from_ms, bar.to_ms])].map((ms) => number.format(ms)).join("–");
  // all charts share one window of time
  const overTime = () => {
    const b = data.buckets;
    const width = b.length ? b[0].bucket_s * 1000 : 1000;
    const axis = { type: "time", axisLabel: { hideOverlap: true }, min: b.length ? b[0].t * 1000 : undefined, max: b.length ? b[b.length - 1].t * 1000 + width : undefined };
    return { ...base(axis), toolbox: { show: false }, brush: { xAxisIndex: 0, brushType: "lineX", brushMode: "single", removeOnClick: true, brushStyle: { color: "rgba(47,111,219,.15)" } } };
  };
  // a bucket stands in the middle of its time, so that bars, steps and clicks agree
  const middle = (b) => (b.t + b.bucket_s / 2) * 1000;
  const points = (name, per) => data.buckets.map((b) => [middle(b), b[name] === null ? null : per ? +(b[name] / b.bucket_s).toFixed(2) : b[name]]);
  const step = (name, key, colour, more) => ({ name: words[name], type: "line", step: "middle", symbol: "none", color: colour, data: points(key), ...more });

  const cooldowns = () => {
    const areas = [];
    for (const b of data.buckets) {
      if (!b.cooling_s) continue;
      const last = areas[areas.length - 1];
      const end = (b.t + b.bucket_s) * 1000;
      if (last && last[1].xAxis === b.t * 1000) last[1].xAxis = end;
      else areas.push([{ xAxis: b.t * 1000, name: words.cooldown }, { xAxis: end }]);
    }
    return { silent: true, itemStyle: { color: "rgba(211,158,0,.25)" }, label: { show: areas.length < 6, position: "insideTop", color: ink() }, data: areas };
  };

  const options = {
    outcomes: () => ({
      ...overTime(), yAxis: value({ minInterval: 1 }),
      series: [
        ...["succeeded", "failed"].map((name) => ({ name: words[name], type: "bar", stack: "ended", color: COLOURS[name], data: points(name), barCategoryGap: "5%", itemStyle: name === "failed" ? { decal: STRIPES } : {} })),
        step("sent", "sent", COLOURS.accent), step("retried", "retried", COLOURS.grey, { lineStyle: { type: "dashed" } }),
      ],
    }),
    latency: () => ({
      ...overTime(), yAxis: value({ name: "ms" }),
      series: ["p50", "p95", "p99"].map((name) => ({ name, type: "line", connectNulls: false, symbol: data.buckets.length < 30 ? LINES[name][1] : "none", color: LINES[name][2](), lineStyle: { type: LINES[name][0] }, data: points(`${name}_ms`) })),
    }),
    first_token: () => ({
      ...overTime(), yAxis: value({ name: "ms" }),
      series: ["p50", "p95"].map((name) => ({ name, type: "line", connectNulls: false, symbol: data.buckets.length < 30 ? LINES[name][1] : "none", color: LINES[name][2](), lineStyle: { type: LINES[name][0] }, data: points(`first_${name}_ms`) })),
    }),
    limit: () => ({
      ...overTime(), yAxis: value({ minInterval: 1 }),
      series: [step("in_flight", "in_flight", COLOURS.accent, { areaStyle: { opacity: 0.15 } }), step("limit", "limit", COLOURS.grey, { markArea: cooldowns(), lineStyle: { type: "dashed" } })],
    }),
    tokens: () => ({
      ...overTime(),
      series: [["input", "tokens_in"], ["output", "tokens_out"]].map(([key, word]) => ({ name: words[word], type: "bar", stack: "tokens", barCategoryGap: "5%", color: key === "input" ? COLOURS.pale : COLOURS.accent, data: points(`${key}_tokens`, true) })),
    }),
    cost: () => ({
      ...overTime(), yAxis: value({ name: root.dataset.currency, axisLabel: {} }),
      series: [{ name: words.cost, type: "line", step: "end", symbol: "none", areaStyle: { opacity: 0.15 }, color: COLOURS.accent, data: points("cost_sum") }],
    }),
    histogram: () => ({
      ...base({ type: "category", axisLabel: { hideOverlap: true }, data: data.histogram.map(range), name: "ms", nameLocation: "middle", nameGap: 26 }),
      grid: { left: 12, right: 28, top: 34, bottom: 28, containLabel: true },
      series: [{ name: words.count, type: "bar", barCategoryGap: "5%", color: COLOURS.accent, data: data.histogram.map((b) => b.count) }],
    }),
    scatter: () => ({
      ...base({ type: "value", min: 0, name: words.tokens, nameLocation: "middle", nameGap: 26 }), legend: { show: false },
      grid: { left: 12, right: 28, top: 34, bottom: 28, containLabel: true }, yAxis: value({ name: words.latency }),
      tooltip: { trigger: "item", renderMode: "richText", confine: true, formatter: ({ data: [tokens, ms, index] }) => `#${number.format(index + 1)}\n${words.tokens}: ${number.format(tokens)}\n${words.latency}: ${number.format(ms)}` },
      series: [{ type: "scatter", symbolSize: 6, color: COLOURS.accent, itemStyle: { opacity: 0.5 }, data: data.points.map((p) => [p.tokens, p.latency_ms, p.index]) }],
    }),
  };
  const names = Object.keys(options).filter((name) => document.getElementById(`chart-${name}`));
  const timed = ["outcomes", "latency", "first_token", "limit", "tokens", "cost"];
  const listeners = [];

  const grid = root.querySelector(".chart-grid");
  const nothing = document.getElementById("charts-empty");
  function draw() {
    nothing.hidden = data.buckets.length > 0;
    grid.hidden = !data.buckets.length;
    const dark = document.documentElement.dataset.bsTheme === "dark";
    for (const name of names) {
      if (charts[name]) charts[name].dispose();
      const chart = echarts.init(document.getElementById(`chart-${name}`), dark ? "dark" : null);
      charts[name] = chart;
      chart.setOption(options[name]());
      if (timed.includes(name)) chart.group = "time";
      for (const listener of listeners) listener(name, chart);
    }
    echarts.connect("time");
  }
  function show(fresh) {
    data = fresh;
    if (grid.hidden && data.buckets.length) draw();
    for (const name of names) charts[name].setOption(options[name]());
  }
  draw();
  document.addEventListener("themechange", draw);
  addEventListener("resize", () => Object.values(charts).forEach((chart) => chart.resize()));

  for (const button of document.querySelectorAll("[data-png]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      const background = getComputedStyle(document.body).backgroundColor;
      link.href = charts[button.dataset.png].getDataURL({ pixelRatio: 2, backgroundColor: background });
      link.download = `job-${root.dataset.job}-${button.dataset.png}.png`;
      link.click();
    });
  }
  return {
    timed, show, range, data: () => data,
    // listener(name, chart) for each chart, now and whenever it is drawn again
    each(listener) { listeners.push(listener); for (const name of Object.keys(charts)) listener(name, charts[name]); },
  };
})();
