// Columns of the results grid: widths by pointer and keys, order, and the values in a column's menu.

import { body, say } from "./results_rows.js";
import { forgetWidths } from "./results_window.js";

const [LEAST, MOST, STEP] = [40, 1600, 16]; // px
const sheet = new CSSStyleSheet();
const widths = new Map(); // by column, those that were chosen
const heads = () => [...document.querySelectorAll("#results thead th")];

// In a style sheet: rows that are loaded later have the widths as well.
function apply() {
  const table = document.getElementById("results");
  heads().forEach((head, place) => {
    const width = widths.get(head.dataset.col);
    if (!head.dataset.col || !width) return;
    head.dataset.chosen = "1";
    const rule = `#results tr > :nth-child(${place + 1}) { width: ${width}px; min-width: ${width}px; max-width: ${width}px; }`;
    sheet.insertRule(`@media (min-width: 40.01rem) { ${rule} }`, sheet.cssRules.length);
  });
  table.classList.toggle("has-widths", widths.size > 0);
}

function resheet() {
  while (sheet.cssRules.length) sheet.deleteRule(0);
  apply();
  forgetWidths();
}

function store() {
  const url = new URL(location.href);
  url.searchParams.delete("w");
  for (const [name, width] of widths) url.searchParams.append("w", `${name}:${width}`);
  history.replaceState(history.state, "", url);
}

function setWidth(head, handle, width) {
  const bounded = Math.round(Math.max(LEAST, Math.min(MOST, width)));
  widths.set(head.dataset.col, bounded);
  handle.setAttribute("aria-valuenow", bounded);
  resheet();
}

function handleOf(head) {
  const handle = document.createElement("span");
  handle.className = "width-handle";
  handle.tabIndex = 0;
  const now = Math.round(head.getBoundingClientRect().width);
  const words = document.getElementById("results-news").dataset.width;
  for (const [name, value] of Object.entries({
    role: "separator", "aria-orientation": "vertical", "aria-label": `${head.querySelector("summary").textContent.trim()}: ${words}`,
    "aria-valuemin": LEAST, "aria-valuemax": MOST, "aria-valuenow": now,
  })) handle.setAttribute(name, value);
  handle.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    const [from, width] = [event.clientX, head.getBoundingClientRect().width];
    const move = ({ clientX }) => setWidth(head, handle, width + clientX - from);
    handle.addEventListener("pointermove", move);
    const end = () => { handle.removeEventListener("pointermove", move); store(); };
    handle.addEventListener("pointerup", end, { once: true });
    handle.addEventListener("pointercancel", end, { once: true });
  });
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    setWidth(head, handle, head.getBoundingClientRect().width + step);
    store();
  });
  return handle;
}

// Links and forms of the page carry the widths that were set since it was loaded.
function carryWidths() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#content a[href]");
    if (!link || new URL(link.href).pathname !== location.pathname || link.dataset.valuesOf) return;
    if (link.closest(".views-list")) return; // a view has its own
    const url = new URL(link.href);
    url.searchParams.delete("w");
    for (const text of new URL(location.href).searchParams.getAll("w")) url.searchParams.append("w", text);
    link.href = url;
  }, true);
  document.addEventListener("submit", ({ target: form }) => {
    if (form.id === "save-view") {
      const url = new URL(location.href);
      for (const name of ["open", "after", "before", "values"]) url.searchParams.delete(name);
      form.elements.query.value = url.search.slice(1);
    }
    if (form.method !== "get") return;
    for (const old of form.querySelectorAll("input[name=w]")) old.remove();
    for (const text of new URL(location.href).searchParams.getAll("w")) {
      const field = Object.assign(document.createElement("input"), { type: "hidden", name: "w", value: text });
      form.append(field);
    }
  });
}

async function loadValues(link) {
  const answer = await fetch(link.dataset.url);
  if (!answer.ok) return say(document.getElementById("results-news").dataset.notLoaded);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const values = page.querySelector(".values-list");
  if (!values) return; // of a login
  for (const old of link.closest(".menu-list").querySelectorAll(".values-list")) old.remove();
  link.after(document.adoptNode(values));
}

// The values of a column are listed when its menu opens, those of a large job on the link: they need an index.
function showValues() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-values-of]");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    loadValues(link);
  });
  document.addEventListener("toggle", ({ target }) => {
    if (target.open && target.matches("#results thead details")) keepInside(target);
    const link = target.open && target.closest("#results thead") && target.querySelector("[data-values-of][data-at-once]");
    if (link && !target.querySelector(".values-list")) loadValues(link);
  }, true);
}

// A menu that would end beyond the box opens to the left.
function keepInside(menu) {
  const [list, box] = [menu.querySelector(".menu-list"), document.getElementById("results-box").getBoundingClientRect()];
  list.classList.remove("leftwards");
  const { right, width } = list.getBoundingClientRect();
  const edge = menu.closest("th").getBoundingClientRect().right;
  list.classList.toggle("leftwards", right > Math.min(box.right, innerWidth) && edge - width >= box.left);
}

// Buttons in the menu of columns that move one up or down; the form sends them in their order.
function orderColumns() {
  const words = document.getElementById("results-news").dataset;
  for (const item of document.querySelectorAll("#column-list li")) {
    for (const [mark, title, move] of [["↑", words.left, () => item.previousElementSibling?.before(item)],
      ["↓", words.right, () => item.nextElementSibling?.after(item)]]) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: mark, className: "move-button" });
      button.setAttribute("aria-label", `${item.querySelector("label").textContent}: ${title}`);
      button.addEventListener("click", () => { move(); button.focus(); });
      item.append(button);
    }
  }
}

export function begin() {
  orderColumns();
  carryWidths();
  showValues();
  if (!body()) return;
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  for (const head of heads()) {
    if (!head.dataset.col) continue;
    if (head.dataset.width) widths.set(head.dataset.col, Number(head.dataset.width));
    head.append(handleOf(head));
  }
  resheet();
}
