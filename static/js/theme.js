// Runs before the page is drawn, so that it is never drawn in the wrong theme or time zone first.
(() => {
  const root = document.documentElement;
  const stored = localStorage.getItem("theme");
  const dark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.bsTheme = dark ? "dark" : "light";
  root.dataset.js = ""; // what only a script can fill takes room only then

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const told = /(?:^|; )zone=([^;]*)/.exec(document.cookie);
  if (!zone || (told && told[1] === zone)) return;
  document.cookie = `zone=${zone}; path=/; max-age=31536000; SameSite=Lax`;
  // a browser without cookies must not be sent round and round
  if (zone !== root.dataset.zone && document.cookie.includes(`zone=${zone}`)) location.reload();
})();
