// Asks for a guess before a result: see book/_ext/predict.py. Nothing is judged, stored or sent.
"use strict";

(() => {
  // A browser that can search inside a fold opens it by itself where it finds something.
  const FOLDED = "onbeforematch" in document.documentElement ? "until-found" : "";

  const unfold = (result) => {
    if (!result.hasAttribute("hidden")) return;
    result.removeAttribute("hidden");
    document.getElementById(result.dataset.skip).hidden = true;
    // What waited for room, such as boxes that scroll, measures itself anew.
    dispatchEvent(new Event("resize"));
  };

  // A place may lie in a fold inside another fold.
  const unfoldAround = (node) => {
    for (let up = node; up; up = up.parentElement) {
      if (up.classList.contains("predict-result")) unfold(up);
    }
  };

  const showTarget = () => {
    let name = "";
    try {
      name = decodeURIComponent(location.hash.slice(1));
    } catch {
      return; // no address of ours
    }
    const target = name && document.getElementById(name);
    if (!target || !target.closest(".predict-result[hidden]")) return;
    unfoldAround(target);
    target.scrollIntoView();
  };

  const ownPart = (result, selector) =>
    [...result.querySelectorAll(selector)].find(
      (node) => node.closest(".predict-result") === result && !node.closest("details, .dropdown, .toggle"),
    );

  // The label stands under the first figure, else under the first output, else where the result begins.
  const drawLabel = (result, answer) => {
    let label = document.getElementById(result.dataset.label);
    if (!label) {
      label = document.createElement("p");
      label.id = result.dataset.label;
      label.className = "predict-label";
      const shown = ownPart(result, "figure") ?? ownPart(result, ".cell_output");
      if (shown) (shown.closest(".dae-live") ?? shown).after(label);
      else result.prepend(label);
    }
    say(label, answer);
  };

  // Answers may hold formulas, so they are copied and not read as text.
  const say = (place, answer) => {
    const words = document.createElement("strong");
    words.append(...[...answer.childNodes].map((node) => node.cloneNode(true)));
    place.replaceChildren("Your prediction: ", words);
  };

  const makeForm = (box, result, number) => {
    const make = (tag, name = "") => Object.assign(document.createElement(tag), { className: name });
    const form = make("form");
    const fieldset = make("fieldset");
    const legend = make("legend");
    const chosen = make("p", "predict-choice");
    chosen.setAttribute("role", "status");
    for (const part of box.querySelectorAll(".predict-title, .predict-question")) {
      const line = make("span", part.className);
      line.append(...part.childNodes);
      legend.append(line, " ");
    }
    fieldset.append(legend);
    for (const [place, item] of [...box.querySelectorAll(".predict-answers > li")].entries()) {
      const label = make("label");
      const button = Object.assign(document.createElement("input"), { type: "radio", value: place });
      button.name = `predict-${number}`;
      button.autocomplete = "off"; // else a browser may bring an old choice back and not say so
      const words = make("span");
      for (const part of item.children) words.append(...part.childNodes);
      if (!item.children.length) words.append(...item.childNodes);
      label.append(button, " ", words);
      button.addEventListener("change", () => {
        unfold(result);
        say(chosen, words);
        drawLabel(result, words);
      });
      fieldset.append(label);
    }
    const skip = Object.assign(make("button", "predict-skip"), { type: "button", id: result.dataset.skip });
    skip.textContent = "Show the result without guessing";
    skip.setAttribute("aria-controls", result.id);
    skip.addEventListener("click", () => {
      unfold(result);
      // The button is gone, so the keyboard goes on where the result begins.
      result.focus({ preventScroll: true });
    });
    form.append(fieldset, chosen, skip);
    form.addEventListener("submit", (event) => event.preventDefault());
    box.replaceChildren(form);
  };

  for (const [place, box] of document.querySelectorAll(".predict").entries()) {
    const result = box.nextElementSibling;
    if (!result?.classList.contains("predict-result")) continue;
    const number = place + 1;
    result.id ||= `predict-result-${number}`;
    result.tabIndex = -1;
    Object.assign(result.dataset, { skip: `predict-skip-${number}`, label: `predict-label-${number}` });
    makeForm(box, result, number);
    result.setAttribute("hidden", FOLDED);
    result.addEventListener("beforematch", (event) => unfoldAround(event.target));
  }

  addEventListener("hashchange", showTarget);
  // A click on a link to the place where one is already changes no address.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.('a[href*="#"]')) setTimeout(showTarget);
  });
  showTarget();
})();
