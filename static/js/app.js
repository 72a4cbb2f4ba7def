// On every page: theme, menus, what keeps focus and clicks while parts are replaced.

// Keeps the focus while a script replaces a part of the page: the same element gets it again, else the part.
window.SimpleBatchFocus = (() => {
  const same = (old) => (item) =>
    item.tagName === old.tagName && item.textContent === old.textContent && item.href === old.href &&
    item.name === old.name && item.formAction === old.formAction;
  const keep = (part, replace) => {
    const old = part.contains(document.activeElement) ? document.activeElement : null;
    replace();
    if (!old || part.contains(old)) return;
    const fresh = (old.id && document.getElementById(old.id)) || [...part.querySelectorAll(old.tagName)].find(same(old));
    if (fresh && fresh.tagName === "TR") fresh.tabIndex = -1; // a row that a key has reached
    if (!fresh) part.tabIndex = -1;
    (fresh || part).focus({ preventScroll: true });
  };
  return { keep };
})();

// Waits before a part of the page is replaced: under a pressed pointer or with an open menu, the click
// would be lost.
window.SimpleBatchPointer = (() => {
  const CLICKED_MS = 100; // after the release; a touch takes that long
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
  const idle = async (part) => {
    for (;;) {
      const menu = part.querySelector("details.menu[open]");
      const dialog = document.querySelector("dialog[open]"); // its question may be about this part
      if (dialog) await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
      else if (menu) await new Promise((closed) => menu.addEventListener("toggle", closed, { once: true }));
      else if (pressed) await new Promise((go) => waiting.push(go));
      else return;
    }
  };
  return { idle };
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
  // A menu closes at a click elsewhere, or at Escape, which gives the focus back.
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
})();

// A choice made before the scripts were there, or restored by the browser, is asked for now.
addEventListener("load", () => {
  const first = (list) => Math.max(0, [...list.options].findIndex((option) => option.defaultSelected));
  const changed = (field) => (field.options ? field.selectedIndex !== first(field) : field.value !== field.defaultValue);
  const event = (field) => new Event(field.options ? "change" : "input", { bubbles: true });
  for (const part of document.querySelectorAll("[hx-get][hx-trigger*=change], #workbench-form")) {
    const field = [...(part.elements || [part])].find((one) => one.matches("select, [type=search]") && changed(one));
    if (field) field.dispatchEvent(event(field));
  }
});
