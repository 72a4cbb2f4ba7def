// Throughput, error groups and the live tail of a job's overview.
(() => {
  const place = document.getElementById("throughput");
  const words = JSON.parse(place.dataset.words);
  const { number, latency } = window.SimpleBatchFormat;
  let buckets = JSON.parse(document.getElementById("throughput-data").textContent);
  let chart = null;
  const STRIPES = { dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4, color: "rgba(255,255,255,.6)" };
  const draw = () => {
    place.hidden = !buckets.some((b) => b.succeeded || b.failed);
    if (place.hidden) return;
    const dark = document.documentElement.dataset.bsTheme === "dark";
    if (chart) chart.dispose();
    chart = echarts.init(place, dark ? "dark" : null);
    update();
  };
  const update = () => {
    if (!chart) return draw();
    const width = buckets.length ? buckets[0].bucket_s : 1;
    const shown = [...buckets]; // a short job would be one bar on an axis of days
    while (shown.length && shown.length < 10) shown.push({ t: shown.at(-1).t + width, succeeded: 0, failed: 0 });
    const series = (name, colour) => ({
      name: words[name], type: "bar", stack: "all", barCategoryGap: "5%", color: colour, animation: false,
      data: shown.map((b) => [b.t * 1000, +(b[name] / width).toFixed(2)]),
    });
    chart.setOption({
      backgroundColor: "transparent", legend: { top: 0 }, grid: { left: 8, right: 24, top: 30, bottom: 4, containLabel: true },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true },
      xAxis: { type: "time", minInterval: 1000, axisLabel: { hideOverlap: true } }, yAxis: { type: "value", min: 0, minInterval: 1 },
      series: [series("succeeded", "#198754"), { ...series("failed", "#c9302c"), itemStyle: { decal: STRIPES } }],
    });
  };
  draw();
  document.addEventListener("themechange", draw);
  addEventListener("resize", () => { if (chart) chart.resize(); });

  // The server joins the buckets and writes the groups, in this language, with their links: both
  // are taken from the page as it is now, every two seconds at most.
  let [busy, due] = [false, false];
  const refresh = async () => {
    due = busy;
    if (busy) return;
    busy = true;
    setTimeout(() => { busy = false; if (due) refresh(); }, 2000);
    const answer = await fetch(location.href).catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const data = page.getElementById("throughput-data");
    if (!data) return; // the page of a login
    buckets = JSON.parse(data.textContent);
    update();
    document.getElementById("waiting").replaceWith(document.adoptNode(page.getElementById("waiting")));
    const answers = document.getElementById("answers");
    await window.SimpleBatchPointer.idle(answers);
    if (!answers.querySelector("details[open]"))
      window.SimpleBatchFocus.keep(answers, () => answers.replaceChildren(...page.getElementById("answers").childNodes));
    const groups = document.getElementById("groups");
    await window.SimpleBatchPointer.idle(groups);
    const folded = groups.querySelector("details");
    window.SimpleBatchFocus.keep(groups, () => {
      groups.replaceChildren(...page.getElementById("groups").childNodes);
      for (const fresh of groups.querySelectorAll("details")) if (folded) fresh.open = folded.open;
    });
  };
  document.addEventListener("job.buckets", refresh);
  document.addEventListener("jobstatus", refresh);

  // green-tick words only for an answer that is known to be OK
  function ending({ status, cause, outcome }) {
    if (status !== "succeeded") return `✕ ${words[status] || status} ${words.causes[cause] || ""}`;
    if (outcome === "ok") return `✓ ${words.succeeded}`;
    if (outcome === "tool_call") return `→ ${words.outcomes[outcome]}`;
    return outcome ? `⚠ ${words.outcomes[outcome] || outcome}` : words.succeeded;
  }

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
      link.textContent = number(item.index + 1); // people count from 1
      cell(link, "text-end num");
      cell(ending(item), "text-nowrap");
      cell(latency(item.latency_ms), "text-end num");
      cell(number(item.tokens), "text-end num");
      const text = document.createElement("div");
      text.className = "clamp";
      text.textContent = (item.previews && item.previews[document.documentElement.lang.slice(0, 2)]) || item.preview;
      cell(text, "text-cell");
    }
    while (tail.rows.length > 15) tail.deleteRow(-1);
  });
})();
