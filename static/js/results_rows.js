// The rows of the results grid: more are loaded as one scrolls or walks, each page by its own key.

const MOST = 2000; // rows on the page; the links below lead further
const NEAR_PX = 800; // of the end, where the next page is fetched

export const part = () => document.getElementById("results-part");
export const box = () => document.getElementById("results-box");
export const body = () => document.querySelector("#results tbody");
export const all = () => [...document.querySelectorAll("#results tbody tr")];
export const indexOf = (row) => Number(row.dataset.index);
export const byIndex = (index) => document.querySelector(`#results tbody tr[data-index="${index}"]`);

const news = document.getElementById("results-news");
let loading = null;

export function say(text) {
  news.textContent = text;
}

// Adds the next rows, or those before; true where there were any.
export async function more(backward = false) {
  const name = backward ? "previous" : "next";
  if (!body() || !part().dataset[name] || all().length >= MOST) return false;
  loading = loading || fetchRows(name).finally(() => { loading = null; });
  return loading;
}

async function fetchRows(name) {
  const url = new URL(part().dataset[name], location.href);
  url.searchParams.set("fragment", "1");
  let page;
  try {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(String(answer.status));
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    say(news.dataset.notLoaded);
    return false;
  }
  const fresh = page.getElementById("results-part");
  const rows = [...fresh.querySelectorAll("#results tbody tr")].filter((row) => !byIndex(row.dataset.index));
  part().dataset[name] = fresh.dataset[name];
  insert(rows.map((row) => document.adoptNode(row)), name === "previous");
  links(name, fresh.dataset[name]);
  document.dispatchEvent(new CustomEvent("resultsrows"));
  return rows.length > 0;
}

function insert(rows, before) {
  if (!before) return body().append(...rows);
  const height = box().scrollHeight;
  body().prepend(...rows);
  box().scrollTop += box().scrollHeight - height;
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
  const near = () => box().scrollHeight - box().scrollTop - box().clientHeight < NEAR_PX;
  box().addEventListener("scroll", () => { if (near()) more(); }, { passive: true });
}
