// A second click on “Continue” uploads nothing again.
(() => {
  let sent = false;
  document.getElementById("upload-form").addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });
})();
// Drag and drop onto the upload form: a file, and the images that it names.
(() => {
  const drop = document.getElementById("drop");
  const input = document.getElementById("file");
  const give = (field, files) => {
    const taken = new DataTransfer();
    for (const file of files) taken.items.add(file);
    field.files = taken.files;
  };
  for (const name of ["dragenter", "dragover"])
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"])
    drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    const pictures = files.filter((file) => file.type.startsWith("image/"));
    if (pictures.length) give(document.getElementById("images"), pictures);
    give(input, files.filter((file) => !pictures.includes(file)).slice(0, 1));
    if (input.files.length) document.getElementById("upload-form").requestSubmit();
  });
})();
