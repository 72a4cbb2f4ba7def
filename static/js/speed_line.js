// What limits the speed of a job now, in a sentence, as simple_batch/web/speed_words.py puts it together.
window.SimpleBatchSpeed = (() => {
  const line = document.getElementById("speed-line");
  const patterns = JSON.parse(line.dataset.words);
  const { number } = window.SimpleBatchFormat;

  const OF_THE_JOB = ["job_concurrency", "process_concurrency"]; // of all its connections

  function code(p) {
    if (p.status !== "running") return "";
    if (p.waiting) return "waiting";
    if (!p.governor) return "";
    if (p.governor.limited_by === "memory") return "memory";
    if (!p.counts.pending && !p.counts.retrying) return p.counts.in_flight ? "all_sent" : "";
    if (OF_THE_JOB.includes(p.governor.limited_by)) return p.governor.limited_by;
    const found = (p.limits || []).map((limit) => limit.limited_by).filter(Boolean);
    if (found.length) return found.some((name) => name.startsWith("learned_")) ? "several_learned" : "several";
    if (p.governor.limited_by && !p.limits) return p.governor.limited_by;
    return p.counts.in_flight ? "unlimited" : "";
  }

  function seconds(p) {
    if (!p.waiting) return p.governor ? p.governor.cooldown_s : 0;
    return p.waiting.next_probe_at ? Math.max(0, Math.round((new Date(p.waiting.next_probe_at) - Date.now()) / 1000)) : 0;
  }

  // ``why`` puts the reason of a cooldown into words
  function show(p, why) {
    const limit = code(p);
    line.hidden = !limit;
    const filled = (name, of, s) => {
      const values = { n: number(of.limited_to || 0), s, why: why(of.reason || "") };
      return (patterns[name] || "").replace(/\{(n|s|why)\}/g, (_, place) => values[place]);
    };
    const each = (of) => {
      const values = { name: of.config, sentence: filled(of.limited_by || "unlimited", of, of.cooldown_s) };
      return patterns.several.replace(/\{(name|sentence)\}/g, (_, place) => values[place]);
    };
    const text = limit.startsWith("several") ? p.limits.map(each).join(" ") : filled(limit, p.governor || {}, seconds(p));
    const place = line.querySelector("[data-live=speed]");
    if (place.textContent !== text) place.textContent = text;
    for (const part of line.querySelectorAll("[data-limits]")) part.hidden = !part.dataset.limits.split(" ").includes(limit);
  }

  return { show };
})();
