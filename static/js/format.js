// How figures are written, as simple_batch/web/filters.py writes them.
window.SimpleBatchFormat = (() => {
  const language = document.documentElement.lang;
  const decimal = new Intl.NumberFormat(language);
  const share = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
  const SYMBOLS = { USD: "$", CNY: "¥", EUR: "€", GBP: "£", JPY: "JP¥" };

  const number = (n) => (n === null || n === undefined ? "–" : decimal.format(n));
  // rounded down: a job is not 100 % done before it is, nor 0 % once it has begun
  const inSteps = (done, total, steps) => {
    const rounded = total ? Math.floor((steps * done) / total) : 0;
    return done && !rounded ? `<${share.format(1 / steps)}` : share.format(rounded / steps);
  };
  const percent = (done, total) => inSteps(done, total, 1000);
  const wholePercent = (done, total) => inSteps(done, total, 100);
  const perSecond = (n) => (n ? `${decimal.format(+n.toFixed(n < 100 ? 1 : 0))}/s` : "–");
  const seconds = [2, 1].map((digits) => new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const latency = (ms) => (ms === null ? "–" : ms < 1000 ? `${ms} ms` : `${seconds[ms < 10000 ? 0 : 1].format(ms / 1000)} s`);
  const clock = (s) => {
    if (s === null || s === undefined) return "–";
    s = Math.round(s);
    const pad = (n) => String(n).padStart(2, "0");
    const h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
    return h ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`;
  };
  // small sums keep four digits that mean something
  const money = ({ amount, currency }, unknown) => {
    if (amount === null) return unknown;
    const places = amount && amount < 100 ? Math.min(9, Math.max(2, 3 - Math.floor(Math.log10(amount)))) : 2;
    const text = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: places }).format(amount);
    return (SYMBOLS[currency] || `${currency} `) + text;
  };
  return { number, percent, wholePercent, perSecond, latency, clock, money };
})();
