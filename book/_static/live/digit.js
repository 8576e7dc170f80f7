/* Draw a digit: what the network sees, its copy, where they differ, the score and the alarm. */

"use strict";

daeLive.demo("digit", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el } = tools;
  const { digit, threshold, false_alarm_rate: rate } = model.numbers;
  const SIDE = 28;
  const FINE = 4; // dots of the drawing in each direction, for one pixel of the grid
  const WIDE = SIDE * FINE;

  let sample = null; // a test image, shown to the network as it is, until somebody draws on it
  const sketch = tools.sketch(SIDE, FINE, () => {
    sample = null;
    gallery.mark(-1);
    update();
  });
  const drawing = sketch.ink;

  /* The drawing, brought to the form of MNIST: the ink fits a square of 20 pixels, and its centre of mass is
     the middle of 28. */
  function normalised() {
    if (sample) return sample;
    let top = WIDE, bottom = -1, left = WIDE, right = -1;
    for (let y = 0; y < WIDE; y++) {
      for (let x = 0; x < WIDE; x++) {
        if (drawing[y * WIDE + x] < 0.1) continue;
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
        left = Math.min(left, x);
        right = Math.max(right, x);
      }
    }
    const image = new Float64Array(SIDE * SIDE);
    if (bottom < 0) return image;
    const high = bottom + 1 - top;
    const wide = right + 1 - left;
    const longer = Math.max(high, wide);
    const rows = Math.max(1, Math.round((20 * high) / longer));
    const columns = Math.max(1, Math.round((20 * wide) / longer));
    const small = tools.shrink(drawing, [WIDE, WIDE, 1], [top, left, high, wide], [rows, columns]);
    let mass = 0, down = 0, across = 0;
    small.forEach((ink, i) => {
      mass += ink;
      down += ink * (Math.floor(i / columns) + 0.5);
      across += ink * ((i % columns) + 0.5);
    });
    const y0 = Math.round(SIDE / 2 - down / mass);
    const x0 = Math.round(SIDE / 2 - across / mass);
    small.forEach((ink, i) => {
      const y = y0 + Math.floor(i / columns);
      const x = x0 + (i % columns);
      if (y >= 0 && y < SIDE && x >= 0 && x < SIDE) image[y * SIDE + x] = ink;
    });
    return image;
  }

  /* ---- What is on the page ---- */

  const seen = tools.pixels(SIDE, SIDE, "What the network sees");
  const copy = tools.pixels(SIDE, SIDE, "The copy that the network makes");
  const map = tools.pixels(SIDE, SIDE, "Where the two differ: the redder, the more");
  const verdict = tools.status();
  const bar = tools.gauge("score");

  const update = tools.onceAFrame(() => {
    sketch.show();
    const x = normalised();
    const y = run(x);
    seen.ink(x);
    copy.ink(y);
    map.heat(x.map((value, i) => Math.abs(value - y[i])));
    const empty = !x.some((value) => value > 0);
    const score = empty ? 0 : tools.meanSquare(x, y);
    stage.dataset.score = empty ? "" : score;
    stage.dataset.alarm = String(score > threshold);
    bar.show(score, threshold);
    if (empty) {
      verdict.say(`Draw a ${digit}, then something else.`);
    } else {
      const alarm = score > threshold;
      verdict.say(
        `${alarm ? "▲ Alarm" : "No alarm"}: score ${tools.score(score)}, threshold ${tools.score(threshold)}.`,
        alarm
      );
    }
  });

  function clear() {
    drawing.fill(0);
    sample = null;
    gallery.mark(-1);
    update();
  }

  function take(index) {
    sample = tools.imageAt(model.arrays.samples, index);
    sketch.take(sample);
    update();
  }

  const labels = Array.from(model.arrays.sample_labels.values);
  const gallery = tools.gallery("Test images to choose from", tools.allImages(model.arrays.samples), {
    height: SIDE,
    width: SIDE,
    names: labels.map((label, i) => `Test image ${i + 1}, a ${label}`),
    onchoose: take,
  });

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
          tools.button("Clear", clear)
        )
      ),
      el(
        "div",
        { class: "live-results" },
        el(
          "div",
          { class: "live-three" },
          tools.panel("Seen", seen.node),
          tools.panel("Copy", copy.node),
          tools.panel("Difference", map.node)
        ),
        bar.node,
        ...verdict.nodes,
        el(
          "p",
          { class: "live-hint" },
          `The network has learnt from the digit ${digit} alone. The threshold was set so that about ${tools.percent(rate)} of the ${digit}s in the collection raise a false alarm.`
        )
      )
    ),
    sketch.help,
    el("div", { class: "live-title" }, "Or choose a test image:"),
    gallery.node
  );
  gallery.node.classList.add("live-tens");
  // Begin with a digit that raises no alarm.
  const calm = labels.findIndex((label, i) => {
    if (label !== digit) return false;
    const x = tools.imageAt(model.arrays.samples, i);
    return tools.meanSquare(x, run(x)) <= threshold;
  });
  gallery.choose(calm < 0 ? Math.max(labels.indexOf(digit), 0) : calm);
});
