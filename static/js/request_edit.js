// The editor of a request: the caret at the mistake that the server found, and whether the text is JSON as one types.
// The server decides.
window.SimpleBatchEdit = (() => {
  const DELAY_MS = 400;
  const field = () => document.getElementById("edit-body");

  function begin() {
    const text = field();
    if (!text || text.dataset.begun) return;
    text.dataset.begun = "1";
    let timer = null;
    text.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => check(text), DELAY_MS);
    });
    if (text.value !== text.defaultValue) check(text); // typed before this script was there
    if (text.dataset.at) show(text, Number(text.dataset.at));
  }

  // the caret at a character, in the middle of what is seen of the text
  function show(text, at) {
    text.focus();
    const end = Math.min(text.value.length, at + 1);
    text.setSelectionRange(Math.min(at, text.value.length), end);
    const lines = text.value.slice(0, at).split("\n").length - 1;
    const height = text.scrollHeight / Math.max(1, text.value.split("\n").length);
    text.scrollTop = Math.max(0, lines * height - text.clientHeight / 2);
  }

  function check(text) {
    const words = text.dataset;
    const note = document.getElementById("edit-check");
    let told = "";
    try {
      JSON.parse(text.value);
    } catch (error) {
      const place = placeOf(error.message, text.value);
      told = place ? words.wordPlace.replace("{line}", place.line).replace("{column}", place.column) : words.wordWrong;
    }
    if (note.textContent !== told) note.textContent = told;
    text.classList.toggle("is-invalid", Boolean(told));
    text.setAttribute("aria-invalid", String(Boolean(told)));
  }

  // browsers name the position, or line and column, or neither
  function placeOf(message, text) {
    const both = /line (\d+) column (\d+)/.exec(message);
    if (both) return { line: both[1], column: both[2] };
    const position = /position (\d+)/.exec(message);
    const at = position ? Number(position[1]) : /end of/i.test(message) ? text.length : null;
    if (at === null) return null;
    const before = text.slice(0, at).split("\n");
    return { line: before.length, column: before[before.length - 1].length + 1 };
  }

  begin();
  return { begin };
})();
