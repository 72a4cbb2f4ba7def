// A try says that it waits.
(() => {
  const form = document.getElementById("launch-form");
  if (!form) return;
  form.addEventListener("submit", ({ submitter }) => {
    if (submitter && submitter.dataset.busy) document.querySelector("#estimate-part [role=status]").textContent = submitter.dataset.busy;
  });
})();
