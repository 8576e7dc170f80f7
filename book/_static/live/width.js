/* The width of the code: reconstructions, errors and thresholds of networks that differ in nothing else. */

"use strict";

daeLive.demo("width", ({ stage, model }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const { digit, false_alarm_rate: rate } = model.numbers;
  const { images, labels, copies, aurocs } = model.arrays;
  const SIDE = 28;
  const EDGE = 46; // room for the numbers of an axis
  const widths = Array.from(model.arrays.widths.values);
  const thresholds = Array.from(model.arrays.thresholds.values);

  const names = Array.from(labels.values, (label, i) => `Image ${i + 1}, a ${label}`);
  const shown = tools.allImages(images);
  // The reconstruction of an image by the network whose code has the width of that place in the list.
  const inARow = { values: copies.values, shape: [widths.length * shown.length, SIDE, SIDE] };
  const copyOf = (place, index) => tools.imageAt(inARow, place * shown.length + index);
  const errors = widths.map((_, place) => shown.map((image, i) => tools.meanSquare(image, copyOf(place, i))));
  // One row for each training, one column for each width.
  const trainings = aurocs.shape[0];
  const areas = Array.from({ length: trainings }, (_, row) =>
    Array.from(aurocs.values.slice(row * widths.length, (row + 1) * widths.length))
  );
  const area = widths.map((_, place) => areas.reduce((sum, row) => sum + row[place], 0) / trainings);

  let chosen = 0;
  let place = Math.max(widths.indexOf(64), 0);

  /* ---- Charts over the widths ---- */

  // Where a width stands: at equal distances, since each is about twice the one before.
  const across = (i, width) => EDGE + 8 + (i / (widths.length - 1)) * (width - EDGE - 22);

  function axes(context, width, height, colours, ticks, y) {
    const base = height - 34;
    context.lineWidth = 1;
    context.strokeStyle = colours.border;
    context.fillStyle = colours.text;
    context.textAlign = "right";
    for (const [value, text] of ticks) {
      const level = Math.round(y(value)) + 0.5;
      context.beginPath();
      context.moveTo(EDGE, level);
      context.lineTo(width, level);
      context.stroke();
      context.fillText(text, EDGE - 5, level + 4);
    }
    // The present width.
    context.fillStyle = colours.border;
    context.fillRect(across(place, width) - 1.5, 6, 3, base - 6);
    context.fillStyle = colours.text;
    context.textAlign = "center";
    widths.forEach((value, i) => {
      context.font = `${i === place ? "bold " : ""}13px ${getComputedStyle(context.canvas).fontFamily}`;
      context.fillText(value, across(i, width), base + 15);
    });
    context.font = `13px ${getComputedStyle(context.canvas).fontFamily}`;
    context.fillText("width of the code", (EDGE + width) / 2, height - 4);
  }

  function line(context, width, values, y, colour, dash = []) {
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    context.setLineDash(dash);
    context.beginPath();
    values.forEach((value, i) => context.lineTo(across(i, width), y(value)));
    context.stroke();
    context.setLineDash([]);
  }

  function dot(context, left, top, radius, colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(left, top, radius, 0, 2 * Math.PI);
    context.fill();
  }

  const HEIGHT = 210;
  // All images share the axis, so that one can compare them.
  const every = [...errors.flat(), ...thresholds].map((value) => Math.log10(Math.max(value, 1e-6)));
  const least = Math.min(...every) - 0.05;
  const most = Math.max(...every) + 0.05;
  const marks = [-5, -4, -3, -2, -1]
    .flatMap((decade) => [1, 2, 5].map((figure) => Number(`${figure}e${decade}`)))
    .filter((value) => Math.log10(value) > least && Math.log10(value) < most);
  const errorChart = tools.chart(
    HEIGHT,
    (context, width, height, colours) => {
      const y = (value) =>
        8 + (clamp(most - Math.log10(Math.max(value, 1e-6)), 0, most - least) / (most - least)) * (height - 50);
      axes(context, width, height, colours, marks.map((value) => [value, String(value)]), y);
      const own = errors.map((row) => row[chosen]);
      line(context, width, thresholds, y, colours.text, [6, 5]);
      line(context, width, own, y, colours.muted);
      own.forEach((value, i) => {
        const colour = value > thresholds[i] ? colours.b : colours.a;
        dot(context, across(i, width), y(value), i === place ? 7 : 4, colour);
      });
    },
    {
      class: "live-chart live-grip",
      role: "img",
      "aria-label": "Error of the image and threshold by width; the numbers of this width are in the table",
    }
  );

  const lowest = Math.floor(50 * Math.min(...areas.flat())) / 50;
  const spacing = 1 - lowest > 0.25 ? 0.1 : 1 - lowest > 0.1 ? 0.05 : 0.02;
  const levels = [];
  for (let level = 1; level > lowest - 1e-9; level -= spacing) levels.push([level, level.toFixed(2)]);
  const areaChart = tools.chart(
    HEIGHT,
    (context, width, height, colours) => {
      const y = (value) => 8 + ((1 - value) / (1 - lowest)) * (height - 50);
      axes(context, width, height, colours, levels, y);
      if (trainings > 1) {
        for (const row of areas) row.forEach((value, i) => dot(context, across(i, width), y(value), 2.5, colours.muted));
      }
      line(context, width, area, y, colours.a);
      dot(context, across(place, width), y(area[place]), 7, colours.a);
    },
    {
      class: "live-chart live-grip",
      role: "img",
      "aria-label": "AUROC by width; the number of this width is in the table",
    }
  );
  for (const chart of [errorChart, areaChart]) {
    tools.drag(chart.node, ({ x }) => {
      const width = chart.node.clientWidth;
      const distances = widths.map((_, i) => Math.abs(across(i, width) - x * width));
      move(distances.indexOf(Math.min(...distances)));
      slider.set(place);
    });
  }

  /* ---- What is on the page ---- */

  const image = tools.pixels(SIDE, SIDE, "The image");
  const copy = tools.pixels(SIDE, SIDE, "Its reconstruction");
  const map = tools.pixels(SIDE, SIDE, "Where the two differ: the redder, the more");
  const bar = tools.gauge("error");
  const verdict = tools.status();
  const cells = { error: el("td"), threshold: el("td"), area: el("td") };
  const row = (name, cell) => el("tr", {}, el("th", { scope: "row" }, name), cell);

  const slider = tools.slider("Width of the code", {
    min: 0,
    max: widths.length - 1,
    step: 1,
    value: place,
    show: (i) => String(widths[i]),
    oninput: move,
  });

  function move(to) {
    place = to;
    update();
  }

  const update = tools.onceAFrame(() => {
    const x = shown[chosen];
    const reconstruction = copyOf(place, chosen);
    image.ink(x);
    copy.ink(reconstruction);
    map.heat(x.map((value, i) => Math.abs(value - reconstruction[i])));
    const error = errors[place][chosen];
    const threshold = thresholds[place];
    const alarm = error > threshold;
    cells.error.textContent = tools.score(error);
    cells.threshold.textContent = tools.score(threshold);
    cells.area.textContent = area[place].toFixed(3);
    Object.assign(stage.dataset, { width: widths[place], image: chosen, error, alarm });
    bar.show(error, threshold);
    verdict.say(
      `${alarm ? "\u25b2 Alarm" : "No alarm"} at width ${widths[place]}: error ${tools.score(error)}, ` +
        `threshold ${tools.score(threshold)}.`,
      alarm
    );
    errorChart.redraw();
    areaChart.redraw();
  });

  const gallery = tools.gallery("Images to choose from", shown, {
    height: SIDE,
    width: SIDE,
    names,
    onchoose(index) {
      chosen = index;
      update();
    },
  });

  stage.append(
    el("div", { class: "live-title" }, "Choose an image:"),
    gallery.node,
    el("div", { class: "live-row" }, slider.node),
    el(
      "div",
      { class: "live-three" },
      tools.panel("Image", image.node),
      tools.panel("Reconstruction", copy.node),
      tools.panel("Error map", map.node)
    ),
    bar.node,
    ...verdict.nodes,
    el(
      "div",
      { class: "live-pair" },
      tools.panel("Its error at every width; dashed: threshold", errorChart.node),
      tools.panel("AUROC of every width", areaChart.node)
    ),
    el(
      "div",
      { class: "live-table" },
      el(
        "table",
        {},
        el("caption", { class: "live-heard" }, "What holds at this width"),
        el(
          "tbody",
          {},
          row("Error of the image", cells.error),
          row("Threshold", cells.threshold),
          row("AUROC", cells.area)
        )
      )
    ),
    el(
      "p",
      { class: "live-hint" },
      `Every network has learnt from the digit ${digit} alone. Each has its own threshold, set so that ` +
        `${tools.percent(rate)} of the held-out ${digit}s raise a false alarm.` +
        (trainings > 1 ? ` The AUROC is the mean of ${trainings} trainings, which are the small dots.` : "")
    )
  );
  gallery.node.classList.add("live-dozen");
  // Begin with an anomaly.
  const values = Array.from(labels.values);
  gallery.choose(Math.max(values.findIndex((label) => label !== digit), 0));
});
