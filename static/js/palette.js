// The palette: jobs by name, pages, and the actions of this page, found by typing; a combobox with a list.
(() => {
  const { commands, extend, run, isMac } = window.SimpleBatchShortcuts;
  const dialog = document.getElementById("palette");
  const input = document.getElementById("palette-input");
  const list = document.getElementById("palette-list");
  const news = document.getElementById("palette-news");
  const words = dialog.dataset;
  const WAIT_MS = 150; // after the last key, before the server is asked
  let items = []; // that are shown
  let active = -1;
  let actions = [];
  let jobs = [];
  let timer = null;
  let asked = 0;

  const plain = (text) => text.normalize("NFKC").toLocaleLowerCase();
  const clean = (text) => text.replace(/\s+/g, " ").trim();
  const usable = (element) => !element.disabled && !element.closest("[hidden], .columns-form li");

  // The text of an action: its own, behind that of its menu, with that of its list in the menu.
  function labelOf(element, part) {
    const group = element.closest("[aria-labelledby]");
    const of = group && part.contains(group) ? ` (${clean(document.getElementById(group.getAttribute("aria-labelledby")).textContent)})` : "";
    const menu = element.closest("details.menu");
    const title = menu && part.contains(menu) ? `${clean(menu.querySelector("summary").textContent)}: ` : "";
    return title + clean(element.textContent) + of;
  }

  function collect() {
    const found = [];
    for (const part of document.querySelectorAll("[data-commands]"))
      for (const element of part.querySelectorAll("a[href], button"))
        if (usable(element)) found.push({ kind: "actions", label: labelOf(element, part), go: () => element.click() });
    return found;
  }

  const pages = () => commands.filter((command) => command.listed)
    .map((command) => ({ kind: "pages", label: command.title, keys: command.keys, go: () => run(command) }));

  function matching(query) {
    const parts = plain(query).split(/\s+/).filter(Boolean);
    const fits = ({ label }) => parts.every((part) => plain(label).includes(part));
    return [...actions.filter(fits), ...pages().filter(fits), ...jobs];
  }

  function option(item, place) {
    const row = Object.assign(document.createElement("div"), { id: `palette-${place}`, className: "palette-item" });
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", "false");
    row.append(Object.assign(document.createElement("span"), { textContent: item.label, className: "palette-label" }));
    if (item.detail) row.append(Object.assign(document.createElement("span"), { textContent: item.detail, className: "palette-detail" }));
    for (const key of (item.keys || "").split(" ").filter(Boolean)) row.append(Object.assign(document.createElement("kbd"), { textContent: key }));
    row.addEventListener("click", () => choose(place));
    row.addEventListener("pointermove", () => mark(place));
    return row;
  }

  function group(kind, rows) {
    const part = document.createElement("div");
    const title = Object.assign(document.createElement("div"), { id: `palette-of-${kind}`, textContent: words[kind], className: "menu-title" });
    title.setAttribute("role", "presentation");
    part.setAttribute("role", "group");
    part.setAttribute("aria-labelledby", title.id);
    part.append(title, ...rows);
    return part;
  }

  function show() {
    items = matching(input.value);
    const rows = items.map(option);
    const parts = ["actions", "pages", "jobs"].map((kind) => [kind, rows.filter((_row, place) => items[place].kind === kind)]);
    list.replaceChildren(...parts.filter(([, found]) => found.length).map(([kind, found]) => group(kind, found)));
    list.hidden = !items.length;
    input.setAttribute("aria-expanded", String(items.length > 0));
    const text = items.length ? words.found.replace("{n}", items.length) : words.nothing;
    if (news.textContent !== text) news.textContent = text;
    news.classList.toggle("visually-hidden", items.length > 0);
    mark(items.length ? 0 : -1);
  }

  function mark(place) {
    active = place;
    for (const row of list.querySelectorAll("[role=option]")) row.setAttribute("aria-selected", String(row.id === `palette-${place}`));
    if (place < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", `palette-${place}`);
    document.getElementById(`palette-${place}`).scrollIntoView({ block: "nearest" });
  }

  function choose(place) {
    const item = items[place];
    if (!item) return;
    dialog.close();
    item.go();
  }

  async function find() {
    const turn = ++asked;
    try {
      const answer = await fetch(`${words.jobsUrl}?${new URLSearchParams({ q: input.value.trim() })}`);
      if (!answer.ok || turn !== asked) return;
      const found = (await answer.json()).jobs;
      if (turn !== asked) return;
      jobs = found.map((job) => ({ kind: "jobs", label: job.name, detail: [`#${job.id}`, job.words, ...job.tags].join(" · "), go: () => location.assign(job.url) }));
    } catch { return; } // pages and actions are there
    const kept = active;
    show();
    if (kept > 0 && kept < items.length) mark(kept);
  }

  function open() {
    if (dialog.open) return;
    actions = collect();
    jobs = [];
    input.value = "";
    dialog.showModal();
    show();
    find();
  }

  input.addEventListener("input", () => {
    asked += 1; // what is on its way was found for another text
    jobs = jobs.filter(({ label, detail }) => plain(label + detail).includes(plain(input.value.trim())));
    show();
    clearTimeout(timer);
    timer = setTimeout(find, WAIT_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return; // the key is that of an input method
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) mark((active + step + items.length) % items.length);
    else if (event.key === "Enter") choose(active);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const mod = isMac ? event.metaKey : event.ctrlKey;
    if (!mod || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("close", () => { asked += 1; clearTimeout(timer); });
  const button = document.getElementById("palette-open");
  button.hidden = false;
  button.addEventListener("click", open);
  extend("palette", open);
})();
