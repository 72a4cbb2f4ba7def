// The bell of the navigation: how many jobs have ended since the user last looked, and the latest of them.
(() => {
  const bell = document.getElementById("bell");
  const count = document.getElementById("bell-count");
  const list = document.getElementById("bell-list");
  const words = bell.dataset;
  let unseen = 0;

  function show(number) {
    unseen = number;
    const shown = number < Number(words.most) ? String(number) : `${words.most - 1}+`;
    count.hidden = !number;
    if (count.textContent !== shown) count.textContent = shown;
    bell.setAttribute("aria-label", number ? words.some.replace("{n}", shown) : words.none);
  }

  const isOpen = () => !list.hidden;
  function close() {
    list.hidden = true;
    bell.setAttribute("aria-expanded", "false");
  }

  // the list is as the server has it; it counts as seen from then on
  async function open() {
    let page;
    try {
      const answer = await fetch(`${bell.href}?fragment=1`);
      if (!answer.ok) throw new Error(String(answer.status));
      page = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    } catch {
      page = Object.assign(document.createElement("p"), { textContent: words.notLoaded, className: "px-3 py-2 mb-0" });
    }
    const all = Object.assign(document.createElement("a"), { href: bell.href, textContent: words.none, className: "menu-item bell-all" });
    list.replaceChildren(...[...page.childNodes].map((node) => document.adoptNode(node)), all);
    list.hidden = false;
    bell.setAttribute("aria-expanded", "true");
    show(0);
  }

  bell.setAttribute("aria-expanded", "false");
  bell.setAttribute("aria-controls", list.id);
  bell.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (isOpen()) close();
    else open();
  });
  document.addEventListener("click", (event) => { if (isOpen() && !event.target.closest(".bell-part")) close(); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !isOpen()) return;
    close();
    bell.focus();
  });
  window.SimpleBatchLive.subscribe({ finished: true }, {
    onSnapshot: ({ unseen: number }) => show(number),
    onEvent: (_name, { unseen: number }) => {
      if (isOpen() && number > unseen) open();
      else show(number);
    },
  });
})();
