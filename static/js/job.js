// The head of a job's pages, kept up to date.
(() => {
  const head = document.getElementById("job");
  const words = head.dataset;
  const jobId = Number(words.job);
  const { number, percent, wholePercent, perSecond, latency, clock, money } = window.SimpleBatchFormat;
  const cost = (sum) => money(sum, words.wordUnknown);
  const put = (name, text) => { for (const place of document.querySelectorAll(`[data-live="${name}"]`)) place.textContent = text; };
  const reasons = JSON.parse(words.wordReasons);
  let announced = null;
  const tabs = head.querySelector(".job-tabs");
  const tab = tabs.querySelector(".active");
  if (tab) tabs.scrollLeft = tab.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2; // on a phone not all are seen

  function show(p) {
    const c = p.counts;
    const done = c.succeeded + c.failed;
    const percents = c.total ? Math.floor((100 * done) / c.total) : 0;
    put("percent", percent(done, c.total));
    put("done", number(done));
    put("total", number(c.total));
    put("elapsed", clock(p.elapsed_s));
    put("eta", p.eta_range_s ? [...new Set(p.eta_range_s.map(clock))].join("–") : clock(p.eta_s));
    put("rate", perSecond(p.requests_per_second));
    put("work", clock(p.work_left_s));
    put("unsent", c.cancelled ? `· ${words.wordUnsent.replace("{n}", number(c.cancelled))}` : "");
    const runs = p.status === "running";
    const shown = { eta: runs, ended: !runs, work: p.work_left_s !== null, rate: runs || p.requests_per_second > 0, first: p.first_token_ms.p50 !== null };
    for (const part of head.querySelectorAll("[data-shown]")) part.hidden = !shown[part.dataset.shown];
    for (const name of ["p50", "p95", "p99"]) put(name, latency(p[`${name}_ms`]));
    for (const name of ["p50", "p95"]) put(`first_${name}`, latency(p.first_token_ms[name]));
    put("tokens", words.wordTokens.replace("{input}", number(p.tokens.input)).replace("{output}", number(p.tokens.output)));
    put("cached", p.cache_hit_rate ? words.wordCached.replace("{share}", percent(p.tokens.cached, p.tokens.input)) : "");
    put("estimated", p.tokens.estimated ? `${words.wordEstimated} ${number(p.tokens.estimated)}` : "");
    put("attempts", number(p.attempts));
    put("retries", number(p.retries));
    put("cost", cost(p.cost));
    put("spend", spend(p, done));
    put("per_hour", perHour(p, done));
    put("cap", p.spend_cap === null ? "" : `· ${words.wordCap.replace("{money}", cost({ amount: p.spend_cap, currency: p.cost.currency }))}`);
    put("governor", governor(p.governor));
    put("parts", parts(p.parts));
    window.SimpleBatchSpeed.show(p, cooldown);
    counts(c);
    outcomes(p.outcomes);
    bar(c);
    announce(percents);
    words.answered = done;
    head.dispatchEvent(new CustomEvent("jobfigures", { detail: p }));
    document.dispatchEvent(new CustomEvent("jobprogress", { detail: wholePercent(done, c.total) }));
    partsTable(p.parts);
    const waiting = p.waiting ? "1" : "";
    const ended = p.outcome_status ? `${p.outcome_status} ${c.failed} ${c.cancelled}` : "";
    if (p.status !== words.status || waiting !== words.waiting || ended !== words.ended) {
      Object.assign(words, { waiting, ended, status: p.status });
      refreshHead();
    }
  }

  // the tiles, and the buttons with a count
  function counts(c) {
    for (const place of document.querySelectorAll("[data-count]")) place.textContent = number(c[place.dataset.count]);
    for (const form of head.querySelectorAll("[data-retry]")) form.hidden = !c[form.dataset.retry];
  }

  function outcomes(found) {
    for (const place of document.querySelectorAll("[data-outcome-count]")) place.textContent = number(found[place.dataset.outcomeCount]);
    for (const tile of head.querySelectorAll("[data-tile]")) tile.hidden = !found[tile.dataset.tile];
  }

  function spend(p, done) {
    const { amount, currency } = p.cost;
    if (p.status !== "running" || !amount || !done) return "";
    return words.wordOfAbout.replace("{money}", cost({ amount: (amount / done) * p.counts.total, currency }));
  }

  function perHour(p, done) {
    const { amount, currency } = p.cost;
    if (p.status !== "running" || !amount || !done || !p.elapsed_s) return "";
    return words.wordPerHour.replace("{money}", cost({ amount: (amount / p.elapsed_s) * 3600, currency }));
  }

  // a cause, mostly after an HTTP status
  function cooldown(reason) {
    return reasons[reason] || reason.replace(/[a-z_]+$/, (cause) => reasons[cause] || cause);
  }

  function governor(g) {
    if (!g) return "";
    const learned = g.rpm_learned ? `/${number(g.rpm_learned)}` : "";
    let text = `${words.wordLimit} ${number(g.limit)} · ${words.wordInFlight} ${number(g.in_flight)} · ${number(g.rpm_used)}${learned} RPM`;
    text += ` · ${number(g.tpm_used)} TPM`;
    if (g.cooldown_s > 0) text += ` · ${words.wordCooldown.replace("{s}", g.cooldown_s)} (${cooldown(g.reason)})`;
    else if (g.reason === "memory") text += ` · ${words.wordMemory}`;
    return text;
  }

  // as parts_words of web/part_words.py
  function parts(p) {
    const line = document.getElementById("parts-line");
    if (!p || !line) return "";
    const found = ["waiting", "open", "ended", "merged"].filter((name) => p[name])
      .map((name) => line.dataset[`word${name[0].toUpperCase()}${name.slice(1)}`].replace("{n}", number(p[name])));
    if (p.oldest_s !== null) found.push(line.dataset.wordSince.replace("{time}", clock(p.oldest_s)));
    return found.length ? found.join(" · ") : "–";
  }

  // The table of parts is taken from the server whenever a part has moved, and every ten seconds. It may have
  // moved between the page and the first figures too.
  function partsTable(p) {
    if (!p) return;
    const moved = JSON.stringify({ ...p, oldest_s: Math.floor((p.oldest_s || 0) / 10) });
    const before = words.parts;
    words.parts = moved;
    if (moved === before) return;
    if (before !== undefined && p.rest_now !== JSON.parse(before).rest_now) refreshHead();
    if (document.getElementById("parts")) refreshParts();
  }

  // One at a time, and once more for what changed meanwhile: an earlier answer never replaces a later one.
  function inTurn(load) {
    let busy = false;
    let again = false;
    return async () => {
      again = true;
      if (busy) return;
      busy = true;
      while (again) {
        again = false;
        const { status } = words;
        try {
          const answer = await fetch(location.href);
          if (answer.ok) await load(new DOMParser().parseFromString(await answer.text(), "text/html"), status);
        } catch { /* the next change tries again */ }
      }
      busy = false;
    };
  }

  const refreshParts = inTurn((page) => {
    const [old, fresh] = [document.getElementById("parts"), page.getElementById("parts")];
    if (old && fresh) old.replaceWith(document.adoptNode(fresh));
  });

  function bar(c) {
    let x = 0;
    for (const part of head.querySelectorAll("#bar [data-part]")) {
      const width = c.total ? (1000 * c[part.dataset.part]) / c.total : 0;
      part.setAttribute("x", x.toFixed(2));
      part.setAttribute("width", width.toFixed(2));
      x += width;
    }
    const picture = head.querySelector("#bar [data-words]");
    const figures = { ok: c.succeeded, bad: c.failed, left: c.pending + c.in_flight + c.retrying, unsent: c.cancelled, all: c.total };
    const pattern = c.cancelled ? picture.dataset.wordsUnsent : picture.dataset.words;
    picture.setAttribute("aria-label", pattern.replace(/\{(\w+)\}/g, (_, name) => number(figures[name])));
  }

  function announce(percent) {
    const tenth = Math.floor(percent / 10) * 10;
    if (announced !== null && tenth !== announced)
      document.getElementById("announce").textContent = words.wordDone.replace("{n}", tenth);
    announced = tenth;
  }

  // Buttons and reasons differ by status: take them from the server, in this language.
  const refreshHead = inTurn(async (page, status) => {
    const fresh = page.querySelector("#job > div");
    await window.SimpleBatchPointer.idle(head);
    if (status !== words.status) return; // its page comes next
    window.SimpleBatchFocus.keep(head, () => {
      head.querySelector(":scope > div").replaceWith(document.adoptNode(fresh));
      for (const old of head.querySelectorAll(":scope > .alert")) old.remove();
      const tabs = page.querySelector(".job-tabs"); // the results come first once it has ended
      if (tabs) head.querySelector(".job-tabs").replaceWith(document.adoptNode(tabs));
      const line = head.querySelector(":scope > div");
      for (const alert of [...page.querySelectorAll("#job > .alert")].reverse()) line.after(document.adoptNode(alert));
    });
    const badges = page.querySelectorAll("[data-running]");
    document.querySelectorAll("[data-running]").forEach((old, at) => { if (badges[at]) old.replaceWith(document.adoptNode(badges[at])); });
    for (const id of ["details", "waiting", "start-at"]) {
      const [old, now] = [document.getElementById(id), page.getElementById(id)];
      if (old && now) old.replaceWith(document.adoptNode(now));
    }
    document.dispatchEvent(new CustomEvent("jobstatus", { detail: ending(status, fresh.querySelector("#status .badge")) }));
  });

  // the mark of the badge and its words
  function ending(status, badge) {
    const mark = badge.querySelector("[aria-hidden]").textContent;
    return { status, mark, word: badge.textContent.trim().slice(mark.length).trim() };
  }

  const state = window.SimpleBatchLive.badge;
  const NO_ACCESS = [401, 403, 404]; // logged out, no longer shared, deleted: the page says it once it is loaded
  const isTyped = () => [...document.querySelectorAll("main form[method=post] :is(textarea, input)")].some((field) => field.value !== field.defaultValue);
  const poll = async () => {
    try {
      const answer = await fetch(words.progress, { headers: { Accept: "application/json" } });
      if (NO_ACCESS.includes(answer.status) && !isTyped()) return location.reload();
      if (!answer.ok) return state("reconnecting");
      show(await answer.json());
      document.dispatchEvent(new CustomEvent("job.buckets"));
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
