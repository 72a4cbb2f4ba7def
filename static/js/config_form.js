// Test and load models without leaving the form; without this script they are ordinary submits.
(() => {
  const form = document.getElementById("config-form");
  const result = document.getElementById("config-result");
  const ask = async (button, waiting) => {
    result.className = "prewrap";
    result.textContent = waiting;
    button.disabled = true;
    try {
      const answer = await fetch(button.formAction, {
        method: "POST", body: new FormData(form), headers: { Accept: "application/json" },
      });
      return await answer.json();
    } catch {
      return { ok: false, message: form.dataset.failed };
    } finally {
      button.disabled = false;
    }
  };
  const say = (ok, text) => {
    result.className = `prewrap text-${ok ? "success" : "danger"}-emphasis`;
    result.textContent = `${ok ? "✓" : "✕"} ${text}`;
  };
  const test = document.getElementById("test");
  test.addEventListener("click", async (event) => {
    event.preventDefault();
    const found = await ask(test, form.dataset.testing);
    const took = found.latency_ms ? ` (${found.latency_ms} ms)` : "";
    say(found.ok, (found.message || found.error) + took);
  });
  const prices = document.getElementById("known-prices");
  prices.addEventListener("click", async (event) => {
    event.preventDefault();
    const found = await ask(prices, form.dataset.looking);
    for (const [name, value] of Object.entries(found.fields || {})) form.elements[name].value = value;
    say(found.ok, found.message || found.error);
  });
  const load = document.getElementById("load-models");
  load.addEventListener("click", async (event) => {
    event.preventDefault();
    const found = await ask(load, form.dataset.loading);
    const names = found.models || [];
    document.getElementById("models").replaceChildren(...names.map((name) => new Option("", name)));
    say(names.length > 0, names.length ? `${names.length} ${form.dataset.found}` : found.message || found.error);
  });
})();
