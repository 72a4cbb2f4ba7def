// The icon of the tab while the page of a job is open: a ring with its progress, until the job has ended.
(() => {
  const head = document.getElementById("job");
  const icon = document.querySelector("link[rel=icon]");
  const rest = icon.href;
  const ENDED = ["completed", "failed", "cancelled", "expired"];
  const COLOURS = { done: "#198754", failed: "#c9302c", paused: "#d39e00", left: "#868e96" };
  const [SIZE, WIDTH] = [64, 14]; // px
  const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
  const pen = canvas.getContext("2d");
  let drawn = "";

  function arc(from, to, colour) {
    if (to <= from) return;
    pen.strokeStyle = colour;
    pen.beginPath();
    pen.arc(SIZE / 2, SIZE / 2, (SIZE - WIDTH) / 2, (from - 0.25) * 2 * Math.PI, (to - 0.25) * 2 * Math.PI);
    pen.stroke();
  }

  // two bars in the middle: the job is paused, also for readers who see no colours
  function bars() {
    pen.fillStyle = COLOURS.paused;
    for (const x of [0.38, 0.54]) pen.fillRect(SIZE * x, SIZE * 0.34, SIZE * 0.09, SIZE * 0.32);
  }

  function draw(done, failed, paused) {
    pen.clearRect(0, 0, SIZE, SIZE);
    pen.lineWidth = WIDTH;
    arc(0, 1, COLOURS.left);
    arc(0, done, paused ? COLOURS.paused : COLOURS.done);
    arc(done, done + failed, COLOURS.failed);
    if (paused) bars();
    icon.type = "image/png";
    icon.href = canvas.toDataURL();
  }

  function reset() {
    if (!drawn) return;
    drawn = "";
    icon.type = "image/svg+xml";
    icon.href = rest;
  }

  function show({ status, counts }) {
    if (ENDED.includes(status)) return reset();
    const percent = (n) => (counts.total ? Math.floor((100 * n) / counts.total) : 0);
    const [done, failed, paused] = [percent(counts.succeeded), percent(counts.failed), status === "paused"];
    const wanted = [done, failed, paused].join(" ");
    if (wanted === drawn) return; // a browser loads the icon again each time
    drawn = wanted;
    draw(done / 100, failed / 100, paused);
  }

  head.addEventListener("jobfigures", ({ detail }) => show(detail));
})();
