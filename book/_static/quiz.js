// Judges the quizzes at the ends of the chapters. Nothing is stored and nothing is sent.
"use strict";

for (const form of document.querySelectorAll(".quiz-question")) {
  const verdict = form.querySelector(".quiz-verdict");
  form.querySelector("button").hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = form.querySelector("input:checked");
    if (!chosen) {
      verdict.dataset.verdict = "";
      verdict.textContent = "Choose an answer first.";
      return;
    }
    const right = chosen.dataset.verdict === "right";
    verdict.dataset.verdict = chosen.dataset.verdict;
    // A word as well as a colour, for whoever cannot tell the colours apart; what is right begins with "Yes".
    verdict.textContent = (right ? "" : "Not quite. ") + chosen.dataset.because;
  });
  form.addEventListener("change", () => {
    verdict.textContent = "";
    verdict.dataset.verdict = "";
  });
}
