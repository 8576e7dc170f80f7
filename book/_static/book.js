/* What scrolls sideways can be reached with the keyboard: the theme sees to that once, for the width at the start. */
(() => {
  const BOXES = "article :is(pre, .output, .pst-scrollable-table-container, div.math, mjx-container)";
  const update = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible";
      if (scrolls) box.tabIndex = 0;
      else if (box.getAttribute("tabindex") === "0") box.removeAttribute("tabindex");
    }
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      update();
    });
  };
  addEventListener("load", soon);
  addEventListener("resize", soon);
  // What was folded up has no width before it is opened.
  document.addEventListener("toggle", soon, true);
  document.addEventListener("click", soon);
})();

/* One button at the top of a chapter hides its code, for a reader who wants to follow the argument first. */
(() => {
  const article = document.querySelector("article.bd-article");
  // Solutions are unfolded one by one, and many are nothing but code: they keep it.
  if (!article?.querySelector(".cell_input:not(.solution *)")) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "code-switch" });
  const show = (hidden) => {
    article.classList.toggle("without-code", hidden);
    button.setAttribute("aria-pressed", hidden);
    button.textContent = hidden ? "Show code" : "Hide code";
  };
  button.addEventListener("click", () => show(button.getAttribute("aria-pressed") === "false"));
  show(false);
  (article.querySelector(".chapter-times") ?? article.querySelector("h1")).after(button);
})();
