// JSON as a tree that is read where it is opened. Values are shown as they are written: 12345678901234567890 and
// 1.0 stay what they are, and of two equal keys both are there.

const PAGE = 100; // children that are shown at once
const AT_FIRST = 60; // rows that a new tree has open
const LONG = 160; // characters of a text on its row
const COUNTED = 1 << 20; // characters of a value whose children are counted before it is opened

const skipBlank = (text, at) => {
  while (at < text.length && text.charCodeAt(at) <= 32) at += 1;
  return at;
};

function endOfString(text, at) {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
}

// Behind the value that begins here; the text is valid JSON.
function endOfValue(text, at) {
  const first = text[at];
  if (first === '"') return endOfString(text, at);
  if (first !== "{" && first !== "[") {
    while (at < text.length && !",]}".includes(text[at]) && text.charCodeAt(at) > 32) at += 1;
    return at;
  }
  let depth = 0;
  for (; ;) {
    const mark = text[at];
    if (mark === '"') { at = endOfString(text, at); continue; }
    if (mark === "{" || mark === "[") depth += 1;
    else if (mark === "}" || mark === "]") depth -= 1;
    at += 1;
    if (!depth) return at;
  }
}

// The places of the children: [key start or -1, key end, start, end] of each, one after the other.
function childrenOf(text, start) {
  const isObject = text[start] === "{";
  const found = [];
  let at = skipBlank(text, start + 1);
  while (text[at] !== "}" && text[at] !== "]") {
    let [from, to] = [-1, -1];
    if (isObject) {
      from = at;
      to = endOfString(text, at);
      at = skipBlank(text, skipBlank(text, to) + 1);
    }
    const end = endOfValue(text, at);
    found.push(from, to, at, end);
    at = skipBlank(text, end);
    if (text[at] === ",") at = skipBlank(text, at + 1);
  }
  return found;
}

const element = (name, className, text) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const number = (n) => new Intl.NumberFormat(document.documentElement.lang).format(n);
const kindOf = (first) => ({ '"': "string", t: "literal", f: "literal", n: "literal" })[first] || "number";

class Tree {
  constructor(text, label, words) {
    Object.assign(this, { text, words });
    this.root = element("ul", "json-tree");
    this.root.setAttribute("role", "tree");
    this.root.setAttribute("aria-label", label);
    const start = skipBlank(text, 0);
    const first = this.item(-1, -1, start, endOfValue(text, start));
    first.tabIndex = 0;
    this.root.append(first);
    this.openSome(first);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("click", (event) => this.click(event));
  }

  // One row: a key, and a value or what is in it.
  item(keyFrom, keyTo, start, end, place = null) {
    const { text } = this;
    const item = element("li");
    item.setAttribute("role", "treeitem");
    item.tabIndex = -1;
    const row = element("div", "json-row");
    if (keyFrom >= 0) row.append(element("span", "json-key", this.readable(keyFrom, keyTo)), ": ");
    else if (place !== null) row.append(element("span", "json-place", number(place)), " ");
    const first = text[start];
    const holds = first === "{" || first === "[";
    item.where = { start, end, holds };
    if (holds) {
      item.where.count = end - start < COUNTED ? childrenOf(text, start).length / 4 : null;
      const inside = item.where.count === 0 ? "" : "…";
      row.append(element("span", "json-mark", first === "{" ? `{${inside}}` : `[${inside}]`));
      if (item.where.count) row.append(" ", element("span", "json-count", number(item.where.count)));
    } else this.value(row, item, first, start, end);
    if (holds ? item.where.count !== 0 : item.where.long) item.setAttribute("aria-expanded", "false");
    item.append(row);
    item.setAttribute("aria-label", row.textContent.slice(0, 200));
    return item;
  }

  value(row, item, first, start, end) {
    const kind = kindOf(first);
    if (kind !== "string") return row.append(element("span", `json-${kind}`, this.text.slice(start, end)));
    const shown = end - start > 4 * LONG ? this.text.slice(start, start + 4 * LONG) : this.readable(start, end);
    item.where.long = shown.length > LONG || /\\n/.test(shown);
    const value = element("bdi", "json-string", shown.length > LONG ? `${shown.slice(0, LONG)}…` : shown);
    row.append(value);
  }

  // A text with its quotes: letters in place of needless escapes, control characters escaped.
  readable(start, end) {
    const raw = this.text.slice(start, end);
    return raw.includes("\\") ? JSON.stringify(JSON.parse(raw)) : raw;
  }

  openSome(first) {
    let shown = 1;
    for (let waiting = [first]; waiting.length;) {
      const item = waiting.shift();
      if (!item.where?.holds || !item.where.count || (item !== first && shown + item.where.count > AT_FIRST)) continue;
      this.open(item);
      shown += Math.min(item.where.count, PAGE);
      waiting = waiting.concat([...this.itemsIn(item)]);
    }
  }

  itemsIn(item) {
    return item.querySelector(":scope > [role=group]")?.children || [];
  }

  open(item) {
    if (item.getAttribute("aria-expanded") !== "false") return;
    item.setAttribute("aria-expanded", "true");
    let inside = item.querySelector(":scope > .json-inside");
    if (inside) { inside.hidden = false; return; }
    if (item.where.holds) {
      inside = element("ul", "json-inside");
      inside.setAttribute("role", "group");
      item.append(inside);
      this.fill(inside, childrenOf(this.text, item.where.start), 0);
    } else {
      inside = element("div", "json-inside json-text", JSON.parse(this.text.slice(item.where.start, item.where.end)));
      inside.dir = "auto";
      item.append(inside);
    }
  }

  close(item) {
    if (item.getAttribute("aria-expanded") !== "true") return;
    item.setAttribute("aria-expanded", "false");
    item.querySelector(":scope > .json-inside").hidden = true;
    if (item.contains(document.activeElement)) this.focus(item);
  }

  // The next children, and a row that shows more of them.
  fill(inside, places, from) {
    const all = places.length / 4;
    const to = Math.min(all, from + PAGE);
    const rows = [];
    for (let n = from; n < to; n += 1)
      rows.push(this.item(places[4 * n], places[4 * n + 1], places[4 * n + 2], places[4 * n + 3], n + 1));
    if (to < all) {
      const words = this.words.more.replace("{n}", number(Math.min(PAGE, all - to))).replace("{all}", number(all));
      const more = element("li");
      more.setAttribute("role", "treeitem");
      more.tabIndex = -1;
      more.append(element("div", "json-row json-more", words));
      more.act = () => {
        more.remove();
        const [next] = this.fill(inside, places, to);
        this.focus(next);
      };
      rows.push(more);
    }
    inside.append(...rows);
    return rows;
  }

  toggle(item) {
    if (item.act) item.act();
    else if (item.getAttribute("aria-expanded") === "true") this.close(item);
    else this.open(item);
  }

  focus(item) {
    for (const old of this.root.querySelectorAll("[role=treeitem][tabindex='0']")) old.tabIndex = -1;
    item.tabIndex = 0;
    item.focus();
  }

  click(event) {
    const row = event.target.closest(".json-row");
    if (!row || String(getSelection())) return;
    const item = row.parentElement;
    this.focus(item);
    this.toggle(item);
  }

  key(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowDown: () => this.focus(this.after(item) || item), ArrowUp: () => this.focus(this.before(item) || item),
      ArrowRight: () => (item.getAttribute("aria-expanded") === "true" ? this.focus(this.itemsIn(item)[0] || item) : this.open(item)),
      ArrowLeft: () => (item.getAttribute("aria-expanded") === "true" ? this.close(item) : this.focus(this.parent(item) || item)),
      Home: () => this.focus(this.root.firstElementChild), End: () => this.focus(this.last(this.root.firstElementChild)),
      Enter: () => this.toggle(item), " ": () => this.toggle(item),
      "*": () => { for (const one of [...item.parentElement.children]) this.open(one); },
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // a page has other meanings for these keys
    act();
  }

  parent(item) {
    return item.parentElement.closest("[role=treeitem]");
  }

  last(item) {
    for (; ;) {
      const inside = item.getAttribute("aria-expanded") === "true" ? this.itemsIn(item) : [];
      if (!inside.length) return item;
      item = inside[inside.length - 1];
    }
  }

  after(item) {
    if (item.getAttribute("aria-expanded") === "true" && this.itemsIn(item).length) return this.itemsIn(item)[0];
    for (let one = item; one; one = this.parent(one)) if (one.nextElementSibling) return one.nextElementSibling;
    return null;
  }

  before(item) {
    return item.previousElementSibling ? this.last(item.previousElementSibling) : this.parent(item);
  }
}

// A tree of JSON; null where the text is none, or a single value.
export function treeOf(text, label, words) {
  try {
    const value = JSON.parse(text);
    if (value === null || typeof value !== "object") return null;
  } catch {
    return null;
  }
  return new Tree(text, label, words).root;
}
