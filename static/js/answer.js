// How messages and answers are shown: formulas, code with its language, JSON as trees, long texts folded.
// Without this script they are there as the server sent them.

import { treeOf } from "./json_tree.js";

const HIGHLIGHTED = 200000; // characters
const FORMULA = 20000;
const NO_MATHML = /\\(pmb|fcolorbox)/; // for these KaTeX writes styles that the security policy forbids
const NEAR = { rootMargin: "800px" };
const vendor = (path) => new URL(`../vendor/${path}`, import.meta.url).href;
const words = () => document.getElementById("answer-words").dataset;
const once = (root, selector, name) => [...root.querySelectorAll(selector)].filter((found) => {
  if (found.dataset[name]) return false;
  found.dataset[name] = "1";
  return true;
});

export function show(root) {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  for (const block of once(root, ".code-block", "shown")) code(block);
  for (const place of once(root, "[data-json]", "shown")) json(place);
  for (const formula of once(root, ".math-inline, .math-display", "shown")) formulas.observe(formula);
  for (const text of once(root, ".fold", "shown")) folds.observe(text);
}

// code

function button(text, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", className: "block-button", textContent: text });
  made.addEventListener("click", () => act(made));
  return made;
}

const copier = (text) => button(words().copy, async (pressed) => {
  try {
    window.SimpleBatchCopy.confirmed(pressed, await window.SimpleBatchCopy.copy(await text()));
  } catch {
    window.SimpleBatchCopy.confirmed(pressed, false);
  }
});

function code(block) {
  const text = block.querySelector("code");
  block.querySelector(".code-head").append(copier(() => text.textContent));
  highlight(text);
}

function highlight(text) {
  const language = [...text.classList].find((name) => name.startsWith("language-"))?.slice("language-".length);
  if (!language || text.dataset.highlighted || text.textContent.length > HIGHLIGHTED) return;
  if (window.hljs?.getLanguage(language)) hljs.highlightElement(text);
}

// JSON: a tree, or the text; of what is too long for a page the whole is fetched for the tree

function json(place) {
  const pre = place.querySelector("pre");
  const folded = place.closest("details:not([open])");
  if (folded) {
    delete place.dataset.shown;
    folded.addEventListener("toggle", () => show(folded), { once: true });
    return;
  }
  const head = Object.assign(document.createElement("div"), { className: "code-head" });
  head.append("JSON");
  place.prepend(head);
  let tree = null;
  const whole = async () => {
    if (!place.dataset.whole) return pre.textContent;
    const answer = await fetch(place.dataset.whole);
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  };
  const change = button(words().tree, async () => {
    try {
      if (!tree) tree = await make(await whole());
    } catch {
      change.textContent = words().failed;
      return;
    }
    if (!tree) { change.remove(); return; }
    const asText = pre.hidden;
    pre.hidden = !asText;
    tree.hidden = asText;
    change.textContent = asText ? words().tree : words().text;
    if (asText) highlight(pre.firstElementChild);
  });
  const make = (text) => {
    const made = treeOf(unfenced(text), place.dataset.label, words());
    if (made) {
      made.hidden = true;
      place.append(made);
    }
    return made;
  };
  if (place.dataset.whole) head.append(change);
  else {
    tree = make(pre.textContent);
    if (tree) {
      head.append(change);
      change.click();
    } else highlight(pre.firstElementChild);
  }
  head.append(copier(whole));
}

const unfenced = (text) => text.trim().replace(/^(```|~~~)\w*\s*\n([\s\S]*)\n\1$/, "$2");

// formulas: KaTeX and its fonts are loaded where there is one

let katex = null;

function loadKatex() {
  const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: vendor("katex/katex.min.css") });
  const script = Object.assign(document.createElement("script"), { src: vendor("katex/katex.min.js") });
  const both = [style, script].map((part) => new Promise((loaded, failed) => {
    part.addEventListener("load", loaded);
    part.addEventListener("error", failed);
  }));
  document.head.append(style, script);
  return Promise.all(both);
}

const formulas = new IntersectionObserver(async (seen) => {
  const near = seen.filter((one) => one.isIntersecting).map((one) => one.target);
  if (!near.length) return;
  for (const formula of near) formulas.unobserve(formula);
  try {
    await (katex = katex || loadKatex());
  } catch {
    katex = null; // the text stays
    return;
  }
  for (const formula of near) set(formula);
}, NEAR);

function set(formula) {
  const tex = formula.textContent;
  if (tex.length > FORMULA || !formula.isConnected) return;
  const set = document.createElement("span");
  set.className = formula.className;
  try {
    window.katex.render(tex, set, {
      displayMode: formula.classList.contains("math-display"), output: NO_MATHML.test(tex) ? "html" : "htmlAndMathml",
      throwOnError: true, strict: "ignore", trust: false, maxSize: 20, maxExpand: 500,
    });
  } catch (error) {
    formula.classList.add("math-error");
    formula.title = words().formula.replace("{why}", error.message || "");
    return;
  }
  formula.replaceWith(set);
  const wide = set.querySelector(".katex-display");
  if (wide && wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0; // keys scroll it
}

// long texts

const folds = new ResizeObserver((changed) => {
  for (const { target } of changed) {
    const line = parseFloat(getComputedStyle(target).lineHeight);
    if (target.dataset.folded || target.scrollHeight <= target.clientHeight + 1) continue;
    target.dataset.folded = "1";
    if (target.scrollHeight < target.clientHeight + 6 * line) target.classList.add("unfolded"); // not worth a button
    else fold(target);
  }
});

function fold(text) {
  const change = button(words().all, () => unfold(!text.classList.contains("unfolded")));
  change.classList.add("fold-button");
  change.setAttribute("aria-expanded", "false");
  const unfold = (whole) => {
    if (!whole) text.scrollIntoView({ block: "nearest" });
    text.classList.toggle("unfolded", whole);
    change.textContent = whole ? words().less : words().all;
    change.setAttribute("aria-expanded", whole);
  };
  // what is found or reached by keys below the fold
  const reveal = () => { if (text.scrollTop) { text.scrollTop = 0; unfold(true); } };
  text.addEventListener("scroll", reveal);
  text.after(change);
}
