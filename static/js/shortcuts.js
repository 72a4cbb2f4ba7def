// Keyboard shortcuts of every page, as simple_batch/web/shortcuts.py declares them, and what they do.
window.SimpleBatchShortcuts = (() => {
  const commands = JSON.parse(document.getElementById("commands").textContent);
  const MAC = /Mac|iPhone|iPad/.test(navigator.userAgentData ? navigator.userAgentData.platform : navigator.platform);
  const PLAIN = ["checkbox", "radio", "button", "submit", "reset", "file", "range", "color", "image"]; // inputs without text

  const IN_ROWS = ["next", "previous", "open", "select"]; // what keys do in a dialog with a table

  // whether a key typed there is text, or a field's own
  const isText = (target) => {
    const field = target.closest("input, textarea, select, [contenteditable]");
    return Boolean(field) && !(field.tagName === "INPUT" && PLAIN.includes(field.type));
  };
  const follow = (selector) => {
    const link = document.querySelector(selector);
    if (link) link.click();
    return Boolean(link);
  };
  const shortcuts = document.getElementById("shortcuts");
  // false where there is nothing to do: the key is then the browser's
  const acts = {
    help: () => shortcuts.showModal(),
    theme: () => document.getElementById("theme").click(),
    search: () => {
      const field = document.querySelector("main input[type=search]");
      if (field) field.focus();
      return Boolean(field);
    },
    tabs: (key) => follow(`:is(.job-tabs, .page-tabs) .nav-item:nth-child(${key}) a`),
    next: () => follow("#walk [rel=next]"),
    previous: () => follow("#walk [rel=prev]"),
  };
  // A later script (tables, palette) does ``act`` first, and leaves it to what was there before.
  const extend = (act, first) => {
    const before = acts[act] || (() => false);
    acts[act] = (...given) => (first(...given) !== false ? true : before(...given));
  };
  const run = (command, key) => (command.url ? location.assign(command.url) : acts[command.act] ? acts[command.act](key) : false);
  const keyed = (keys) => commands.find((command) => command.keys === keys);
  const of = (key) => (/^[1-9]$/.test(key) ? keyed("1 – 9") : keyed(key));

  const help = document.getElementById("help");
  help.hidden = false;
  help.addEventListener("click", () => acts.help());
  for (const key of document.querySelectorAll("[data-mod]")) key.textContent = MAC ? "⌘" : "Ctrl";

  let before = null; // "g" waits for its second key
  document.addEventListener("keydown", (event) => {
    const dialog = document.querySelector("dialog[open]");
    if (event.defaultPrevented || event.isComposing || (dialog && !dialog.matches("[data-rows]"))) return;
    if (event.altKey) return;
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey) {
      const mod = MAC ? event.metaKey && !event.ctrlKey : event.ctrlKey && !event.metaKey;
      if (mod && !event.shiftKey && key.toLowerCase() === "k" && acts.palette && acts.palette() !== false) event.preventDefault();
      return;
    }
    if (isText(target)) return;
    const first = before;
    before = key === "g" ? "g" : null;
    if (key === "Enter" && target.closest("a, button, input, summary")) return;
    const command = first === "g" ? keyed(`g ${key}`) : of(key);
    if (dialog && command && !IN_ROWS.includes(command.act)) return;
    if (command && run(command, key) !== false) event.preventDefault();
  });
  return { commands, acts, extend, run, isMac: MAC };
})();
