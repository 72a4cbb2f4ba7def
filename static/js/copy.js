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
    setTimeout(() => { button.textContent = text; }, COPIED_MS);
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) confirmed(button, await copy(document.getElementById(button.dataset.copy).textContent));
  });
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  return { copy };
})();
