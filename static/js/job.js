// The head of a job's pages, kept up to date.
(() => {
  const head = document.getElementById("job");
  const words = head.dataset;
  const jobId = Number(words.job);
  const number = new Intl.NumberFormat(words.language === "zh" ? "zh-CN" : "en");
  const put = (name, text) => { head.querySelector(`[data-live="${name}"]`).textContent = text; };
  const clock = (s) => {
    if (s === null || s === undefined) return "–";
    s = Math.round(s);
    const pad = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
    return h ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`;
  };
  const latency = (ms) => (ms === null ? "–" : ms < 1000 ? `${ms} ms` : `${number.format(+(ms / 1000).toFixed(ms < 10000 ? 2 : 1))} s`);
  const SYMBOLS = { USD: "$", CNY: "¥", EUR: "€", GBP: "£", JPY: "JP¥" };
  const money = (cost) => {
    if (cost.amount === null) return words.wordUnknown;
    const a = cost.amount;
    const places = a && a < 100 ? Math.min(9, Math.max(2, 3 - Math.floor(Math.log10(a)))) : 2;
    let text = a.toFixed(places);
    if (places > 2) text = text.replace(/0+$/, "").replace(/\.(\d?)$/, (_, d) => "." + d.padEnd(2, "0"));
    return (SYMBOLS[cost.currency] || cost.currency + " ") + text;
  };
  let announced = null;

  function show(p) {
    const c = p.counts;
    const done = c.succeeded + c.failed + c.cancelled;
    const percent = c.total ? Math.floor((100 * done) / c.total) : 0;
    put("percent", `${percent} %`);
    put("done", number.format(done));
    put("total", number.format(c.total));
    put("elapsed", clock(p.elapsed_s));
    put("eta", clock(p.eta_s));
    put("rate", p.requests_per_second ? `${number.format(+p.requests_per_second.toFixed(1))}/s` : "–");
    put("p50", latency(p.p50_ms));
    put("p95", latency(p.p95_ms));
    put("p99", latency(p.p99_ms));
    put("tokens", `${number.format(p.tokens.input)} / ${number.format(p.tokens.output)}`);
    put("cost", money(p.cost));
    put("spend", spend(p, done));
    governor(p.governor);
    for (const tile of head.querySelectorAll("[data-count]")) tile.textContent = number.format(c[tile.dataset.count]);
    bar(c);
    announce(percent);
    document.dispatchEvent(new CustomEvent("jobprogress", { detail: percent }));
    if (p.status !== words.status) refreshHead(p.status);
  }

  function spend(p, done) {
    const { amount, currency } = p.cost;
    if (p.status !== "running" || !amount || !done) return "";
    const whole = money({ amount: (amount / done) * p.counts.total, currency });
    const text = words.wordOfAbout.replace("{money}", whole);
    if (!p.elapsed_s) return text;
    return `${text} · ${words.wordPerHour.replace("{money}", money({ amount: (amount / p.elapsed_s) * 3600, currency }))}`;
  }

  function governor(g) {
    const place = head.querySelector('[data-live="governor"]');
    if (!g) { place.textContent = ""; return; }
    const [limit, flight] = [words.wordLimit, words.wordInFlight];
    const most = g.rpm_learned ? `/${number.format(g.rpm_learned)}` : "";
    let text = `${limit} ${g.limit} · ${flight} ${g.in_flight} · ${number.format(g.rpm_used)}${most} RPM`;
    text += ` · ${number.format(g.tpm_used)} TPM`;
    if (g.cooldown_s > 0) text += ` · ${words.wordCooldown.replace("{s}", g.cooldown_s)} (${g.reason})`;
    place.textContent = text;
  }

  function bar(c) {
    let x = 0;
    for (const part of head.querySelectorAll("#bar [data-part]")) {
      const width = c.total ? (1000 * c[part.dataset.part]) / c.total : 0;
      part.setAttribute("x", x.toFixed(2));
      part.setAttribute("width", width.toFixed(2));
      x += width;
    }
  }

  function announce(percent) {
    const tenth = Math.floor(percent / 10) * 10;
    if (announced !== null && tenth !== announced)
      document.getElementById("announce").textContent = words.wordDone.replace("{n}", tenth);
    announced = tenth;
  }

  // Buttons and reasons differ by status: take them from the server, in this language.
  async function refreshHead(status) {
    words.status = status;
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("#job > div");
    // a menu that somebody has open is not taken from under the pointer
    const menu = head.querySelector(".dropdown-toggle[aria-expanded=true]");
    if (menu) await new Promise((closed) => menu.addEventListener("hidden.bs.dropdown", closed, { once: true }));
    head.querySelector(":scope > div").replaceWith(document.adoptNode(fresh));
    for (const old of head.querySelectorAll(":scope > .alert")) old.remove();
    const line = head.querySelector(":scope > div");
    for (const alert of [...page.querySelectorAll("#job > .alert")].reverse()) line.after(document.adoptNode(alert));
    document.dispatchEvent(new CustomEvent("jobstatus", { detail: { status, word: fresh.querySelector("#status").textContent.trim().replace(/^\S+\s+/, "") } }));
  }

  const badge = document.getElementById("feed");
  const state = (name) => {
    badge.hidden = false;
    badge.dataset.state = name;
    badge.textContent = `${name === "live" ? "●" : "○"} ${words[{ live: "wordLive", reconnecting: "wordReconnecting", polling: "wordPolling" }[name]]}`;
  };
  const poll = async () => {
    try {
      const answer = await fetch(words.progress, { headers: { Accept: "application/json" } });
      if (answer.ok) show(await answer.json());
    } catch { state("reconnecting"); }
  };
  window.SimpleBatchLive.subscribe({ job_id: jobId, tail: Boolean(document.getElementById("tail")) }, {
    onSnapshot: show, onState: state, poll,
    onEvent: (name, payload) => {
      if (name === "job.progress") show(payload);
      document.dispatchEvent(new CustomEvent(name, { detail: payload }));
    },
  });
})();
