// Asks before what cannot be undone: the question of the button, or of its form, in a dialog of the page.
(() => {
  const dialog = document.getElementById("confirm");
  const yes = dialog.querySelector("[value=yes]");
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
