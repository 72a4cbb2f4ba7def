// On every page: theme, menus, keyboard shortcuts, questions before what cannot be undone.

// What a script replaces may hold the focus: the same thing gets it again, else the part it was in.
window.SimpleBatchFocus = (() => {
  const same = (old) => (item) =>
    item.tagName === old.tagName && item.textContent === old.textContent && item.href === old.href &&
    item.name === old.name && item.formAction === old.formAction;
  const keep = (part, replace) => {
    const old = part.contains(document.activeElement) ? document.activeElement : null;
    replace();
    if (!old || part.contains(old)) return;
    const fresh = (old.id && document.getElementById(old.id)) || [...part.querySelectorAll(old.tagName)].find(same(old));
    if (!fresh) part.tabIndex = -1;
    (fresh || part).focus({ preventScroll: true });
  };
  return { keep };
})();

// What lies under a pressed pointer, or is an open menu, is not replaced: the click would go nowhere.
window.SimpleBatchHands = (() => {
  const CLICKED_MS = 100; // after the release; a touch takes so long
  let pressed = false;
  let timer = null;
  let waiting = [];
  const release = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      pressed = false;
      const released = waiting;
      waiting = [];
      for (const go of released) go();
    }, CLICKED_MS);
  };
  addEventListener("pointerdown", () => { clearTimeout(timer); pressed = true; }, true);
  addEventListener("pointerup", release, true);
  addEventListener("pointercancel", release, true);
  addEventListener("blur", release);
  const off = async (part) => {
    for (;;) {
      const menu = part.querySelector("details.menu[open]");
      if (menu) await new Promise((closed) => menu.addEventListener("toggle", closed, { once: true }));
      else if (pressed) await new Promise((go) => waiting.push(go));
      else return;
    }
  };
  return { off };
})();

(() => {
  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", next);
    document.documentElement.dataset.bsTheme = next;
    document.dispatchEvent(new Event("themechange"));
  });
  document.addEventListener("submit", (event) => {
    // a form may hold several buttons, of which some need no question
    const question = (event.submitter && event.submitter.dataset.confirm) || event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });

  document.addEventListener("click", async (event) => {
    const id = event.target.dataset && event.target.dataset.copy;
    if (id) await navigator.clipboard.writeText(document.getElementById(id).textContent);
  });
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;

  // A menu closes on a click elsewhere, or by Escape, which gives the focus back.
  const openMenus = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  const help = document.getElementById("help");
  const shortcuts = document.getElementById("shortcuts");
  help.hidden = false;
  help.addEventListener("click", () => shortcuts.showModal());

  let before = null; // "g" waits for its second key
  const follow = (selector) => {
    const link = document.querySelector(selector);
    if (link) link.click();
    return Boolean(link);
  };
  const actions = {
    "?": () => shortcuts.showModal(),
    "/": () => {
      const field = document.querySelector("main input[type=search]");
      if (field) field.focus();
      return Boolean(field);
    },
    t: () => theme.click(),
    j: () => follow("#walk [rel=next]"),
    k: () => follow("#walk [rel=prev]"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || shortcuts.open) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const { key } = event;
    const first = before;
    before = key === "g" ? "g" : null;
    if (first === "g") {
      if (/^[a-z]$/.test(key) && follow(`[data-go="${key}"]`)) event.preventDefault();
      return;
    }
    if (/^[1-9]$/.test(key)) follow(`.job-tabs .nav-item:nth-child(${key}) a`);
    else if (actions[key] && actions[key]() !== false) event.preventDefault();
  });
})();
