// One request: highlighted JSON and code.
for (const code of document.querySelectorAll("code.language-json, .markdown pre code")) {
  if (code.textContent.length < 200000) hljs.highlightElement(code);
}
