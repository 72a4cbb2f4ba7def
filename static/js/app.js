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

// What was typed or chosen before the scripts were there, or was restored by the browser, counts now.
addEventListener("load", () => {
  const differs = ({ selected, defaultSelected }) => selected !== defaultSelected;
  const isDefault = ({ defaultSelected }) => defaultSelected;
  // a list of one choice begins with its first option where none is named
  const chosen = ({ multiple, options, selectedIndex }) =>
    multiple || [...options].some(isDefault) ? [...options].some(differs) : selectedIndex > 0;
  const isBox = (field) => ["radio", "checkbox"].includes(field.type);
  const changed = (field) => {
    if (field.options) return chosen(field);
    return isBox(field) ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
  };
  const fields = new Set();
  for (const part of document.querySelectorAll("[hx-trigger], #launch-form, #workbench-form"))
    for (const field of part.elements || [part])
      if (field.matches("select, textarea, input:not([type=hidden], [type=file])") && changed(field)) fields.add(field);
  for (const field of fields)
    field.dispatchEvent(new Event(field.options || isBox(field) ? "change" : "input", { bubbles: true }));
});

// Fields of a part of the page that is replaced keep what was picked or typed while its answer was under way.
window.SimpleBatchFields = (() => {
  const same = ({ name, type, value }) => `[name="${name}"]${type === "radio" ? `[value="${value}"]` : ""}`;
  const keep = (old, fresh) => {
    for (const field of old.querySelectorAll("input, select")) {
      const now = fresh.querySelector(same(field));
      if (!now) continue;
      if (["radio", "checkbox"].includes(field.type)) now.checked = field.checked;
      else now.value = field.value;
    }
  };
  return { keep };
})();
