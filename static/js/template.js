// A column's chip puts its field where the caret is, in the editor that was used last.
(() => {
  const form = document.getElementById("template-form") || document.getElementById("workbench-form");
  let editor = document.getElementById("user");
  if (!editor) return; // no template belongs to the upload
  form.addEventListener("focusin", ({ target }) => {
    if (target.matches("textarea")) editor = target;
  });
  for (const chip of form.querySelectorAll("[data-insert]")) {
    chip.disabled = false;
    chip.addEventListener("click", () => {
      editor.focus();
      editor.setRangeText(chip.dataset.insert, editor.selectionStart, editor.selectionEnd, "end");
      editor.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }
})();
