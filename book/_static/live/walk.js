/* Walk through a code of two numbers and see what is decoded. */

"use strict";

daeLive.demo("walk", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const SIDE = Math.round(Math.sqrt(model.layers[model.layers.length - 1].bias.values.length));
  const names = model.texts.class_names.split("|");
  const codes = model.arrays.codes;
  const count = codes.shape[0];
  const labels = model.arrays.code_labels.values;
  const code = (i) => [codes.values[2 * i], codes.values[2 * i + 1]];
  // Ten colours that stay apart on white and on black; the legend and the words say the same.
  const COLOURS = [
    "#3b7fc4", "#e07b1a", "#3a9d4f", "#d0433f", "#8f6fc8",
    "#9a6b52", "#d66fb4", "#808080", "#a8a61f", "#1fa9b8",
  ];

  const limits = [0, 1].map((axis) => {
    const values = Float64Array.from({ length: count }, (_, i) => code(i)[axis]).sort();
    const low = values[Math.floor(0.01 * count)];
    const high = values[Math.min(Math.ceil(0.99 * count), count - 1)];
    return [low - 0.06 * (high - low), high + 0.06 * (high - low)];
  });
  const span = limits.map(([low, high]) => high - low);
  const median = (rows) => [0, 1].map((axis) => rows.map((i) => code(i)[axis]).sort((a, b) => a - b)[rows.length >> 1]);
  const all = Array.from({ length: count }, (_, i) => i);
  const point = median(all);

  const help = el(
    "p",
    { class: "live-hint", id: tools.id("help") },
    "Drag the cross, or move it with the arrow keys (with Shift, further). Each dot is an image that the network was not trained on."
  );
  const EDGE = 22;
  const chart = tools.chart(
    (width) => clamp(0.85 * width, 220, 400),
    (context, width, height, colours) => {
      const at = ([x, y]) => [
        EDGE + ((x - limits[0][0]) / span[0]) * (width - EDGE),
        (1 - (y - limits[1][0]) / span[1]) * (height - EDGE),
      ];
      context.strokeStyle = colours.border;
      context.strokeRect(EDGE, 0.5, width - EDGE - 0.5, height - EDGE - 0.5);
      context.save();
      context.beginPath();
      context.rect(EDGE, 0, width - EDGE, height - EDGE);
      context.clip();
      context.globalAlpha = 0.75;
      for (let i = 0; i < count; i++) {
        context.fillStyle = COLOURS[labels[i] % COLOURS.length];
        context.beginPath();
        context.arc(...at(code(i)), 3, 0, 2 * Math.PI);
        context.fill();
      }
      context.globalAlpha = 1;
      const [x, y] = at(point);
      // Light below dark, so that the cross is seen on any dots.
      for (const [colour, thick] of [[colours.ground, 7], [colours.text, 3]]) {
        context.strokeStyle = colour;
        context.lineWidth = thick;
        context.beginPath();
        context.moveTo(x - 12, y);
        context.lineTo(x + 12, y);
        context.moveTo(x, y - 12);
        context.lineTo(x, y + 12);
        context.stroke();
      }
      context.restore();
      context.fillStyle = colours.text;
      context.fillText("first number", EDGE, height - 6);
      context.save();
      context.translate(14, height - EDGE);
      context.rotate(-Math.PI / 2);
      context.fillText("second number", 0, 0);
      context.restore();
    },
    {
      class: "live-chart live-map",
      role: "application",
      tabindex: "0",
      "aria-label": "Map of the code",
      "aria-describedby": help.id,
    }
  );
  const image = tools.pixels(SIDE, SIDE, "The image decoded at the cross");
  const status = tools.status();

  function nearest() {
    let best = 0;
    let least = Infinity;
    for (let i = 0; i < count; i++) {
      const [x, y] = code(i);
      const distance = ((x - point[0]) / span[0]) ** 2 + ((y - point[1]) / span[1]) ** 2;
      if (distance < least) {
        least = distance;
        best = i;
      }
    }
    return names[labels[best]];
  }

  const show = tools.onceAFrame(() => {
    image.ink(run(point));
    chart.redraw();
    const numbers = point.map((x) => x.toFixed(2));
    stage.dataset.point = point.join(",");
    status.say(`At (${numbers.join(", ")}). The nearest dot is of the kind \u201c${nearest()}\u201d.`);
  });

  function move(x, y) {
    point[0] = clamp(x, ...limits[0]);
    point[1] = clamp(y, ...limits[1]);
    show();
  }

  tools.drag(chart.node, (_, event) => {
    const box = chart.node.getBoundingClientRect();
    move(
      limits[0][0] + ((event.clientX - box.left - EDGE) / (box.width - EDGE)) * span[0],
      limits[1][1] - ((event.clientY - box.top) / (box.height - EDGE)) * span[1]
    );
  });
  tools.arrows(chart.node, (dx, dy, event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    move(point[0] + dx * step * span[0], point[1] - dy * step * span[1]);
  });

  const kinds = names
    .map((name, label) => ({ name, label, rows: all.filter((i) => labels[i] === label) }))
    .filter(({ rows }) => rows.length);
  stage.append(
    el(
      "div",
      { class: "live-columns live-wide live-walk" },
      el("div", {}, chart.node),
      el(
        "div",
        {},
        tools.panel("Decoded", image.node),
        ...status.nodes
      )
    ),
    help,
    el("div", { class: "live-title", id: tools.id("go") }, "Go to the middle of a kind:"),
    el(
      "div",
      { class: "live-row live-tight", role: "group", "aria-label": "Go to the middle of a kind" },
      ...kinds.map(({ name, label, rows }) =>
        el(
          "button",
          { type: "button", class: "live-button live-key", onclick: () => move(...median(rows)) },
          el("i", { style: `background: ${COLOURS[label % COLOURS.length]}`, "aria-hidden": "true" }),
          name
        )
      )
    )
  );
  show();
});
