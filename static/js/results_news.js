// "12 new answers: show": while the job runs, the rows stay as they are until one asks for the new answers.

import { all, box, part, reload, say } from "./results_rows.js";

const bar = document.getElementById("new-answers");
const head = document.getElementById("job");
const words = document.getElementById("results-news").dataset;
const number = new Intl.NumberFormat(document.documentElement.lang).format;
let [shown, latest] = [Number(words.answered), Number(words.answered)]; // requests of the job that had an answer

// In file order only rows without an answer can change; a filter or another order may bring others.
const mayChange = () => part().dataset.filters !== "{}" || new URL(location.href).searchParams.has("sort")
  || all().some((row) => "waits" in row.dataset);

function show() {
  shown = Math.min(shown, latest); // fewer after a retry
  const found = latest - shown;
  const wanted = found > 0 && mayChange();
  if (wanted) bar.textContent = (found === 1 ? words.newAnswer : words.newAnswers).replace("{n}", number(found));
  if (wanted && bar.hidden) say(bar.textContent); // once, not with every answer
  bar.hidden = !wanted;
}

async function load() {
  const now = latest;
  bar.disabled = true;
  if (await reload()) {
    shown = now;
    if (document.activeElement === bar || document.activeElement === document.body) box().focus({ preventScroll: true });
  }
  bar.disabled = false;
  show();
}

function follow() {
  latest = Number(head.dataset.answered);
  show();
}

export function begin() {
  if (document.getElementById("review")) return; // the rows of a review are fixed
  head.addEventListener("jobfigures", follow);
  bar.addEventListener("click", load);
  if (head.dataset.answered) follow();
}
