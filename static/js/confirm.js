// Asks before what cannot be undone: the question of the button, or of its form, in a dialog of the page. Boxes
// of the form that are checked and have a name (data-name) are listed below the question.
(() => {
  const dialog = document.getElementById("confirm");
  const yes = dialog.querySelector("[value=yes]");
  const names = document.getElementById("confirm-names");
  const LISTED = 5;

  const list = (form) => {
    const chosen = [...form.elements].filter((box) => box.checked && box.dataset.name).map((box) => box.dataset.name);
    const shown = chosen.slice(0, LISTED);
    if (chosen.length > LISTED) shown.push(dialog.dataset.more.replace("{n}", chosen.length - LISTED));
    names.hidden = !shown.length;
    names.replaceChildren(...shown.map((name) => {
      const item = document.createElement("li");
      item.className = "text-break";
      item.textContent = name;
      return item;
    }));
  };

  document.addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    const question = (button && button.dataset.confirm) || form.dataset.confirm;
    if (!question || form.dataset.confirmed) {
      delete form.dataset.confirmed;
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    dialog.querySelector("p").textContent = question;
    list(form);
    yes.textContent = button ? button.textContent.trim() : yes.dataset.yes;
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      form.dataset.confirmed = "1";
      form.requestSubmit(button && button.isConnected ? button : undefined);
    }, { once: true });
    dialog.showModal();
  }, true);
})();
