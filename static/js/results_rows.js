// The rows of the results grid: more are loaded as one scrolls or walks, each page by its own key. Those near the
// visible part are in the table (results_window.js).

import * as visible from "./results_window.js";

const MOST = 5000; // rows that are kept; the links below lead further
const NEAR_PX = 1600; // of the end, where the next page is fetched
const LARGEST_PAGE = 500; // rows

export const part = () => document.getElementById("results-part");
export const box = () => document.getElementById("results-box");
export const body = () => document.querySelector("#results tbody");
export const all = () => rows;
export const indexOf = (row) => Number(row.dataset.index);
export const byIndex = (index) => places.get(Number(index));
export const neighbour = (row, step) => rows[rows.indexOf(row) + step];

const news = document.getElementById("results-news");
let rows = body() ? [...body().rows] : []; // loaded, in their order
let places = new Map(rows.map((row) => [indexOf(row), row]));
let loading = null;

export function say(text) {
  news.textContent = text;
}

// Adds the next rows, or those before; true where there were any.
export async function more(backward = false) {
  const name = backward ? "previous" : "next";
  if (!body() || !part().dataset[name] || rows.length >= MOST) return false;
  loading = loading || fetchRows(name).finally(() => { loading = null; });
  return loading;
}

async function fetched(address) {
  const url = new URL(address, location.href);
  url.searchParams.set("fragment", "1");
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(String(answer.status));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("results-part");
  if (!fresh) throw new Error("another page"); // of a login
  return fresh;
}

async function fetchRows(name) {
  let fresh;
  try {
    fresh = await fetched(part().dataset[name]);
  } catch {
    say(news.dataset.notLoaded);
    return false;
  }
  const found = adopted(fresh).filter((row) => !byIndex(row.dataset.index));
  part().dataset[name] = fresh.dataset[name];
  put(name === "previous" ? [...found, ...rows] : [...rows, ...found]);
  links(name, fresh.dataset[name]);
  return found.length > 0;
}

const adopted = (fresh) => [...fresh.querySelectorAll("#results tbody tr")].map((row) => document.adoptNode(row));

function put(all) {
  rows = all;
  places = new Map(rows.map((row) => [indexOf(row), row]));
  document.dispatchEvent(new CustomEvent("resultsrows"));
  visible.set(rows);
}

// The same rows as they are now, as many as were loaded. False where they could not be had.
export async function reload() {
  if (loading) await loading;
  const url = new URL(location.href);
  const wanted = Math.max(rows.length, 1);
  if (wanted > Number(part().dataset.per)) url.searchParams.set("per", LARGEST_PAGE);
  const found = new Map();
  let [begun, fresh] = [null, null];
  loading = (async () => {
    for (let next = url; next && found.size < wanted; next = fresh.dataset.next) {
      fresh = await fetched(next);
      begun = begun || fresh;
      for (const row of adopted(fresh)) found.set(indexOf(row), row);
    }
  })();
  try {
    await loading;
  } catch {
    say(news.dataset.notLoaded);
    return false;
  } finally {
    loading = null;
  }
  if (!body() || !found.size) return location.reload(); // the table comes, or goes
  replace([...found.values()], begun, fresh);
  return true;
}

// New rows in place of the old ones: what is selected, has the focus, or is read stays.
function replace(found, begun, fresh) {
  const [scroll, at] = [box().scrollTop, visible.current()];
  const focused = at && document.activeElement !== box() ? indexOf(at) : null;
  for (const row of found) {
    const old = byIndex(row.dataset.index);
    if (!old) continue;
    row.querySelector("input[name=index]").checked = old.querySelector("input[name=index]").checked;
    row.className = old.className;
  }
  Object.assign(part().dataset, { previous: begun.dataset.previous, next: asBefore(fresh.dataset.next), total: begun.dataset.total });
  document.getElementById("results-count").textContent = begun.querySelector("#results-count").textContent;
  put(found);
  box().scrollTop = scroll;
  visible.update();
  if (focused !== null) byIndex(focused)?.focus({ preventScroll: true });
  links("next", part().dataset.next);
}

// The address of a next page with the size that pages have.
function asBefore(address) {
  if (!address) return "";
  const url = new URL(address, location.href);
  url.searchParams.set("per", part().dataset.per);
  return url.pathname + url.search;
}

// the links below lead past what is shown
function links(name, url) {
  const link = document.getElementById(`page-${name}`);
  if (!link) return;
  if (url) link.href = url;
  else link.remove();
}

export function loadOnScroll() {
  if (!box()) return;
  visible.begin(box(), document.getElementById("results"));
  const near = () => box().scrollHeight - box().scrollTop - box().clientHeight < NEAR_PX;
  box().addEventListener("scroll", () => { if (near()) more(); }, { passive: true });
}
