// The rows that are in the table: of those that are loaded only the ones near the visible part, between two spacers
// as high as the others. Columns never become narrower while one scrolls.

const [KEPT, NEAR] = [0.6, 0.3]; // views above and below that are filled, and that are left when rows are exchanged

let box = null; // the scroll box
let body = null;
let rows = []; // all that are loaded, in their order
let [first, last] = [0, 0]; // rows[first] to rows[last - 1] are in the table
let left = null; // the row that had the focus when it went out of the table
let whole = false; // all rows are in the table, for the browser's own search and for printing
let heights = new WeakMap(); // of rows, once they were in the table
let usual = 30; // px, of a row that was not
let measured = false; // the rows that are in the table now
let [above, below] = [null, null];

const heightOf = (row) => heights.get(row) ?? usual;
const sum = (from, to) => rows.slice(from, to).reduce((total, row) => total + heightOf(row), 0);
const scrollsItself = () => getComputedStyle(box).overflowY !== "visible"; // not on a phone
const scroller = () => (scrollsItself() ? box : document.scrollingElement);

function visible() {
  const { top, bottom } = scrollsItself() ? box.getBoundingClientRect() : { top: 0, bottom: innerHeight };
  return { top, bottom, size: bottom - top };
}

// A row is as high as the distance to the next one: cards have a margin.
function measure() {
  if (measured || first === last) return;
  measured = true;
  const tops = [...rows.slice(first, last), below].map((one) => one.getBoundingClientRect().top);
  for (let at = first; at < last; at += 1) heights.set(rows[at], tops[at - first + 1] - tops[at - first]);
  usual = (tops[tops.length - 1] - tops[0]) / (last - first);
}

// The rows that are less than that many views away.
function near(view, views) {
  const [from, to] = [view.top - views * view.size, view.bottom + views * view.size];
  let y = above.getBoundingClientRect().top + body.parentElement.tHead.offsetHeight;
  let start = 0;
  while (start < rows.length - 1 && y + heightOf(rows[start]) <= from) y += heightOf(rows[start++]);
  let end = start;
  while (end < rows.length && y < to) y += heightOf(rows[end++]);
  return [start, Math.max(end, Math.min(start + 1, rows.length))];
}

export function update() {
  const view = body ? visible() : { size: 0 };
  if (!view.size) return;
  measure();
  if (whole) return first || last < rows.length ? show(0, rows.length, view) : undefined;
  const [start, end] = near(view, NEAR);
  if (start >= first && end <= last) return;
  show(...near(view, KEPT), view);
}

const isSelecting = () => {
  const selection = getSelection();
  return !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(body);
};

// Exchanges rows; the first visible one that stays keeps its place.
function show(from, to, view) {
  if (isSelecting()) [from, to] = [Math.min(from, first), Math.max(to, last)]; // what is selected stays
  const shown = rows.slice(first, last);
  const stays = rows.slice(Math.max(from, first), Math.min(to, last));
  const kept = new Set(stays);
  keepWidths();
  inPlace(stays.find((row) => row.getBoundingClientRect().bottom > view.top), () => {
    take(shown.filter((row) => !kept.has(row)));
    if (stays.length) {
      stays[0].before(...rows.slice(from, Math.max(from, first)));
      body.append(...rows.slice(Math.min(to, Math.max(from, last)), to));
    } else body.append(...rows.slice(from, to));
    [first, last] = [from, to];
    fill();
  });
  if (left?.isConnected && document.activeElement === box) left.focus({ preventScroll: true });
}

// The space of the rows that are not in the table.
function fill() {
  above.style.height = `${sum(0, first)}px`;
  below.style.height = `${sum(last, rows.length)}px`;
  measured = false;
}

// The focus goes first: giving it away has the browser lay out the page.
function take(leaving) {
  const active = leaving.find((row) => row.contains(document.activeElement));
  if (active) {
    left = active;
    box.focus({ preventScroll: true });
  }
  for (const row of leaving) row.remove();
}

// Columns are as wide as the widest cells so far: they would jump with the rows that come and go.
function keepWidths() {
  if (!scrollsItself()) return;
  const heads = [...body.parentElement.tHead.rows[0].cells];
  const widths = heads.map((head) => head.getBoundingClientRect().width);
  heads.forEach((head, place) => {
    if (head.dataset.chosen || widths[place] <= (parseFloat(head.style.minWidth) || 0) + 0.5) return;
    head.style.minWidth = `${widths[place]}px`;
  });
}

export function forgetWidths() {
  if (!body) return;
  for (const head of body.parentElement.tHead.rows[0].cells) head.style.minWidth = "";
  heights = new WeakMap();
  measured = false;
  measure();
  inPlace(rows[first], fill);
  update();
}

// What is done above a row leaves it where it is.
function inPlace(row, act) {
  const place = row?.getBoundingClientRect().top;
  act();
  const moved = row ? row.getBoundingClientRect().top - place : 0;
  if (Math.abs(moved) >= 1) scroller().scrollTop += moved;
}

// The row that the keys are at: it has the focus, or had it before one scrolled away.
export function current() {
  const row = document.activeElement.closest("#results tbody tr");
  return row || (document.activeElement === box ? left : null);
}

// The first row that is seen whole, where the keys begin.
export function firstVisible() {
  const top = visible().top + (scrollsItself() ? body.parentElement.tHead.offsetHeight : 0);
  return rows.slice(first, last).find((row) => row.getBoundingClientRect().top >= top - 1) || rows[first];
}

// Brings a row into the table and into view.
export function reveal(row) {
  if (!row.isConnected) {
    const at = rows.indexOf(row);
    if (at < 0) return;
    const y = above.getBoundingClientRect().top + body.parentElement.tHead.offsetHeight + sum(0, at);
    const view = visible();
    scroller().scrollTop += y - view.top - view.size / 2;
    update();
  }
  row.scrollIntoView({ block: "nearest" });
}

// All loaded rows, in their order; those before the first one so far leave what is seen where it is.
export function set(all) {
  measure();
  const before = rows[first];
  const shown = rows.slice(first, last);
  const known = new Map(rows.map((row) => [row.dataset.index, heights.get(row)]));
  rows = all;
  for (const row of rows) if (known.get(row.dataset.index)) heights.set(row, known.get(row.dataset.index));
  if (left && !rows.includes(left)) left = null;
  const at = before ? rows.indexOf(before) : -1;
  if (at < 0) {
    take(shown);
    [first, last] = [0, 0];
    fill();
  } else {
    [first, last] = [at, at + shown.length];
    inPlace(before, fill);
  }
  update();
}

function showWhole(on) {
  if (whole === on) return;
  whole = on;
  if (!body) return;
  measure();
  const view = visible();
  show(...(on ? [0, rows.length] : near(view, KEPT)), view);
}

// What the browser itself searches or prints has to be in the page.
function searches(event) {
  const mod = event.ctrlKey || event.metaKey;
  if (event.key === "F3" || (mod && ["f", "g"].includes(event.key.toLowerCase()))) showWhole(true);
  else if (!["Control", "Meta", "Shift"].includes(event.key)) showWhole(false);
}

// With Bootstrap's `legend + *` the browser computes the styles of all rows again whenever the first one goes. Legends
// that do not float look the same without it.
function loosen() {
  for (const sheet of document.styleSheets) {
    const at = [...sheet.cssRules].findIndex((rule) => rule.selectorText === "legend + *");
    if (at < 0) continue;
    sheet.deleteRule(at);
    sheet.insertRule("legend { float: none; }", at);
  }
}

export function begin(scrollBox, table) {
  loosen();
  [box, body] = [scrollBox, table.tBodies[0]];
  rows = [...body.rows];
  [first, last] = [0, rows.length];
  [above, below] = [document.createElement("div"), document.createElement("div")];
  table.before(above);
  table.after(below);
  box.classList.add("has-window");
  document.documentElement.classList.add("has-window");
  box.addEventListener("scroll", update, { passive: true });
  addEventListener("scroll", update, { passive: true });
  let width = box.clientWidth;
  new ResizeObserver(() => {
    if (box.clientWidth !== width) forgetWidths();
    else update();
    width = box.clientWidth;
  }).observe(box);
  body.addEventListener("focusin", () => { left = null; });
  document.addEventListener("keydown", searches, true);
  document.addEventListener("pointerdown", () => showWhole(false), true);
  addEventListener("beforeprint", () => showWhole(true));
  addEventListener("afterprint", () => showWhole(false));
}
