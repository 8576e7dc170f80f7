/* Noise on a colour image, and the image that the network makes of it. */

"use strict";

daeLive.demo("photo", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const [rows, columns] = model.inputShape;
  const FINE = 8;
  const trained = model.numbers.noise || model.numbers.deviation || 0.1;

  /* ---- Images that are drawn here, as functions of (x, y) between 0 and 1 ---- */

  const mix = (a, b, t) => a.map((from, c) => from + (b[c] - from) * t);
  const inside = (x, y, left, top, right, bottom) => x > left && x < right && y > top && y < bottom;

  function ball(x, y) {
    if (Math.hypot(x - 0.45, y - 0.55) < 0.24) {
      return (8 * (x + y)) % 2 < 1 ? [0.85, 0.15, 0.15] : [0.9, 0.88, 0.85];
    }
    if (y > 0.68 + 0.04 * Math.sin(7 * x)) return [0.85, 0.75, 0.5];
    return [0.35 + 0.5 * y, 0.6 + 0.3 * y, 0.95 - 0.1 * y];
  }

  function house(x, y) {
    if (inside(x, y, 0.5, 0.64, 0.6, 0.86)) return [0.35, 0.2, 0.12];
    if (inside(x, y, 0.3, 0.58, 0.42, 0.7) || inside(x, y, 0.66, 0.58, 0.76, 0.7)) return [0.98, 0.85, 0.4];
    if (inside(x, y, 0.24, 0.5, 0.82, 0.86)) return [0.78, 0.72, 0.66];
    if (y > 0.26 && y < 0.5 && Math.abs(x - 0.53) < 1.4 * (y - 0.26) + 0.02) return [0.55, 0.2, 0.18];
    if (y > 0.84 + 0.02 * Math.cos(9 * x)) return [0.2, 0.38, 0.18];
    if (Math.hypot(x - 0.14, y - 0.18) < 0.08) return [0.98, 0.93, 0.75];
    return mix([0.12, 0.15, 0.4], [0.95, 0.55, 0.35], clamp(1.25 * y, 0, 1));
  }

  function boat(x, y) {
    const sea = 0.62 + 0.012 * Math.sin(30 * x);
    if (y > 0.62 && y < 0.74 && x > 0.24 + 0.8 * (y - 0.62) && x < 0.82 - 0.8 * (y - 0.62)) return [0.6, 0.22, 0.15];
    if (Math.abs(x - 0.5) < 0.012 && y > 0.14 && y < 0.64) return [0.25, 0.18, 0.12];
    if (x > 0.52 && y > 0.16 && y < 0.58 && x - 0.52 < 0.62 * (y - 0.16)) return [0.96, 0.95, 0.92];
    if (x < 0.48 && y > 0.24 && y < 0.58 && 0.48 - x < 0.55 * (y - 0.24)) return [0.9, 0.82, 0.6];
    if (y > sea) return mix([0.12, 0.42, 0.55], [0.05, 0.2, 0.35], (y - sea) / 0.4);
    return mix([0.5, 0.72, 0.9], [0.88, 0.92, 0.95], y / 0.62);
  }

  function drawn(scene) {
    const high = rows * FINE;
    const wide = columns * FINE;
    const image = new Float64Array(high * wide * 3);
    for (let i = 0; i < high; i++) {
      for (let j = 0; j < wide; j++) image.set(scene((j + 0.5) / wide, (i + 0.5) / high), (i * wide + j) * 3);
    }
    return tools.shrink(image, [high, wide, 3], [0, 0, high, wide], [rows, columns]);
  }

  const scenes = { ball: [ball, "Ball"], house: [house, "House"], boat: [boat, "Boat"] };

  /* ---- State ---- */

  let intact = drawn(ball);
  let deviation = trained;
  let seed = 1;
  let noise = null;

  function newNoise() {
    const random = tools.random(seed++);
    noise = Float64Array.from({ length: intact.length }, random.normal);
  }

  const canvases = {
    intact: tools.pixels(rows, columns, "The intact image"),
    noisy: tools.pixels(rows, columns, "The image with noise"),
    repaired: tools.pixels(rows, columns, "What the network makes of it"),
  };
  const status = tools.status();

  const update = tools.onceAFrame(() => {
    const noisy = intact.map((x, i) => clamp(x + deviation * noise[i], 0, 1));
    const repaired = run(noisy);
    canvases.intact.rgb(intact);
    canvases.noisy.rgb(noisy);
    canvases.repaired.rgb(repaired);
    const before = tools.meanSquare(intact, noisy);
    const after = tools.meanSquare(intact, repaired);
    Object.assign(stage.dataset, { before, after });
    status.say(`${tools.errors(before, after)}`);
  });

  const message = el("p", { class: "live-hint", role: "status" });

  async function own(file) {
    if (!file) return;
    let picture;
    try {
      // Decoded here, by the browser; the file goes nowhere.
      picture = await createImageBitmap(file);
    } catch {
      message.textContent = `${file.name} is not a picture that this browser can read.`;
      return;
    }
    const side = Math.min(picture.width, picture.height);
    const wide = columns * FINE;
    const high = rows * FINE;
    const canvas = el("canvas", { width: wide, height: high });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, wide, high);
    context.imageSmoothingQuality = "high";
    context.drawImage(
      picture,
      (picture.width - side) / 2,
      (picture.height - side) / 2,
      side,
      side,
      0,
      0,
      wide,
      high
    );
    picture.close();
    const dots = context.getImageData(0, 0, wide, high).data;
    const image = new Float64Array(high * wide * 3);
    for (let i = 0; i < high * wide; i++) {
      for (let c = 0; c < 3; c++) image[3 * i + c] = dots[4 * i + c] / 255;
    }
    intact = tools.shrink(image, [high, wide, 3], [0, 0, high, wide], [rows, columns]);
    scenesChoice.querySelectorAll("input").forEach((radio) => (radio.checked = false));
    message.textContent = `Yours: the middle of ${file.name}, ${columns} by ${rows} pixels.`;
    stage.dataset.own = "true";
    update();
  }

  const file = el("input", {
    type: "file",
    accept: "image/*",
    id: tools.id("file"),
    onchange: () => own(file.files[0]),
  });
  stage.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("live-drop");
  });
  stage.addEventListener("dragleave", () => stage.classList.remove("live-drop"));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("live-drop");
    own(event.dataTransfer.files[0]);
  });

  const scenesChoice = tools.choice(
    "Image",
    Object.entries(scenes).map(([key, [, name]]) => [key, name]),
    "ball",
    (key) => {
      intact = drawn(scenes[key][0]);
      message.textContent = "";
      file.value = "";
      delete stage.dataset.own;
      update();
    }
  );

  stage.append(
    el(
      "div",
      { class: "live-three" },
      tools.panel("Intact", canvases.intact.node),
      tools.panel("Noisy", canvases.noisy.node),
      tools.panel("Repaired", canvases.repaired.node)
    ),
    ...status.nodes,
    el(
      "div",
      { class: "live-row" },
      tools.slider("Noise", {
        min: 0,
        max: 0.4,
        step: 0.01,
        value: deviation,
        show: (x) => x.toFixed(2),
        oninput: (x) => {
          deviation = x;
          update();
        },
      }).node,
      tools.button("New noise", () => {
        newNoise();
        update();
      })
    ),
    el("div", { class: "live-row" }, scenesChoice),
    el(
      "div",
      { class: "live-row" },
      el("label", { for: file.id }, "Or your own picture, which stays on your machine:"),
      file
    ),
    message,
    el(
      "p",
      { class: "live-hint" },
      `Noise is its standard deviation, where black is 0 and white is 1. The network was trained at ${trained}.`
    )
  );
  newNoise();
  update();
});
