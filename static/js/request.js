// One request: highlighted JSON and code.
(() => {
  const highlight = () => {
    for (const code of document.querySelectorAll("code.language-json, .markdown pre code"))
      if (code.textContent.length < 200000 && !code.dataset.highlighted) hljs.highlightElement(code);
  };
  highlight();
  document.addEventListener("requestchange", highlight);
})();
