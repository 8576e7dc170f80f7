/* Drag a threshold over two histograms: false alarms, misses, and the point on the ROC curve. */

"use strict";

daeLive.demo("scores", ({ stage, model }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const sorted = (array) => Float64Array.from(array.values).sort();
  const normal = sorted(model.arrays.normal);
  const anomalous = sorted(model.arrays.anomalous);
  const calibrated = model.numbers.threshold;
  let threshold = calibrated;

  // Errors span decades, so both the chart and the slider go by their logarithm.
  const low = Math.log(Math.max(Math.min(normal[0], anomalous[0]), 1e-12));
  const high = Math.log(Math.max(normal[normal.length - 1], anomalous[anomalous.length - 1])) + 1e-9;
  const STEPS = 400;
  const position = (value) => clamp((Math.log(value) - low) / (high - low), 0, 1);
  const value = (where) => Math.exp(low + where * (high - low));

  const BINS = 48;
  function histogram(values) {
    const shares = new Float64Array(BINS);
    for (const v of values) {
      shares[Math.min(Math.floor(position(Math.max(v, 1e-12)) * BINS), BINS - 1)] += 1 / values.length;
    }
    return shares;
  }
  const bars = [histogram(normal), histogram(anomalous)];
  const top = Math.max(...bars[0], ...bars[1]);

  // How many of the sorted values lie above a limit.
  function above(values, limit) {
    let from = 0;
    let to = values.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (values[middle] > limit) to = middle;
      else from = middle + 1;
    }
    return values.length - from;
  }

  // The curve goes through every score; ties make it slanted. Its area is the AUROC.
  function rocCurve() {
    const points = [[0, 0]];
    let area = 0;
    for (const limit of [...new Set([...normal, ...anomalous])].sort((a, b) => b - a)) {
      const below = limit - 1e-12 * Math.abs(limit);
      const point = [above(normal, below) / normal.length, above(anomalous, below) / anomalous.length];
      const [x, y] = points[points.length - 1];
      area += ((point[0] - x) * (point[1] + y)) / 2;
      points.push(point);
    }
    return { points, area };
  }
  const roc = rocCurve();

  function shares() {
    const falseAlarms = above(normal, threshold);
    const found = above(anomalous, threshold);
    return { falseAlarms, found, missed: anomalous.length - found };
  }

  const BOTTOM = 40;
  const chart = tools.chart(
    (width) => clamp(0.5 * width, 190, 260),
    (context, width, height, colours) => {
      const base = height - BOTTOM;
      const cut = position(threshold) * width;
      bars.forEach((list, kind) => {
        list.forEach((share, i) => {
          const high = (share / top) * (base - 20);
          const left = (i * width) / BINS;
          context.globalAlpha = 0.6;
          context.fillStyle = kind ? colours.b : colours.a;
          context.fillRect(left, base - high, width / BINS, high);
        });
        context.globalAlpha = 1;
      });
      context.fillStyle = colours.text;
      context.fillRect(0, base, width, 1);
      context.fillRect(cut - 1.5, 4, 3, base - 4);
      context.beginPath();
      context.arc(cut, base, 8, 0, 2 * Math.PI);
      context.fill();
      context.textAlign = "left";
      context.fillText("reconstruction error (logarithmic)", 0, height - 6);
      context.textAlign = cut > width / 2 ? "right" : "left";
      context.fillText("alarm \u2192", cut + (cut > width / 2 ? -8 : 8), 14);
    },
    {
      class: "live-chart live-grip",
      role: "img",
      "aria-label": "Histograms of the scores of normal and of other images, with the threshold",
    }
  );

  const curve = tools.chart(
    (width) => clamp(width, 160, 260),
    (context, width, height, colours) => {
      const left = 24;
      const base = height - 24;
      const size = Math.min(width - left - 8, base - 8);
      const at = ([x, y]) => [left + x * size, base - y * size];
      context.strokeStyle = colours.border;
      context.lineWidth = 1;
      context.strokeRect(left, base - size, size, size);
      context.beginPath();
      context.moveTo(...at([0, 0]));
      context.lineTo(...at([1, 1]));
      context.stroke();
      context.strokeStyle = colours.a;
      context.lineWidth = 2.5;
      context.beginPath();
      roc.points.forEach((point, i) => (i ? context.lineTo(...at(point)) : context.moveTo(...at(point))));
      context.stroke();
      const { falseAlarms, found } = shares();
      context.fillStyle = colours.b;
      context.beginPath();
      context.arc(...at([falseAlarms / normal.length, found / anomalous.length]), 7, 0, 2 * Math.PI);
      context.fill();
      context.fillStyle = colours.text;
      context.textAlign = "left";
      context.fillText("false alarms", left, height - 6);
      context.save();
      context.translate(14, base);
      context.rotate(-Math.PI / 2);
      context.fillText("found", 0, 0);
      context.restore();
    },
    { role: "img", "aria-label": "ROC curve with the point of this threshold" }
  );

  const status = tools.status();
  const cells = { false: el("td"), found: el("td"), missed: el("td") };
  const row = (name, cell) => el("tr", {}, el("th", { scope: "row" }, name), cell);
  const part = (count, all) => `${count} of ${all} (${tools.percent(count / all, 1)})`;

  const slider = tools.slider("Threshold", {
    min: 0,
    max: STEPS,
    step: 1,
    value: Math.round(position(calibrated) * STEPS),
    show: () => tools.score(threshold),
    oninput: (step) => move(value(step / STEPS)),
  });

  function move(to) {
    threshold = to;
    show();
  }

  function show() {
    const { falseAlarms, found, missed } = shares();
    cells.false.textContent = part(falseAlarms, normal.length);
    cells.found.textContent = part(found, anomalous.length);
    cells.missed.textContent = part(missed, anomalous.length);
    stage.dataset.threshold = threshold;
    status.say(
      `Threshold ${tools.score(threshold)}: ${tools.percent(falseAlarms / normal.length, 1)} false alarms, ` +
        `${tools.percent(missed / anomalous.length, 1)} missed.`
    );
    chart.redraw();
    curve.redraw();
  }

  tools.drag(chart.node, ({ x }) => {
    threshold = value(x);
    slider.set(Math.round(x * STEPS));
    show();
  });

  const key = (name, text) => el("span", { class: "live-key" }, el("i", { class: name, "aria-hidden": "true" }), text);
  stage.append(
    el(
      "div",
      { class: "live-columns live-wide" },
      el(
        "div",
        {},
        el("div", { class: "live-row" }, key("live-a", "normal"), key("live-b", "others")),
        chart.node,
        el(
          "div",
          { class: "live-row" },
          slider.node,
          tools.button("Back to the calibrated one", () => {
            move(calibrated);
            slider.set(Math.round(position(calibrated) * STEPS));
          })
        )
      ),
      el("div", {}, el("div", { class: "live-title" }, `ROC curve, area ${roc.area.toFixed(3)}`), curve.node)
    ),
    ...status.nodes,
    el(
      "div",
      { class: "live-table" },
      el(
        "table",
        {},
        el("caption", { class: "live-heard" }, "What happens at this threshold"),
        el(
          "tbody",
          {},
          row("False alarms", cells.false),
          row("Anomalies found", cells.found),
          row("Anomalies missed", cells.missed)
        )
      )
    )
  );
  show();
});
