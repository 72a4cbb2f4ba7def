// What limits the speed of a job now, in a sentence, as simple_batch/web/speed_words.py puts it together.
window.SimpleBatchSpeed = (() => {
  const line = document.getElementById("speed-line");
  const patterns = JSON.parse(line.dataset.words);
  const { number } = window.SimpleBatchFormat;

  function code(p) {
    if (p.status !== "running") return "";
    if (p.waiting) return "waiting";
    if (!p.governor) return "";
    if (p.governor.limited_by) return p.governor.limited_by;
    if (!p.counts.in_flight) return "";
    return p.counts.pending ? "unlimited" : "all_sent";
  }

  function seconds(p) {
    if (!p.waiting) return p.governor ? p.governor.cooldown_s : 0;
    return p.waiting.next_probe_at ? Math.max(0, Math.round((new Date(p.waiting.next_probe_at) - Date.now()) / 1000)) : 0;
  }

  // ``why`` puts the reason of a cooldown into words
  function show(p, why) {
    const limit = code(p);
    line.hidden = !limit;
    const governor = p.governor || {};
    const values = { n: number(governor.limited_to || 0), s: seconds(p), why: why(governor.reason || "") };
    const text = (patterns[limit] || "").replace(/\{(n|s|why)\}/g, (_, name) => values[name]);
    const place = line.querySelector("[data-live=speed]");
    if (place.textContent !== text) place.textContent = text;
    for (const part of line.querySelectorAll("[data-limits]")) part.hidden = !part.dataset.limits.split(" ").includes(limit);
  }

  return { show };
})();
