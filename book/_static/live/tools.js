/* What the demos share: making elements, showing pixels, drawing charts that stay sharp, and saying results. */

(function () {
  "use strict";

  const tools = {};
  window.daeLive.tools = tools;

  // A function that does `work` with the next frame, once however often it is called until then.
  tools.onceAFrame = function (work) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        work();
      });
    };
  };

  let counter = 0;
  tools.id = (word) => `live-${word}-${++counter}`;

  // el("button", { class: "x", onclick: f, "aria-label": "…" }, "text", node, …)
  tools.el = function (tag, settings = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(settings)) {
      if (value === undefined || value === null || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value === true) node.setAttribute(key, "");
      else node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const el = tools.el;

  tools.clamp = (x, least, most) => Math.min(Math.max(x, least), most);
  tools.percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
  tools.score = (x) => (x >= 100 ? x.toFixed(0) : x >= 1 ? x.toFixed(2) : x.toFixed(4));

  tools.meanSquare = function (a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
    return sum / a.length;
  };

  // The same numbers every time, so that what is on the page can be talked about (mulberry32).
  tools.random = function (seed) {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  };

  /* ---- Saying results ---- */

  // A line that is seen at once, and read out when it has stopped changing.
  tools.status = function (settings = {}) {
    const seen = el("p", { class: "live-status", ...settings });
    const heard = el("p", { class: "live-heard", role: "status", "aria-live": "polite" });
    let timer = 0;
    const say = (text, alarm = false) => {
      if (seen.textContent !== text) seen.textContent = text;
      seen.classList.toggle("live-alarm", alarm);
      clearTimeout(timer);
      timer = setTimeout(() => (heard.textContent = text), 700);
    };
    const quietly = (text, alarm = false) => {
      if (seen.textContent !== text) seen.textContent = text;
      seen.classList.toggle("live-alarm", alarm);
    };
    return { nodes: [seen, heard], seen, say, quietly };
  };

  // What damage and repair did to an image, in words.
  tools.errors = function (before, after) {
    const start = `Mean squared error: damaged ${tools.score(before)}, repaired ${tools.score(after)}`;
    if (after <= before) return `${start}, ${tools.percent(1 - after / before)} less.`;
    return `${start}. The repair does more harm than the damage.`;
  };

  /* ---- Colours of the theme ---- */

  tools.colours = function (node) {
    const style = getComputedStyle(node);
    const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    return {
      text: read("--pst-color-text-base", "#222"),
      muted: read("--pst-color-text-muted", "#555"),
      border: read("--pst-color-border", "#bbb"),
      ground: read("--pst-color-background", "#fff"),
      a: read("--live-a", "#0072B2"),
      b: read("--live-b", "#C34E00"),
    };
  };

  const redraws = new Set();
  new MutationObserver(() => redraws.forEach((draw) => draw())).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-theme"],
  });
  // The theme can also follow the system without a change of the attribute.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((draw) => draw()));

  /* ---- Pixels ---- */

  // One dot of the canvas for each pixel; the style sheet enlarges it without smoothing.
  tools.pixels = function (height, width, label, settings = {}) {
    const node = el("canvas", {
      class: "live-pixels",
      width,
      height,
      ...(label === null ? { "aria-hidden": "true" } : { role: "img", "aria-label": label }),
      ...settings,
    });
    const context = node.getContext("2d");
    const data = context.createImageData(width, height);
    const put = () => context.putImageData(data, 0, 0);
    return {
      node,
      // Ink: 0 is paper, 1 is black.
      ink(values) {
        for (let i = 0; i < height * width; i++) {
          const grey = Math.round(255 * (1 - tools.clamp(values[i], 0, 1)));
          data.data.set([grey, grey, grey, 255], 4 * i);
        }
        put();
      },
      rgb(values) {
        for (let i = 0; i < height * width; i++) {
          for (let c = 0; c < 3; c++) data.data[4 * i + c] = 255 * tools.clamp(values[3 * i + c], 0, 1);
          data.data[4 * i + 3] = 255;
        }
        put();
      },
      // Strength between 0 and 1, from white paper to a strong red.
      heat(values) {
        for (let i = 0; i < height * width; i++) {
          const t = tools.clamp(values[i], 0, 1);
          data.data.set([255 - 60 * t, 255 - 213 * t, 255 - 255 * t, 255], 4 * i);
        }
        put();
      },
    };
  };

  tools.panel = (title, ...content) =>
    el("div", { class: "live-panel" }, el("div", { class: "live-title" }, title), ...content);

  /* ---- Charts ---- */

  // A canvas as wide as its place and `ratio` as high, drawn again when the size or the theme changes, with
  // as many dots as the screen has. `draw(context, width, height, colours)` works in pixels of the page.
  tools.chart = function (height, draw, settings = {}) {
    const node = el("canvas", { class: "live-chart", ...settings });
    const context = node.getContext("2d");
    const paint = () => {
      const width = node.clientWidth;
      if (!width) return;
      const high = typeof height === "function" ? height(width) : height;
      const dots = Math.min(devicePixelRatio || 1, 3);
      if (node.width !== Math.round(width * dots) || node.height !== Math.round(high * dots)) {
        node.width = Math.round(width * dots);
        node.height = Math.round(high * dots);
        node.style.height = `${high}px`;
      }
      context.setTransform(dots, 0, 0, dots, 0, 0);
      context.clearRect(0, 0, width, high);
      context.font = `13px ${getComputedStyle(node).fontFamily}`;
      draw(context, width, high, tools.colours(node));
    };
    const redraw = tools.onceAFrame(paint);
    new ResizeObserver(redraw).observe(node);
    redraws.add(redraw);
    return { node, redraw };
  };

  // Text with a rim in the colour of the page, so that it can be read on anything.
  tools.label = function (context, text, x, y, colours) {
    context.lineJoin = "round";
    context.lineWidth = 4;
    context.strokeStyle = colours.ground;
    context.strokeText(text, x, y);
    context.fillStyle = colours.text;
    context.fillText(text, x, y);
  };

  // Where a pointer is on a node, from 0 to 1 in both directions.
  tools.place = function (event, node) {
    const box = node.getBoundingClientRect();
    return {
      x: tools.clamp((event.clientX - box.left) / box.width, 0, 1),
      y: tools.clamp((event.clientY - box.top) / box.height, 0, 1),
    };
  };

  // Calls `move(place, event)` while a pointer is down on `node`: mouse, pen or finger.
  tools.drag = function (node, move, end = () => {}) {
    let active = null;
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || active !== null) return;
      active = event.pointerId;
      node.setPointerCapture(active);
      move(tools.place(event, node), event, true);
    });
    node.addEventListener("pointermove", (event) => {
      if (event.pointerId !== active) return;
      // The path between two frames, so that quick strokes have no gaps.
      const path = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const part of path.length ? path : [event]) move(tools.place(part, node), part, false);
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      node.addEventListener(name, (event) => {
        if (event.pointerId !== active) return;
        active = null;
        end();
      });
    }
  };

  // Calls `step(dx, dy, event)` on arrow keys; y counts downwards.
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  tools.arrows = function (node, step) {
    node.addEventListener("keydown", (event) => {
      if (!(event.key in arrows) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      // The theme turns pages with the arrow keys.
      event.stopPropagation();
      step(...arrows[event.key], event);
    });
  };

  /* ---- Controls ---- */

  tools.button = (text, onclick, settings = {}) =>
    el("button", { type: "button", class: "live-button", onclick, ...settings }, text);

  // A slider with its name before and its value behind it.
  tools.slider = function (name, { min, max, step, value, show = String, oninput }) {
    const id = tools.id("slider");
    const output = el("output", { for: id }, show(value));
    const input = el("input", { type: "range", id, min, max, step, "aria-valuetext": show(value) });
    input.value = value;
    const tell = () => {
      output.textContent = show(Number(input.value));
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => {
      oninput(Number(input.value));
      tell();
    });
    const node = el("div", { class: "live-slider" }, el("label", { for: id }, name), input, output);
    return {
      node,
      input,
      set(next) {
        input.value = next;
        tell();
      },
    };
  };

  // One of several, as radio buttons that look like a row of buttons.
  tools.choice = function (legend, options, chosen, onchange) {
    const name = tools.id("choice");
    return el(
      "fieldset",
      { class: "live-choice" },
      el("legend", {}, legend),
      ...options.map(([value, text]) => {
        const radio = el("input", { type: "radio", name, value, checked: value === chosen });
        radio.addEventListener("change", () => onchange(value));
        return el("label", {}, radio, el("span", {}, text));
      })
    );
  };

  // A row of small images to choose from. The Tab key stops once, arrow keys move on.
  tools.gallery = function (label, images, { height, width, names, onchoose, shown = "ink" }) {
    let current = 0;
    const buttons = images.map((image, index) => {
      const pixels = tools.pixels(height, width, null);
      pixels[shown](image);
      return el(
        "button",
        {
          type: "button",
          class: "live-thumb",
          "aria-label": names[index],
          "aria-pressed": "false",
          title: names[index],
          tabindex: index ? "-1" : "0",
          onclick: () => choose(index),
        },
        pixels.node
      );
    });
    const point = (index) => {
      buttons[current].tabIndex = -1;
      current = index;
      buttons[current].tabIndex = 0;
    };
    const mark = (index) => {
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    };
    const choose = (index) => {
      point(index);
      mark(index);
      onchoose(index);
    };
    const node = el("div", { class: "live-gallery", role: "group", "aria-label": label }, ...buttons);
    tools.arrows(node, (dx, dy) => {
      const columns = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length || 1;
      point(tools.clamp(current + dx + dy * columns, 0, buttons.length - 1));
      buttons[current].focus();
    });
    return { node, buttons, choose, mark };
  };

  /* ---- Images in arrays ---- */

  // Image number `index` of an array (n, height, width) of bytes, as numbers from 0 to 1.
  tools.imageAt = function (array, index) {
    const size = array.shape.slice(1).reduce((product, length) => product * length, 1);
    const image = new Float64Array(size);
    for (let i = 0; i < size; i++) image[i] = array.values[index * size + i] / 255;
    return image;
  };
  tools.allImages = (array) => Array.from({ length: array.shape[0] }, (_, i) => tools.imageAt(array, i));

  // The mean over boxes: an image of (height, width, channels) brought to another, smaller size, from the
  // part that begins at (top, left) and is (high, wide) large. Boxes need not fall on whole pixels.
  tools.shrink = function (image, [height, width, channels], [top, left, high, wide], [rows, columns]) {
    const parts = (start, length, count, limit) =>
      Array.from({ length: count }, (_, k) => {
        const a = start + (k * length) / count;
        const b = start + ((k + 1) * length) / count;
        const list = [];
        for (let i = Math.max(Math.floor(a), 0); i < Math.min(Math.ceil(b), limit); i++) {
          const share = Math.min(b, i + 1) - Math.max(a, i);
          if (share > 0) list.push([i, share / (b - a)]);
        }
        return list;
      });
    const down = parts(top, high, rows, height);
    const across = parts(left, wide, columns, width);
    const out = new Float64Array(rows * columns * channels);
    down.forEach((ys, row) =>
      across.forEach((xs, column) => {
        for (const [y, u] of ys) {
          for (const [x, v] of xs) {
            for (let c = 0; c < channels; c++) {
              out[(row * columns + column) * channels + c] += u * v * image[(y * width + x) * channels + c];
            }
          }
        }
      })
    );
    return out;
  };
})();
