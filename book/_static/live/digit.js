/* Draw a digit: what the network sees, its copy, where they differ, the score and the alarm. */

"use strict";

daeLive.demo("digit", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const { digit, threshold, false_alarm_rate: rate } = model.numbers;
  const SIDE = 28;
  const FINE = 4; // dots of the drawing in each direction, for one pixel of the grid
  const WIDE = SIDE * FINE;
  const PEN = 1.15 * FINE;

  const drawing = new Float64Array(WIDE * WIDE);
  let sample = null; // a test image, shown to the network as it is, until somebody draws on it
  let erasing = false;

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

  function dot(x, y) {
    sample = null;
    const value = erasing ? 0 : 1;
    const radius = erasing ? 1.6 * PEN : PEN;
    for (let row = Math.floor(y - radius - 1); row <= y + radius + 1; row++) {
      for (let column = Math.floor(x - radius - 1); column <= x + radius + 1; column++) {
        if (row < 0 || row >= WIDE || column < 0 || column >= WIDE) continue;
        const inside = clamp(radius + 0.5 - Math.hypot(row + 0.5 - y, column + 0.5 - x), 0, 1);
        const place = row * WIDE + column;
        drawing[place] = erasing
          ? Math.min(drawing[place], 1 - inside)
          : Math.max(drawing[place], inside * value);
      }
    }
  }

  function line(from, to) {
    const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / 2));
    for (let i = 1; i <= steps; i++) {
      dot(from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps);
    }
  }

  /* ---- What is on the page ---- */

  const help = el(
    "p",
    { class: "live-hint", id: tools.id("help") },
    "Draw with the mouse or a finger. With the keyboard: arrow keys move the square, Space puts the pen down and lifts it, Delete rubs out."
  );
  const field = tools.pixels(WIDE, WIDE, `Drawing field of ${SIDE} by ${SIDE} squares`, {
    role: "application",
    tabindex: "0",
    "aria-describedby": help.id,
    class: "live-pixels live-field",
  });
  const cursor = el("div", { class: "live-cursor", "aria-hidden": "true" });
  const seen = tools.pixels(SIDE, SIDE, "What the network sees");
  const copy = tools.pixels(SIDE, SIDE, "The copy that the network makes");
  const map = tools.pixels(SIDE, SIDE, "Where the two differ: the redder, the more");
  const verdict = tools.status();
  const bar = tools.chart(46, drawBar, { role: "img", "aria-label": "Score and threshold" });
  let score = 0;

  function drawBar(context, width, height, colours) {
    // The threshold stands at two fifths; scores beyond the end stop there.
    const at = (value) => Math.min(value / (2.5 * threshold), 1) * (width - 2) + 1;
    context.fillStyle = colours.border;
    context.fillRect(1, 6, width - 2, 16);
    context.fillStyle = score > threshold ? colours.b : colours.a;
    context.fillRect(1, 6, at(score) - 1, 16);
    context.fillStyle = colours.text;
    context.fillRect(at(threshold) - 1, 1, 2, 26);
    context.textAlign = "center";
    context.fillText("threshold", at(threshold), 42);
    context.textAlign = "left";
    context.fillText("score", 1, 42);
  }

  const update = tools.onceAFrame(() => {
    field.ink(drawing);
    const x = normalised();
    const y = run(x);
    seen.ink(x);
    copy.ink(y);
    map.heat(x.map((value, i) => Math.abs(value - y[i])));
    const empty = !x.some((value) => value > 0);
    score = empty ? 0 : tools.meanSquare(x, y);
    stage.dataset.score = empty ? "" : score;
    stage.dataset.alarm = String(score > threshold);
    bar.redraw();
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

  let last = null;
  tools.drag(
    field.node,
    ({ x, y }) => {
      const to = { x: x * WIDE, y: y * WIDE };
      if (last) line(last, to);
      else dot(to.x, to.y);
      last = to;
      gallery.mark(-1);
      update();
    },
    () => (last = null)
  );

  const spot = { x: SIDE / 2, y: 6 };
  let down = false;
  function showCursor() {
    cursor.style.left = `${(100 * spot.x) / SIDE}%`;
    cursor.style.top = `${(100 * spot.y) / SIDE}%`;
    cursor.classList.toggle("live-down", down);
  }
  const middle = () => ({ x: (spot.x + 0.5) * FINE, y: (spot.y + 0.5) * FINE });
  tools.arrows(field.node, (dx, dy) => {
    const from = middle();
    spot.x = clamp(spot.x + dx, 0, SIDE - 1);
    spot.y = clamp(spot.y + dy, 0, SIDE - 1);
    if (down) {
      line(from, middle());
      gallery.mark(-1);
      update();
    }
    showCursor();
  });
  field.node.addEventListener("keydown", (event) => {
    const here = middle();
    if (event.key === " " || event.key === "Enter") {
      down = !down;
      if (down) dot(here.x, here.y);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      const before = erasing;
      erasing = true;
      dot(here.x, here.y);
      erasing = before;
    } else if (event.key === "Escape") {
      down = false;
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    gallery.mark(-1);
    showCursor();
    update();
  });
  field.node.addEventListener("blur", () => {
    down = false;
    showCursor();
  });

  function clear() {
    drawing.fill(0);
    sample = null;
    gallery.mark(-1);
    update();
  }

  function take(index) {
    sample = tools.imageAt(model.arrays.samples, index);
    for (let y = 0; y < WIDE; y++) {
      for (let x = 0; x < WIDE; x++) {
        drawing[y * WIDE + x] = sample[Math.floor(y / FINE) * SIDE + Math.floor(x / FINE)];
      }
    }
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
        el("div", { class: "live-field-frame" }, field.node, cursor),
        el(
          "div",
          { class: "live-row" },
          tools.choice("What the pen does", [["draw", "Draw"], ["rub", "Rub out"]], "draw", (value) => {
            erasing = value === "rub";
          }),
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
    help,
    el("div", { class: "live-title" }, "Or choose a test image:"),
    gallery.node
  );
  gallery.node.classList.add("live-tens");
  showCursor();
  // Begin with a digit that raises no alarm.
  const calm = labels.findIndex((label, i) => {
    if (label !== digit) return false;
    const x = tools.imageAt(model.arrays.samples, i);
    return tools.meanSquare(x, run(x)) <= threshold;
  });
  gallery.choose(calm < 0 ? Math.max(labels.indexOf(digit), 0) : calm);
});
