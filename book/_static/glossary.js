// Shows the meaning of a word of the glossary while its link is pointed at or has the focus. One box serves all
// links; Escape hides it, and it stays while the pointer is on it.
(() => {
  "use strict";
  let box = null;
  let owner = null;
  let timer = 0;

  function make() {
    box = document.createElement("div");
    box.id = "glossary-meaning";
    box.setAttribute("role", "tooltip");
    box.hidden = true;
    box.addEventListener("pointerenter", () => clearTimeout(timer));
    box.addEventListener("pointerleave", later);
    document.body.append(box);
  }

  function show(link) {
    clearTimeout(timer);
    if (!box) make();
    if (owner && owner !== link) owner.removeAttribute("aria-describedby");
    owner = link;
    box.textContent = link.dataset.meaning;
    box.hidden = false;
    link.setAttribute("aria-describedby", box.id);
    place();
  }

  function place() {
    // The first piece of a link that is broken over two lines.
    const at = owner.getClientRects()[0];
    const wide = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(at.left, wide - box.offsetWidth - 8));
    const below = at.bottom + 6;
    const fits = below + box.offsetHeight < window.innerHeight;
    box.style.left = `${left}px`;
    box.style.top = `${fits ? below : Math.max(8, at.top - box.offsetHeight - 6)}px`;
  }

  function hide() {
    clearTimeout(timer);
    if (owner) owner.removeAttribute("aria-describedby");
    owner = null;
    if (box) box.hidden = true;
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(hide, 250);
  }

  const term = (event) => event.target.closest && event.target.closest("a.glossary-term");
  document.addEventListener("pointerover", (event) => {
    const link = event.pointerType === "touch" ? null : term(event);
    if (link) show(link);
  });
  document.addEventListener("pointerout", (event) => term(event) && later());
  document.addEventListener("focusin", (event) => (term(event) ? show(term(event)) : hide()));
  document.addEventListener("focusout", (event) => term(event) && later());
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  window.addEventListener("scroll", () => owner && place(), { passive: true });
  window.addEventListener("resize", () => owner && place());
})();
