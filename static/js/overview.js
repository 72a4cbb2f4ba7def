// Throughput, error groups and the live tail of a job's overview.
(() => {
  const place = document.getElementById("throughput");
  const words = JSON.parse(place.dataset.words);
  let buckets = JSON.parse(document.getElementById("throughput-data").textContent);
  let chart = null;
  const draw = () => {
    const dark = document.documentElement.dataset.bsTheme === "dark";
    if (chart) chart.dispose();
    chart = echarts.init(place, dark ? "dark" : null);
    update();
  };
  const update = () => {
    const width = buckets.length ? buckets[0].bucket_s : 1;
    const series = (name, colour) => ({
      name: words[name], type: "bar", stack: "all", barCategoryGap: "5%", color: colour, animation: false,
      data: buckets.map((b) => [b.t * 1000, +(b[name] / width).toFixed(2)]),
    });
    chart.setOption({
      backgroundColor: "transparent", legend: { top: 0 }, grid: { left: 50, right: 15, top: 30, bottom: 25 },
      tooltip: { trigger: "axis", renderMode: "richText" },
      xAxis: { type: "time", axisLabel: { hideOverlap: true } }, yAxis: { type: "value", min: 0, minInterval: 1 },
      series: [series("succeeded", "#198754"), series("failed", "#c9302c")],
    });
  };
  draw();
  document.addEventListener("themechange", draw);
  addEventListener("resize", () => chart.resize());

  const width = () => (buckets.length ? buckets[0].bucket_s : 1);
  document.addEventListener("job.buckets", ({ detail }) => {
    for (const b of detail.buckets) {
      const last = buckets[buckets.length - 1];
      if (width() === 1 && (!last || b.t > last.t)) buckets.push({ ...b, bucket_s: 1 });
      else if (last && width() === 1) Object.assign(buckets.find((old) => old.t === b.t) || {}, b);
    }
    if (buckets.length > 600) buckets = buckets.slice(-600);
    update();
  });

  // The server writes the groups, in this language, with their links; here they are only fetched.
  let busy = false;
  document.addEventListener("job.errors", async ({ detail }) => {
    if (busy || !detail.groups.length) return;
    busy = true;
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("groups");
    if (fresh) document.getElementById("groups").replaceWith(document.adoptNode(fresh));
    setTimeout(() => { busy = false; }, 3000);
  });

  const tail = document.getElementById("tail");
  const pause = document.getElementById("tail-pause");
  const dropped = document.getElementById("tail-dropped");
  let held = false;
  pause.addEventListener("click", () => {
    held = !held;
    pause.setAttribute("aria-pressed", String(held));
    pause.classList.toggle("active", held);
  });
  document.addEventListener("request.finished", ({ detail }) => {
    document.getElementById("tail-part").hidden = false;
    if (held) return;
    dropped.textContent = detail.dropped ? dropped.dataset.word.replace("{n}", detail.dropped) : "";
    for (const item of detail.items) {
      const row = tail.insertRow(0);
      const cell = (text, className) => {
        const made = row.insertCell();
        made.className = className || "";
        made.append(text);
      };
      const link = document.createElement("a");
      link.href = `${location.pathname}/requests/${item.index}`;
      link.textContent = item.index;
      cell(link, "text-end num");
      cell(item.status === "succeeded" ? `✓ ${words.succeeded}` : `✕ ${words[item.status] || item.status} ${item.cause || ""}`);
      cell(item.latency_ms === null ? "–" : `${item.latency_ms} ms`, "text-end num");
      cell(String(item.tokens), "text-end num");
      cell(item.preview, "clamp text-cell");
    }
    while (tail.rows.length > 15) tail.deleteRow(-1);
  });
})();
