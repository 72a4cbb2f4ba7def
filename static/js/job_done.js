// The title follows the progress; a toast and, if wanted, a desktop notification announce the end of the job.
(() => {
  const head = document.getElementById("job");
  const words = head.dataset;
  const rest = document.title;
  const ENDED = ["completed", "failed", "cancelled", "expired"];
  const WANTED = "notify";
  const button = document.getElementById("notify");
  const under_way = () => !ENDED.includes(words.status);

  document.addEventListener("jobprogress", ({ detail: percent }) => {
    if (under_way()) document.title = `${percent} · ${rest}`;
  });

  const show = () => {
    button.hidden = !under_way() || !("Notification" in window) || Notification.permission === "denied";
    const on = localStorage.getItem(WANTED) === "1" && Notification.permission === "granted";
    button.setAttribute("aria-pressed", String(on));
    if (on) button.textContent = `✓ ${button.dataset.on}`;
    button.disabled = on;
  };
  button.addEventListener("click", async () => {
    if ((await Notification.requestPermission()) === "granted") localStorage.setItem(WANTED, "1");
    show();
  });
  if ("Notification" in window) show();

  document.addEventListener("jobstatus", ({ detail: { status, mark, word } }) => {
    if (!ENDED.includes(status)) return;
    const text = words.wordEnded.replace("{name}", words.name).replace("{status}", word);
    document.title = `${mark} ${text}`;
    const toast = document.getElementById("toast");
    const results = document.querySelector('.job-tabs a[href$="/results"]');
    const link = Object.assign(document.createElement("a"), { href: results.href, textContent: results.textContent });
    toast.querySelector(".toast-body").replaceChildren(`${text} · `, link);
    bootstrap.Toast.getOrCreateInstance(toast, { delay: 10000 }).show();
    button.hidden = true;
    if (localStorage.getItem(WANTED) === "1" && "Notification" in window && Notification.permission === "granted")
      new Notification("Simple Batch", { body: text, tag: `job-${words.job}` }).onclick = () => {
        focus();
        location.href = results.href;
      };
  });
})();
