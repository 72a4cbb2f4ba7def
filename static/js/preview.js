// A try says that it waits.
(() => {
  const form = document.getElementById("launch-form");
  if (!form) return;
  form.addEventListener("submit", ({ submitter }) => {
    if (submitter && submitter.dataset.busy) document.querySelector("#estimate-part [role=status]").textContent = submitter.dataset.busy;
  });
})();
// A schema's file is shown where it can be edited.
(() => {
  const file = document.getElementById("schema_file");
  const schema = document.getElementById("schema");
  if (!file) return;
  file.addEventListener("change", async () => {
    if (!file.files.length || file.files[0].size > 200_000) return; // the server says so
    schema.value = await file.files[0].text();
    file.value = "";
  });
})();
addEventListener("htmx:oobBeforeSwap", ({ detail: { target, fragment } }) => window.SimpleBatchFields.keep(target, fragment));
