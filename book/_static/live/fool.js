/* Fool the network: get the error below the threshold with something that is not the digit that it has learnt. */

"use strict";

daeLive.demo("fool", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el } = tools;
  const { digit, threshold } = model.numbers;
  const SIDE = 28;
  const PART = 0.25; // how far towards the reconstruction one step of help goes
  const STEPS = 60; // of "Let it take over", each the whole way
  const PAUSE = 120; // milliseconds between two of them

  let steps = 0; // of help, since the image was chosen
  let running = false;

  // Here a square of the field is a pixel of the image: what is drawn is what the network gets.
  const sketch = tools.sketch(SIDE, 1, () => {
    stop();
    gallery.mark(-1);
    update();
  });
  const image = sketch.ink;
  const copy = tools.pixels(SIDE, SIDE, "The reconstruction");
  const map = tools.pixels(SIDE, SIDE, "Where the two differ: the redder, the more");
  const bar = tools.gauge("error");
  const verdict = tools.status();
  const helped = el("p", { class: "live-hint" });

  const update = tools.onceAFrame(() => {
    sketch.show();
    const reconstruction = run(image);
    copy.ink(reconstruction);
    map.heat(image.map((value, i) => Math.abs(value - reconstruction[i])));
    const error = tools.meanSquare(image, reconstruction);
    const alarm = error > threshold;
    const empty = !image.some((value) => value > 0);
    Object.assign(stage.dataset, { error, alarm, steps });
    bar.show(error, threshold);
    const numbers = `error ${tools.score(error)}, threshold ${tools.score(threshold)}.`;
    const question = `Would you call this a ${digit}? If not, you have fooled the network.`;
    const hint = empty ? "The field is empty." : "Not fooled yet.";
    verdict.say(alarm ? `\u25b2 Alarm: ${numbers} ${hint}` : `No alarm: ${numbers} ${question}`, alarm);
    helped.textContent = `Help so far: ${steps} step${steps === 1 ? "" : "s"}.`;
  });

  // Moves the image towards its reconstruction: all the way for a share of 1.
  function step(share) {
    const reconstruction = run(image);
    reconstruction.forEach((value, i) => (image[i] += share * (value - image[i])));
    steps++;
  }

  function help() {
    stop();
    step(PART);
    gallery.mark(-1);
    update();
  }

  function stop() {
    running = false;
    on.textContent = "Let it take over";
    stage.dataset.running = "false";
  }

  function goOn() {
    if (running) {
      stop();
      return;
    }
    gallery.mark(-1);
    // For those who want no motion, the last image at once.
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      for (let i = 0; i < STEPS; i++) step(1);
      update();
      return;
    }
    running = true;
    on.textContent = "Stop";
    stage.dataset.running = "true";
    let left = STEPS;
    let before = -Infinity;
    const next = (now) => {
      if (!running) return;
      if (now - before >= PAUSE) {
        before = now;
        step(1);
        update();
        left--;
      }
      if (left) requestAnimationFrame(next);
      else stop();
    };
    requestAnimationFrame(next);
  }

  function begin(pixels) {
    stop();
    steps = 0;
    sketch.take(pixels);
    update();
  }

  const on = tools.button("Let it take over", goOn);
  // Images of the digit itself would raise no alarm to begin with.
  const labels = Array.from(model.arrays.sample_labels.values);
  const others = labels.map((_, i) => i).filter((i) => labels[i] !== digit);
  const gallery = tools.gallery(
    "Images to begin with",
    others.map((i) => tools.imageAt(model.arrays.samples, i)),
    {
      height: SIDE,
      width: SIDE,
      names: others.map((i) => `Test image ${i + 1}, a ${labels[i]}`),
      onchoose: (place) => begin(tools.imageAt(model.arrays.samples, others[place])),
    }
  );

  stage.append(
    el(
      "div",
      { class: "live-columns" },
      el(
        "div",
        { class: "live-draw" },
        sketch.node,
        el(
          "div",
          { class: "live-row" },
          sketch.choice(),
          tools.button("Clear", () => {
            gallery.mark(-1);
            begin(new Float64Array(SIDE * SIDE));
          })
        )
      ),
      el(
        "div",
        { class: "live-results" },
        el(
          "div",
          { class: "live-three live-two" },
          tools.panel("Reconstruction", copy.node),
          tools.panel("Error map", map.node)
        ),
        bar.node,
        ...verdict.nodes,
        el("div", { class: "live-row" }, tools.button("Let the network help", help), on),
        helped,
        el(
          "p",
          { class: "live-hint" },
          "One step of help moves every pixel a quarter of the way to its reconstruction. “Let it take over” puts the " +
            "reconstruction in the place of the image, again and again."
        )
      )
    ),
    el(
      "p",
      {},
      `A small error says that the network can copy the image. It is no proof that the image is a ${digit}.`
    ),
    sketch.help,
    el("div", { class: "live-title" }, "Begin with a test image:"),
    gallery.node
  );
  gallery.node.classList.add("live-nines");
  gallery.choose(Math.min(2, others.length - 1));
});
