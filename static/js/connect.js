// Loads the models once there is a key, and shows the prices of a model; without this script both are
// done by the buttons.
(() => {
  const form = document.getElementById("connect-form");
  const status = document.getElementById("connect-models");
  const prices = document.getElementById("connect-prices");
  const suggested = document.getElementById("connect-suggested");
  const { key, model } = form.elements;
  let loading = 0;
  const post = async (url) => {
    const answer = await fetch(url, {
      method: "POST", body: new FormData(form), headers: { Accept: "application/json" },
    });
    return answer.json();
  };
  const say = (ok, text) => {
    status.className = `form-text${ok ? "" : " text-danger-emphasis"}`;
    status.textContent = text;
  };
  const loadModels = async () => {
    const mine = ++loading;
    say(true, form.dataset.loading);
    let found;
    try {
      found = await post(form.dataset.models);
    } catch {
      found = { models: [], message: form.dataset.failed };
    }
    if (mine !== loading) return; // the key has changed since
    suggested.hidden = !found.suggested;
    suggested.querySelector("span").textContent = found.question || "";
    suggested.querySelector("button").value = found.suggested || "";
    const names = found.models || [];
    document.getElementById("models").replaceChildren(...names.map((name) => new Option("", name)));
    say(names.length > 0, names.length ? `${names.length} ${form.dataset.found}` : found.message || found.error);
    if (names.length && !model.value) {
      model.value = names[0];
      showPrices();
    }
  };
  const showPrices = async () => {
    try {
      prices.textContent = (await post(form.dataset.prices)).message || "";
    } catch {
      prices.textContent = "";
    }
  };
  key.addEventListener("change", () => key.value && loadModels());
  for (const name of ["base_url", "region"]) {
    form.elements[name]?.addEventListener("change", () => {
      if (key.value || "open" in form.dataset) loadModels();
      showPrices();
    });
  }
  model.addEventListener("change", showPrices);
  suggested.querySelector("button").addEventListener("click", (event) => {
    event.preventDefault(); // the page would come back without the key
    form.elements.base_url.value = event.target.value;
    loadModels();
    showPrices();
  });
  document.getElementById("load-models").addEventListener("click", (event) => {
    event.preventDefault();
    loadModels();
  });
  if ("open" in form.dataset && form.elements.base_url?.value) loadModels();
})();
