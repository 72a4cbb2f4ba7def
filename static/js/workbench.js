// The workbench: what is typed is rendered at once, Ctrl-Enter sends the cells that changed, and answers come in
// one by one. Without this script every button sends the form.
(() => {
  const form = document.getElementById("workbench-form");
  const run = document.getElementById("run");
  const stop = document.getElementById("stop");
  const said = document.getElementById("said");
  const WAIT_MS = 30; // after the last key
  const TYPED_MS = 500; // … of a number that chooses other rows
  const ESTIMATE_MS = 600;
  const LOOK_MS = 400; // between two looks at a run

  const say = (text, kind = "danger") => {
    const box = document.createElement("div");
    box.className = `alert alert-${kind} py-2 prewrap mb-2`;
    box.textContent = text;
    said.replaceChildren(...(text ? [box] : []));
  };
  const post = (url, more = {}, headers = {}) => {
    const body = new FormData(form);
    for (const [name, value] of [...body]) if (value instanceof File) body.delete(name); // sent by their own buttons
    for (const [name, value] of Object.entries(more)) body.append(name, value);
    return fetch(url, { method: "POST", body, headers });
  };
  const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body.firstElementChild;

  // --- the grid ---
  const PARTS = "#tries-errors, #tries-notes, #run-state, [id^=prompt-], [id^=cell-]";
  const seen = new Map(); // the parts as the server sent them: what a user has opened in them is no difference
  const note = (root) => { for (const part of root.querySelectorAll(PARTS)) seen.set(part.id, part.outerHTML); };
  note(document);

  // What is the same stays, with its focus and its place: only cells that differ are replaced.
  const take = (fresh) => {
    const old = document.getElementById("tries");
    const wrong = fresh.querySelector("#tries-errors");
    if (wrong.childElementCount && !fresh.querySelector(".try-cell")) { // the rows wait until the prompt can be read
      seen.set(wrong.id, wrong.outerHTML);
      document.getElementById("tries-errors").replaceWith(wrong);
      return watching;
    }
    if (old.dataset.shape !== fresh.dataset.shape) {
      note(fresh);
      window.SimpleBatchFocus.keep(old.parentElement, () => old.replaceWith(fresh));
    } else {
      for (const name of Object.keys(fresh.dataset)) old.dataset[name] = fresh.dataset[name];
      for (const part of fresh.querySelectorAll(PARTS)) {
        const before = document.getElementById(part.id);
        if (!before || seen.get(part.id) === part.outerHTML) continue;
        seen.set(part.id, part.outerHTML);
        const folded = part.querySelector("details");
        if (folded && before.querySelector("details[open]")) folded.open = true;
        window.SimpleBatchFocus.keep(before.parentElement, () => before.replaceWith(part));
      }
    }
    const now = document.getElementById("tries").dataset;
    run.textContent = now.runLabel;
    stop.hidden = !now.running;
    return Boolean(now.running);
  };

  let timer = null;
  let busy = false;
  let wanted = false;
  let watching = false;
  async function show() {
    if (busy) { wanted = true; return; }
    busy = true;
    wanted = false;
    try {
      const answer = await post(form.dataset.preview);
      const html = await answer.text();
      if (answer.ok && !wanted) {
        const runs = take(parsed(html));
        if (watching && !runs) await ended();
        watching = runs;
      }
    } catch { /* the next key, or look, tries again */ }
    busy = false;
    if (wanted) show();
    else if (watching) later(LOOK_MS);
  }
  const later = (ms) => { clearTimeout(timer); timer = setTimeout(show, ms); };

  // the button says how many requests the figures are of
  const label = () => { document.getElementById("launch").textContent = document.getElementById("figures").dataset.launch; };

  let estimated = null;
  let asked = 0;
  async function estimate() {
    const mine = ++asked;
    const answer = await post(form.dataset.estimate).catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine !== asked) return; // a newer one is under way
    for (const id of ["figures", "estimate-part"]) document.getElementById(id).replaceWith(page.getElementById(id));
    label();
    takeServices(page);
  }
  // The ways to send: all of them where another connection has others, with what was picked and typed meanwhile;
  // else only what they cost and take.
  function takeServices(page) {
    const old = document.getElementById("service-part");
    const fresh = page.getElementById("service-part");
    if (!old || !fresh) return;
    if (old.dataset.of === fresh.dataset.of) {
      for (const part of fresh.querySelectorAll("[id^=service-figures-]")) document.getElementById(part.id)?.replaceWith(part);
      return;
    }
    const former = [old, document.getElementById("deadline-part")];
    for (const part of [fresh, page.getElementById("deadline-part")]) {
      for (const before of former) window.SimpleBatchFields.keep(before, part);
      const place = document.getElementById(part.id);
      window.SimpleBatchFocus.keep(place.parentElement, () => place.replaceWith(part));
    }
  }
  const estimateLater = () => { clearTimeout(estimated); estimated = setTimeout(estimate, ESTIMATE_MS); };

  // --- a run ---
  async function ended() {
    const answer = await fetch(form.dataset.page).catch(() => null);
    if (!answer || !answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["versions", "figures", "estimate-part"]) {
      const part = page.getElementById(id);
      const old = document.getElementById(id);
      if (part && old) window.SimpleBatchFocus.keep(old.parentElement, () => old.replaceWith(part));
    }
    label();
  }
  let starting = false;
  async function start(again = false) {
    if (starting || run.disabled || !stop.hidden) return;
    say("");
    starting = true;
    try {
      const answer = await post(form.dataset.run, again ? { again: "1" } : {}, { Accept: "application/json" });
      const found = await answer.json();
      if (found.draft_version !== undefined) form.elements.draft_version.value = found.draft_version;
      if (found.message) say(found.message, answer.ok ? "info" : "danger");
      if (found.version) watching = true;
      show();
    } catch {
      say(form.dataset.failed);
    }
    starting = false;
  }
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || (button !== run && button !== stop && button.name !== "again")) return;
    event.preventDefault();
    if (button === stop) post(form.dataset.stop, {}, { Accept: "application/json" }).then(show, () => say(form.dataset.failed));
    else start(button.name === "again");
  });
  // Enter in the name of a template presses the button beside it
  form.addEventListener("keydown", (event) => {
    const own = event.key === "Enter" && event.target.matches("input") && event.target.closest("#save-as, #saved-templates");
    if (!own || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    own.querySelector("button").click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    start();
  });

  // --- what is typed ---
  const modes = () => {
    for (const part of form.querySelectorAll("[data-modes]"))
      part.hidden = !part.dataset.modes.split(" ").includes(form.elements.mode.value);
    const url = form.elements.url;
    if (url) document.getElementById("inputs-part").hidden = !url.value.endsWith("/embeddings");
  };
  const changed = ({ target, type }) => {
    modes();
    // other rows may have to be looked for in the whole file: once they are written
    if (type === "input" && target.name === "rows") return;
    if (type === "input" && ["count", "random_seed"].includes(target.name)) return later(TYPED_MS);
    if (["name", "tags", "template_name", "template_note", "skip_faulty", "saved", "version", "sheet"].includes(target.name)) return;
    if (target.type === "file") return;
    later(WAIT_MS);
    estimateLater();
  };
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  modes();
  if (document.getElementById("tries").dataset.running) { watching = true; later(LOOK_MS); }
})();
