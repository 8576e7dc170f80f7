/* Damage to a garment, and the garment that the network makes of it. */

"use strict";

daeLive.demo("clothes", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const SIDE = 28;
  const names = model.texts.class_names.split("|");
  const labels = Array.from(model.arrays.sample_labels.values, (label) => names[label]);
  const images = tools.allImages(model.arrays.samples);

  let intact = images[0];
  let kind = "square";
  const strength = { noise: 0.3, erase: 0.4, square: 10 };
  const corner = { x: 9, y: 9 };
  let seed = 1;
  let normal = null;
  let uniform = null;

  function newChance() {
    const random = tools.random(seed++);
    normal = Float64Array.from({ length: SIDE * SIDE }, random.normal);
    uniform = Float64Array.from({ length: SIDE * SIDE }, random.uniform);
  }

  function damaged() {
    if (kind === "noise") return intact.map((x, i) => clamp(x + strength.noise * normal[i], 0, 1));
    if (kind === "erase") return intact.map((x, i) => (uniform[i] < strength.erase ? 0 : x));
    return intact.map((x, i) => {
      const across = (i % SIDE) - corner.x;
      const down = Math.floor(i / SIDE) - corner.y;
      return across >= 0 && across < strength.square && down >= 0 && down < strength.square ? 0 : x;
    });
  }

  const help = el(
    "p",
    { class: "live-hint", id: tools.id("help") },
    "Drag the square over the damaged image, or move it with the arrow keys."
  );
  const canvases = {
    intact: tools.pixels(SIDE, SIDE, "The intact image"),
    damaged: tools.pixels(SIDE, SIDE, "The damaged image; arrow keys move the square", {
      role: "application",
      "aria-describedby": help.id,
      tabindex: "0",
    }),
    repaired: tools.pixels(SIDE, SIDE, "What the network makes of it"),
  };
  const frame = el("div", { class: "live-square", "aria-hidden": "true" });
  const status = tools.status();

  const update = tools.onceAFrame(() => {
    const x = damaged();
    const y = run(x);
    canvases.intact.ink(intact);
    canvases.damaged.ink(x);
    canvases.repaired.ink(y);
    const side = strength.square;
    frame.hidden = help.hidden = kind !== "square";
    canvases.damaged.node.classList.toggle("live-map", kind === "square");
    canvases.damaged.node.tabIndex = kind === "square" ? 0 : -1;
    Object.assign(frame.style, {
      left: `${(100 * corner.x) / SIDE}%`,
      top: `${(100 * corner.y) / SIDE}%`,
      width: `${(100 * side) / SIDE}%`,
      height: `${(100 * side) / SIDE}%`,
    });
    const before = tools.meanSquare(intact, x);
    const after = tools.meanSquare(intact, y);
    Object.assign(stage.dataset, { before, after, corner: `${corner.x},${corner.y}` });
    status.say(tools.errors(before, after));
  });

  function place(x, y) {
    corner.x = clamp(Math.round(x), 0, SIDE - strength.square);
    corner.y = clamp(Math.round(y), 0, SIDE - strength.square);
    update();
  }

  tools.drag(canvases.damaged.node, ({ x, y }) => {
    if (kind === "square") place(x * SIDE - strength.square / 2, y * SIDE - strength.square / 2);
  });
  tools.arrows(canvases.damaged.node, (dx, dy) => {
    if (kind === "square") place(corner.x + dx, corner.y + dy);
  });

  const control = {
    noise: tools.slider("Standard deviation", {
      min: 0, max: 0.6, step: 0.02, value: strength.noise,
      show: (x) => x.toFixed(2),
      oninput: (x) => ((strength.noise = x), update()),
    }),
    erase: tools.slider("Share erased", {
      min: 0, max: 0.7, step: 0.02, value: strength.erase,
      show: (x) => tools.percent(x),
      oninput: (x) => ((strength.erase = x), update()),
    }),
    square: tools.slider("Side of the square", {
      min: 2, max: 18, step: 1, value: strength.square,
      show: (x) => `${x} px`,
      oninput: (x) => {
        strength.square = x;
        place(corner.x, corner.y);
      },
    }),
  };
  const again = tools.button("Draw again by chance", () => {
    newChance();
    update();
  });
  function choose(next) {
    kind = next;
    for (const [key, slider] of Object.entries(control)) slider.node.hidden = key !== kind;
    again.hidden = kind === "square";
    update();
  }

  const gallery = tools.gallery("Garments to choose from", images, {
    height: SIDE,
    width: SIDE,
    names: labels.map((label, i) => `Image ${i + 1}: ${label}`),
    onchoose: (index) => {
      intact = images[index];
      update();
    },
  });

  stage.append(
    el(
      "div",
      { class: "live-three live-first" },
      tools.panel("Intact", canvases.intact.node),
      tools.panel("Damaged", el("div", { class: "live-field-frame" }, canvases.damaged.node, frame)),
      tools.panel("Repaired", canvases.repaired.node)
    ),
    help,
    ...status.nodes,
    el(
      "div",
      { class: "live-row" },
      tools.choice(
        "Damage",
        [["square", "Covered square"], ["erase", "Erased pixels"], ["noise", "Noise"]],
        kind,
        choose
      )
    ),
    el("div", { class: "live-row" }, control.noise.node, control.erase.node, control.square.node, again),
    gallery.node
  );
  newChance();
  choose(kind);
  gallery.choose(0);
});
