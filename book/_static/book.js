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
