// The results grid: keys and clicks on its rows.

import * as columns from "./results_columns.js";
import * as drawer from "./results_drawer.js";
import * as news from "./results_news.js";
import * as rating from "./results_rating.js";
import { all, body, indexOf, loadOnScroll, more, neighbour } from "./results_rows.js";
import * as selection from "./results_selection.js";
import { current, firstVisible, reveal } from "./results_window.js";

function prepare() {
  for (const row of all()) row.tabIndex = -1;
}

async function move(step) {
  const row = current();
  let next = row ? neighbour(row, step) : firstVisible();
  if (!next && (await more(step < 0))) next = neighbour(row, step);
  if (!next) return;
  reveal(next);
  next.focus({ preventScroll: true });
}

const onRow = (act) => () => {
  if (!current()) return false;
  act(current());
  return true;
};
const moved = (step) => () => { move(step); return true; };
const ACTIONS = {
  j: moved(1), k: moved(-1), ArrowDown: moved(1), ArrowUp: moved(-1),
  x: onRow((row) => selection.toggle(row)), X: onRow((row) => selection.toggle(row, true)),
  Enter: onRow((row) => drawer.open(indexOf(row))),
};

function key(event) {
  if (document.querySelector("dialog[open]") || event.altKey) return;
  const { target } = event;
  if (target.closest("input:not([type=checkbox]), textarea, select, summary, [contenteditable]")) return;
  const inBox = target.closest("#results-box");
  if ((event.ctrlKey || event.metaKey) && event.key === "a" && inBox) {
    event.preventDefault();
    return selection.selectShown();
  }
  if (event.ctrlKey || event.metaKey) return;
  if (event.key.startsWith("Arrow") && !inBox) return;
  if (event.key === "Enter" && target.closest("a, button")) return;
  if (ACTIONS[event.key]?.()) event.preventDefault();
}

function click(event) {
  const row = event.target.closest("tr");
  const link = event.target.closest("a, button, input, summary, label");
  if (event.ctrlKey || event.metaKey || event.target.closest(".select-cell")) return;
  if (event.shiftKey && !link) return selection.toggle(row, true);
  if ((link && !link.closest(".number-cell")) || String(getSelection())) return;
  event.preventDefault();
  row.focus({ preventScroll: true });
  drawer.open(indexOf(row));
}

// a click with Shift selects rows, not their text
const keepText = (event) => { if (event.shiftKey && !event.target.closest("a, input")) event.preventDefault(); };

prepare();
loadOnScroll();
columns.begin();
selection.begin();
rating.begin();
drawer.begin();
news.begin();
document.addEventListener("keydown", key);
document.addEventListener("resultsrows", prepare);
body()?.addEventListener("click", click);
body()?.addEventListener("mousedown", keepText);
