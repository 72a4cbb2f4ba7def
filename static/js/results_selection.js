// Selected rows of the results grid: by keys and clicks, what can be done with them, and copies of them.

import { all, body, indexOf, part, say } from "./results_rows.js";

const form = document.getElementById("selected-form");
const count = document.getElementById("selected-count");
const exported = document.getElementById("export-selected");
const matching = document.getElementById("select-matching");
const clear = document.getElementById("clear-selection");
const words = document.getElementById("results-news").dataset;
const number = new Intl.NumberFormat(document.documentElement.lang).format;
let anchor = null; // the row at which a range begins
let everything = false; // all that match, also those that are not loaded

const boxOf = (row) => row.querySelector("input[name=index]");
export const selected = () => all().filter((row) => boxOf(row).checked);

export function toggle(row, range = false) {
  const on = !boxOf(row).checked;
  const rows = all();
  const from = range && anchor ? rows.indexOf(anchor) : -1;
  const to = rows.indexOf(row);
  if (from >= 0) for (const one of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) boxOf(one).checked = true;
  else boxOf(row).checked = on;
  anchor = row;
  show();
}

export function selectShown() {
  for (const row of all()) boxOf(row).checked = true;
  show();
}

function none() {
  for (const row of all()) boxOf(row).checked = false;
  anchor = null;
  everything = false;
  show();
}

// 0-based indices as ranges: 17-40,52
function ranges(indices) {
  const found = [];
  for (const index of [...indices].sort((a, b) => a - b)) {
    const last = found[found.length - 1];
    if (last && last[1] === index - 1) last[1] = index;
    else found.push([index, index]);
  }
  return found.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(",");
}

function show() {
  const rows = selected();
  if (!rows.length) everything = false;
  const total = Number(part().dataset.total);
  form.hidden = !rows.length;
  clear.hidden = !rows.length;
  count.textContent = count.dataset.words.replace("{n}", number(everything ? total : rows.length));
  matching.hidden = everything || !rows.length || !(total > rows.length);
  matching.textContent = matching.dataset.words.replace("{n}", number(total));
  for (const row of all()) row.classList.toggle("selected", boxOf(row).checked);
  const url = new URL(exported.href);
  url.search = new URLSearchParams({ format: "xlsx" });
  if (everything) for (const [name, value] of filters()) url.searchParams.append(name, value);
  else url.searchParams.set("rows", ranges(rows.map(indexOf)));
  exported.href = url;
}

function filters() {
  return Object.entries(JSON.parse(part().dataset.filters)).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, String(one)]));
}

// In place of single rows the filter is sent.
function sendFilters() {
  for (const old of form.querySelectorAll("[data-filter]")) old.remove();
  for (const row of all()) boxOf(row).disabled = everything;
  if (everything) for (const [name, value] of [...filters(), ["all", "1"], ["selected", part().dataset.total]]) {
    const field = Object.assign(document.createElement("input"), { type: "hidden", name, value });
    field.dataset.filter = "";
    form.append(field);
  }
  else for (const row of selected()) if (!row.isConnected) { // scrolled away: the form has no box of it
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: "index", value: indexOf(row) });
    field.dataset.filter = "";
    form.append(field);
  }
}

// Texts that a spreadsheet would run as formulas get an apostrophe, as in exports (export/csv_file.py).
const formula = /^[=+\-@＝＋－＠\t\r]/;
const plain = /^[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?%?$/;
const safe = (text) => (formula.test(text) && !plain.test(text) ? `'${text}` : text);
// Tabs, line breaks and quotes inside a cell as spreadsheets write them.
const quoted = (text) => (/[\t\n\r"]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const escaped = (text) => quoted(safe(text));
const cells = (row) => [...row.cells].filter((cell) => !("skip" in cell.dataset));
const textOf = (cell) => (cell.querySelector(":scope > div") || cell).textContent.trim();
const asTsv = (table) => table.map((row) => row.map(escaped).join("\t")).join("\n");

// Values that are longer than their cells are taken from the server.
async function whole(rows) {
  const columns = [...document.querySelectorAll("#results thead th[data-col]")].map((head) => head.dataset.col);
  const url = new URL(`${location.pathname}.json`, location.href);
  for (const name of columns) url.searchParams.append("cols", name);
  const values = new Map();
  for (let at = 0; at < rows.length; at += 200) {
    url.searchParams.set("rows", ranges(rows.slice(at, at + 200).map(indexOf)));
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(String(answer.status));
    for (const row of (await answer.json()).rows) values.set(row.index, row.values);
  }
  const text = (value) => (typeof value === "string" ? value : value === null ? "" : JSON.stringify(value.json ?? value.at ?? value));
  return rows.map((row) => cells(row).map((cell, place) =>
    ("cut" in cell.dataset ? text(values.get(indexOf(row))[columns[place - 1]]) : textOf(cell))));
}

async function write(text, fallback) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    (document.querySelector("dialog[open]") || document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) return say(fallback);
  }
  return true;
}

function copy(event) {
  const focused = document.activeElement.closest("#results tbody tr");
  const rows = selected().length ? selected() : focused ? [focused] : [];
  const inField = document.activeElement.closest("input:not([type=checkbox]), textarea, dialog");
  if (!rows.length || inField || String(getSelection())) return;
  event.preventDefault();
  const told = words.copied.replace("{n}", number(rows.length));
  if (rows.some((row) => row.querySelector("[data-cut]")))
    whole(rows).then((table) => write(asTsv(table), words.notCopied)).then((done) => done && say(told), () => say(words.notLoaded));
  else {
    event.clipboardData.setData("text/plain", asTsv(rows.map((row) => cells(row).map(textOf))));
    say(told);
  }
}

export function begin() {
  form.hidden = true;
  exported.hidden = false;
  if (!body()) return;
  body().addEventListener("click", (event) => {
    const box = event.target.closest("input[name=index]");
    if (!box) return;
    const row = box.closest("tr");
    if (event.shiftKey && anchor) {
      box.checked = !box.checked;
      toggle(row, true);
      box.checked = true;
    }
    anchor = row;
    show();
  });
  matching.addEventListener("click", () => { everything = true; show(); count.focus(); });
  clear.addEventListener("click", () => { none(); document.getElementById("results-box").focus(); });
  form.addEventListener("submit", sendFilters);
  document.addEventListener("copy", copy);
  document.addEventListener("resultsrows", show);
  show();
}
