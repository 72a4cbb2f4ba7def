// The drawer of the results grid: one request at the right; it walks through the rows, also into the next page.

import { show } from "./answer.js";
import { all, box, byIndex, indexOf, more, neighbour, say } from "./results_rows.js";
import { reveal } from "./results_window.js";

const drawer = document.getElementById("drawer");
const content = document.getElementById("drawer-content");
const words = document.getElementById("results-news").dataset;
let shown = null; // index of the request
let asked = 0;

const address = (index) => `${location.pathname.replace(/\/results$/, "/requests")}/${index}?fragment=1`;

function store(index) {
  const url = new URL(location.href);
  if (index === null) url.searchParams.delete("open");
  else url.searchParams.set("open", index);
  history.replaceState(history.state, "", url);
}

export async function open(index) {
  const turn = ++asked;
  shown = index;
  store(index);
  mark();
  let page;
  try {
    const answer = await fetch(address(index));
    if (!answer.ok) throw new Error(String(answer.status));
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return say(words.notLoaded);
  }
  if (turn !== asked) return; // a later one is on its way
  const found = page.querySelector("[data-request]");
  document.getElementById("drawer-title").textContent = found.dataset.title;
  document.getElementById("drawer-page").href = found.dataset.page;
  content.replaceChildren(document.adoptNode(found));
  if (!drawer.open) drawer.showModal();
  show(content);
  for (const step of ["previous", "next"]) document.getElementById(`drawer-${step}`).disabled = !byIndex(index);
  content.scrollTop = 0;
  content.focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("drawershown", { detail: index }));
}

function mark() {
  for (const row of all()) row.classList.toggle("current", indexOf(row) === shown);
  const row = byIndex(shown);
  if (row) reveal(row);
}

async function walk(step) {
  const row = byIndex(shown);
  if (!row) return;
  if (!neighbour(row, step)) await more(step < 0);
  const next = neighbour(row, step);
  if (next) open(indexOf(next));
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  walk(step);
}

export function begin() {
  drawer.addEventListener("keydown", key);
  drawer.addEventListener("close", () => {
    const row = byIndex(shown);
    asked += 1;
    shown = null;
    store(null);
    for (const old of all()) old.classList.remove("current");
    if (row) reveal(row);
    (row || box())?.focus({ preventScroll: true });
  });
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
  document.getElementById("drawer-close").addEventListener("click", () => drawer.close());
  document.getElementById("drawer-previous").addEventListener("click", () => walk(-1));
  document.getElementById("drawer-next").addEventListener("click", () => walk(1));
  const wanted = new URL(location.href).searchParams.get("open");
  if (wanted !== null && /^\d+$/.test(wanted)) open(Number(wanted));
}
