// Copies texts to the clipboard, and says so. Without HTTPS browsers have no clipboard API: then a selection
// is copied.
window.SimpleBatchCopy = (() => {
  const COPIED_MS = 2000;

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch { /* not allowed: the older way may be */ }
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    const open = document.querySelector("dialog[open]");
    (open || document.body).append(area);
    const focused = document.activeElement;
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (focused) focused.focus({ preventScroll: true });
    return copied;
  }

  // The button says for a moment that it has copied.
  function confirmed(button, copied) {
    const text = button.dataset.text || button.textContent;
    button.dataset.text = text;
    button.textContent = copied ? `✓ ${document.body.dataset.copied}` : document.body.dataset.notCopied;
    tell(button.textContent);
    setTimeout(() => { button.textContent = text; }, COPIED_MS);
  }

  // What a screen reader says: inside of an open dialog, the rest of the page is silent.
  function tell(text) {
    const place = document.querySelector("dialog[open]") || document.body;
    const said = document.getElementById("copy-news") || document.createElement("span");
    Object.assign(said, { id: "copy-news", className: "visually-hidden" });
    said.setAttribute("role", "status");
    if (said.parentElement !== place) place.append(said);
    said.textContent = text;
  }

  // the text of an element, or where that is only its beginning, the whole from the server
  async function textOf(button) {
    if (!button.dataset.copyFrom) return document.getElementById(button.dataset.copy).textContent;
    const answer = await fetch(button.dataset.copyFrom);
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      confirmed(button, await copy(await textOf(button)));
    } catch {
      confirmed(button, false);
    }
  });
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  return { copy, confirmed };
})();
