// Runs before the page is drawn, so that it is never drawn in the wrong theme or time zone first.
(() => {
  const root = document.documentElement;
  const stored = localStorage.getItem("theme");
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.bsTheme = dark ? "dark" : "light";
  root.dataset.js = ""; // elements that need a script take room only with one

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = /(?:^|; )zone=([^;]*)/.exec(document.cookie);
  if (!zone || (known && known[1] === zone)) return;
  document.cookie = `zone=${zone}; path=/; max-age=31536000; SameSite=Lax`;
  // without cookies the page would reload for ever
  if (zone !== root.dataset.zone && document.cookie.includes(`zone=${zone}`)) location.reload();
})();
