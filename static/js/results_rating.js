// Ratings in the drawer of the results grid: by keys and clicks, and a review that goes on by itself.

import * as drawer from "./results_drawer.js";
import { all, byIndex, indexOf } from "./results_rows.js";

const dialog = document.getElementById("drawer");
const footer = document.getElementById("drawer-rating");
const review = document.getElementById("review");
const progress = document.getElementById("drawer-progress");
const end = document.getElementById("review-end");
const words = document.getElementById("results-news").dataset;
const number = new Intl.NumberFormat(document.documentElement.lang).format;
let shown = null; // index of the request whose rating is in the footer
let busy = false;

const rating = () => document.getElementById("rating");
const unscored = () => all().filter((row) => !row.dataset.scored);

// The keys are those of the buttons and fields: data-key.
const KEYS = { "=": "+", "−": "-", "–": "-", _: "-", L: "l", N: "n" };

function key(event) {
  const field = event.target.closest("#drawer-rating input, #drawer-rating textarea");
  if (event.key === "Escape" && field) {
    event.preventDefault();
    event.stopPropagation();
    return rest();
  }
  if (field?.matches("textarea") && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    return field.form.requestSubmit();
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const name = KEYS[event.key] || event.key;
  const found = rating()?.querySelector(`[data-key="${CSS.escape(name)}"]`);
  if (!found || busy) return;
  event.preventDefault();
  if (found.matches("button")) return found.form.requestSubmit(found);
  found.focus();
}

const rest = () => document.getElementById("drawer-content").focus({ preventScroll: true });

async function send(event) {
  const form = event.target.closest("form.rating-form");
  if (!form) return;
  event.preventDefault();
  if (busy) return;
  const [index, active] = [shown, footer.contains(document.activeElement) ? document.activeElement : null];
  const data = new FormData(form, event.submitter);
  data.set("fragment", "1");
  // typed again, a label is taken away
  const again = form.querySelector("input[name=add_label]") && rating().querySelector(
    `[name=remove_label][value="${CSS.escape(data.get("add_label").trim())}"]`);
  if (again) { data.set("remove_label", again.value); data.delete("add_label"); }
  const scores = event.submitter?.name === "set_score" && event.submitter.value !== "none";
  busy = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: data });
    if ([400, 409].includes(answer.status)) return shownError(await answer.text());
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("rating");
    update(index, fresh);
    if (index === shown) put(fresh);
  } catch {
    return shownError(words.notRated);
  } finally {
    busy = false;
  }
  if (index !== shown) return;
  if (active) focusAgain(active);
  if (review && scores) advance();
}

// The button that was pressed, as it is now; a field gives the focus back to the answer.
function focusAgain(active) {
  const same = active.matches("button") && [...footer.querySelectorAll("button")].find((button) => button.textContent === active.textContent);
  if (same) same.focus({ preventScroll: true });
  else rest();
}

function shownError(text) {
  const place = document.getElementById("rating-error");
  place.textContent = text;
  place.hidden = !text;
}

// The cells of the row, where these columns are shown.
function update(index, fresh) {
  const row = byIndex(index);
  if (!row) return;
  row.dataset.scored = fresh.dataset.scored;
  const heads = [...document.querySelectorAll("#results thead th")];
  for (const name of ["rating", "labels", "note"]) {
    const place = heads.findIndex((head) => head.dataset.col === name);
    if (place < 0) continue;
    const text = document.createElement("div");
    text.dir = "auto";
    text.textContent = fresh.dataset[name];
    row.cells[place].replaceChildren(text);
  }
  count();
}

function put(fresh) {
  shownError("");
  footer.replaceChildren(document.adoptNode(fresh));
  for (const line of footer.querySelectorAll(".rating-keys")) line.hidden = false;
}

function count() {
  if (!review) return;
  const total = all().length;
  const text = review.dataset.words.replace("{n}", number(total - unscored().length)).replace("{all}", number(total));
  document.getElementById("review-progress").textContent = text;
  const start = document.getElementById("review-start");
  if (unscored().length < total) start.textContent = start.dataset.continue;
  progress.textContent = text;
}

// The next answer without a score, behind this one or from the start.
function advance() {
  const left = unscored();
  if (!left.length) return finish();
  const rows = all();
  const here = rows.indexOf(byIndex(shown));
  drawer.open(indexOf(left.find((row) => rows.indexOf(row) > here) || left[0]));
}

function finish() {
  end.firstElementChild.textContent = review.dataset.allRated.replace("{n}", number(all().length));
  end.hidden = false;
  end.querySelector("a").focus();
}

function show({ detail: index }) {
  shown = index;
  shownError("");
  end.hidden = true;
  const found = document.querySelector("#drawer-content #rating");
  if (found) put(found);
  else footer.replaceChildren();
  count();
}

export function begin() {
  document.addEventListener("drawershown", show);
  dialog.addEventListener("keydown", key);
  dialog.addEventListener("submit", send);
  if (!review) return;
  const start = document.getElementById("review-start");
  if (!start) return;
  start.hidden = false;
  start.addEventListener("click", () => drawer.open(indexOf(unscored()[0] || all()[0])));
  if (!new URL(location.href).searchParams.has("open") && unscored().length) drawer.open(indexOf(unscored()[0]));
}
