// Rows of the tables of a page by keys, for the registry of shortcuts: j and k walk, Enter opens, x selects.
(() => {
  const ROWS = "main table.table > tbody > tr";
  const { extend } = window.SimpleBatchShortcuts;
  const own = () => document.querySelector("#results, #walk"); // the results grid and a request have their own keys
  const current = () => document.activeElement && document.activeElement.closest(ROWS);
  const shown = () => document.querySelector("dialog[open]") || document;
  const rows = () => [...shown().querySelectorAll(ROWS)].filter((row) => row.checkVisibility());

  function move(step) {
    if (own()) return false;
    const all = rows();
    const at = all.indexOf(current());
    const row = at < 0 ? all[0] : all[at + step];
    if (!row) return at >= 0; // at the end of the table the key does nothing
    row.tabIndex = -1;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    return true;
  }

  function open() {
    const row = own() ? null : current();
    if (!row || row !== document.activeElement) return false;
    const link = row.querySelector("a[href]");
    const field = row.querySelector("select, input:not([type=hidden], [type=checkbox]), button");
    if (link) link.click();
    else if (field) field.focus();
    return Boolean(link || field);
  }

  function select() {
    const row = own() ? null : current();
    const box = row && row.querySelector("input[type=checkbox]:enabled");
    if (box) box.click();
    return Boolean(box);
  }

  extend("next", () => move(1));
  extend("previous", () => move(-1));
  extend("open", open);
  extend("select", select);
})();
