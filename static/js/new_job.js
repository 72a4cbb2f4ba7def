// Drag and drop onto the upload form.
(() => {
  const drop = document.getElementById("drop");
  const input = document.getElementById("file");
  for (const name of ["dragenter", "dragover"])
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"])
    drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    input.files = event.dataTransfer.files;
    if (input.files.length) document.getElementById("upload-form").requestSubmit();
  });
})();
