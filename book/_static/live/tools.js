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

  // A bar for a score beside the threshold, which stands at two fifths; scores beyond the end stop there.
  tools.gauge = function (word) {
    let score = 0;
    let threshold = 1;
    const chart = tools.chart(
      46,
      (context, width, height, colours) => {
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
        context.fillText(word, 1, 42);
      },
      { role: "img", "aria-label": `${word[0].toUpperCase()}${word.slice(1)} and threshold` }
    );
    return {
      node: chart.node,
      show(value, limit) {
        score = value;
        threshold = limit;
        chart.redraw();
      },
    };
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

  /* ---- A field to draw in ---- */

  // A field of side x side squares with `fine` dots for each square in each direction. `ink` holds the dots, from
  // 0 for paper to 1; `changed()` is called after each stroke. Mouse, finger and keyboard draw.
  tools.sketch = function (side, fine, changed) {
    const wide = side * fine;
    const pen = 1.15 * fine;
    const ink = new Float64Array(wide * wide);
    let erasing = false;

    function dot(x, y, rub = erasing) {
      const radius = rub ? 1.6 * pen : pen;
      for (let row = Math.floor(y - radius - 1); row <= y + radius + 1; row++) {
        for (let column = Math.floor(x - radius - 1); column <= x + radius + 1; column++) {
          if (row < 0 || row >= wide || column < 0 || column >= wide) continue;
          const inside = tools.clamp(radius + 0.5 - Math.hypot(row + 0.5 - y, column + 0.5 - x), 0, 1);
          const place = row * wide + column;
          ink[place] = rub ? Math.min(ink[place], 1 - inside) : Math.max(ink[place], inside);
        }
      }
      changed();
    }

    function line(from, to) {
      const steps = Math.max(1, Math.ceil((2 * Math.hypot(to.x - from.x, to.y - from.y)) / fine));
      for (let i = 1; i <= steps; i++) {
        dot(from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps);
      }
    }

    const help = el(
      "p",
      { class: "live-hint", id: tools.id("help") },
      "Draw with the mouse or a finger. With the keyboard: arrow keys move the square, Space puts the pen down and lifts it, Delete rubs out."
    );
    const field = tools.pixels(wide, wide, `Drawing field of ${side} by ${side} squares`, {
      role: "application",
      tabindex: "0",
      "aria-describedby": help.id,
      class: "live-pixels live-field",
    });
    const cursor = el("div", { class: "live-cursor", "aria-hidden": "true" });

    let last = null;
    tools.drag(
      field.node,
      ({ x, y }) => {
        const to = { x: x * wide, y: y * wide };
        if (last) line(last, to);
        else dot(to.x, to.y);
        last = to;
      },
      () => (last = null)
    );

    const spot = { x: side / 2, y: 6 };
    let down = false;
    function showCursor() {
      cursor.style.left = `${(100 * spot.x) / side}%`;
      cursor.style.top = `${(100 * spot.y) / side}%`;
      cursor.classList.toggle("live-down", down);
    }
    const middle = () => ({ x: (spot.x + 0.5) * fine, y: (spot.y + 0.5) * fine });
    tools.arrows(field.node, (dx, dy) => {
      const from = middle();
      spot.x = tools.clamp(spot.x + dx, 0, side - 1);
      spot.y = tools.clamp(spot.y + dy, 0, side - 1);
      if (down) line(from, middle());
      showCursor();
    });
    field.node.addEventListener("keydown", (event) => {
      const here = middle();
      if (event.key === " " || event.key === "Enter") {
        down = !down;
        if (down) dot(here.x, here.y);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        dot(here.x, here.y, true);
      } else if (event.key === "Escape") {
        down = false;
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      showCursor();
    });
    field.node.addEventListener("blur", () => {
      down = false;
      showCursor();
    });
    showCursor();

    return {
      ink,
      help,
      node: el("div", { class: "live-field-frame" }, field.node, cursor),
      show: () => field.ink(ink),
      // Puts an image of side x side in the place of the drawing.
      take(image) {
        for (let y = 0; y < wide; y++) {
          for (let x = 0; x < wide; x++) {
            ink[y * wide + x] = image[Math.floor(y / fine) * side + Math.floor(x / fine)];
          }
        }
      },
      choice: () =>
        tools.choice("What the pen does", [["draw", "Draw"], ["rub", "Rub out"]], "draw", (value) => {
          erasing = value === "rub";
        }),
    };
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

  /* ---- The plane of chapter 0 ---- */

  // The colours of the chapter's maps (viridis), from a small error to a large one. The map fills its place, and
  // what lies on it has colours of its own: so it looks the same on a light and on a dark page.
  const VIRIDIS = [
    [68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140],
    [40, 174, 128], [94, 201, 98], [173, 220, 48], [253, 231, 37],
  ];
  function viridis(t) {
    const place = tools.clamp(t, 0, 1) * (VIRIDIS.length - 1);
    const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
    return VIRIDIS[i].map((from, c) => from + (place - i) * (VIRIDIS[i + 1][c] - from));
  }

  // From 0 for an error of 0.0001 or less to 1 for an error of 1 or more.
  const DECADES = 4;
  const strength = (error) => tools.clamp(1 + Math.log10(Math.max(error, 1e-12)) / DECADES, 0, 1);

  const PLANE = { edge: 22, limit: 2, side: 96, car: "#fff", road: "#ffb000", rim: "#000" };
  tools.PLANE = PLANE;

  // With a dark rim, so that it is seen on any colour of the map.
  tools.rimmed = function (context, colour, thick, path) {
    for (const [style, width] of [[PLANE.rim, thick + 2], [colour, thick]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      path();
      context.stroke();
    }
  };

  // The plane with a map of the error and the cars, an array (n, 2). `over(context, at)` draws what lies on it;
  // `at([east, north])` is where a place is on the canvas.
  tools.plane = function (cars, over, settings) {
    const { edge, limit, side } = PLANE;
    const buffer = el("canvas", { width: side, height: side });
    const ground = buffer.getContext("2d");
    const data = ground.createImageData(side, side);
    let row = 0;
    const chart = tools.chart(
      (width) => width,
      (context, width, height, colours) => {
        const size = width - edge;
        const at = ([x, y]) => [edge + ((x + limit) / (2 * limit)) * size, (0.5 - y / (2 * limit)) * size];
        context.save();
        context.beginPath();
        context.rect(edge, 0, size, size);
        context.clip();
        context.drawImage(buffer, edge, 0, size, size);
        // Squares: thousands of small discs would take most of a frame.
        for (const [colour, alpha, wide] of [[PLANE.rim, 0.35, 3], [PLANE.car, 0.8, 1.6]]) {
          context.fillStyle = colour;
          context.globalAlpha = alpha;
          for (let i = 0; i < cars.shape[0]; i++) {
            const [x, y] = at([cars.values[2 * i], cars.values[2 * i + 1]]);
            context.fillRect(x - wide / 2, y - wide / 2, wide, wide);
          }
        }
        context.globalAlpha = 1;
        context.lineJoin = "round";
        over(context, at);
        context.restore();
        context.fillStyle = colours.text;
        const low = `\u2212${limit}`;
        context.textAlign = "left";
        context.fillText(low, edge, height - 6);
        context.textAlign = "center";
        context.fillText("east", edge + size / 2, height - 6);
        context.textAlign = "right";
        context.fillText(limit, width, height - 6);
        context.fillText(limit, edge - 5, 12);
        context.fillText(low, edge - 5, size - 2);
        context.textAlign = "center";
        context.translate(14, size / 2);
        context.rotate(-Math.PI / 2);
        context.fillText("north", 0, 0);
      },
      settings
    );
    return {
      ...chart,
      // Begins the map anew, for a network that has changed.
      begin: () => (row = 0),
      // Computes rows of the map for some milliseconds with `error(place)`; true when the map is complete.
      work(error, milliseconds) {
        const end = performance.now() + milliseconds;
        do {
          const north = limit - ((row + 0.5) * 2 * limit) / side;
          for (let i = 0; i < side; i++) {
            const east = ((i + 0.5) * 2 * limit) / side - limit;
            data.data.set([...viridis(strength(error([east, north]))), 255], 4 * (row * side + i));
          }
          row++;
        } while (row < side && performance.now() < end);
        if (row < side) return false;
        row = 0;
        ground.putImageData(data, 0, 0);
        chart.redraw();
        return true;
      },
      // Which place of the plane an event means.
      place(event) {
        const box = chart.node.getBoundingClientRect();
        const across = (event.clientX - box.left - edge) / (box.width - edge);
        const down = (event.clientY - box.top) / (box.width - edge);
        return [2 * limit * across - limit, limit - 2 * limit * down];
      },
    };
  };

  // What the colours of the map mean, with a mark at the threshold if there is one.
  tools.planeKey = (threshold = null) =>
    tools.chart(
      44,
      (context, width, height, colours) => {
        const left = PLANE.edge;
        const size = width - left;
        const gradient = context.createLinearGradient(left, 0, width, 0);
        VIRIDIS.forEach((colour, i) => gradient.addColorStop(i / (VIRIDIS.length - 1), `rgb(${colour})`));
        context.fillStyle = gradient;
        context.fillRect(left, 12, size, 12);
        context.fillStyle = colours.text;
        for (let i = 0; i <= DECADES; i++) {
          context.textAlign = i === 0 ? "left" : i === DECADES ? "right" : "center";
          context.fillText(String(10 ** (i - DECADES)), left + (i / DECADES) * size, 39);
        }
        if (threshold !== null) context.fillRect(left + strength(threshold) * size - 1.5, 8, 3, 20);
      },
      {
        role: "img",
        "aria-label":
          "Colours of the map: the reconstruction error on a logarithmic scale, from 0.0001, dark, to 1, bright" +
          (threshold === null ? "" : `; a mark at the threshold ${tools.score(threshold)}`),
      }
    );

  // What a colour of the plane's own stands for.
  tools.ink = (colour, name) =>
    el(
      "span",
      { class: "live-key" },
      el("i", { class: "live-ink", style: `background: ${colour}`, "aria-hidden": "true" }),
      name
    );

  // A number with two decimals and a true minus sign, and a place as two of them.
  tools.signed = (x) => x.toFixed(2).replace(/^-(?=.*[1-9])/, "\u2212").replace("-", "");
  tools.point = ([x, y]) => `(${tools.signed(x)}, ${tools.signed(y)})`;
})();
