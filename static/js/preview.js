// Another API config has another price: the estimate follows the choice. A try says that it waits.
(() => {
  const form = document.getElementById("launch-form");
  const place = document.getElementById("estimate-part");
  if (!form || !place) return;
  form.elements.config.addEventListener("change", async () => {
    const url = new URL(location.href);
    url.pathname = form.dataset.preview;
    url.search = new URLSearchParams({ config: form.elements.config.value });
    const answer = await fetch(url);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...page.getElementById("estimate-part").childNodes);
  });
  form.addEventListener("submit", ({ submitter }) => {
    if (submitter && submitter.dataset.busy) place.querySelector("[role=status]").textContent = submitter.dataset.busy;
  });
})();
