// One request: highlighted JSON, j and k walk through the filter.
(() => {
  for (const code of document.querySelectorAll("code.language-json")) {
    if (code.textContent.length < 200000) hljs.highlightElement(code);
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const link = document.querySelector({ j: "#walk [rel=next]", k: "#walk [rel=prev]" }[event.key] || "none");
    if (link) link.click();
  });
})();
