/* A point in the plane of chapter 0: its code, its reconstruction and its error, over the map of the error. */

"use strict";

daeLive.demo("plane", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el, clamp, PLANE } = tools;
  const { threshold } = model.numbers;
  const { cars } = model.arrays;
  const car = (i) => [cars.values[2 * i], cars.values[2 * i + 1]];
  const all = Array.from({ length: cars.shape[0] }, (_, i) => i);

  // The encoder ends with the layer that is narrowest: the code.
  const widths = model.layers.map((layer) => layer.bias.values.length);
  const middle = widths.indexOf(Math.min(...widths)) + 1;
  const encode = (place) => run(place, 0, middle)[0];
  const decode = (code) => run([code], middle);
  const error = (place) => tools.meanSquare(run(place), place);

  // Places of the chapter's text: A on the road, B in a field.
  const NAMED = [
    ["Go to A", [-0.55, 0.6]],
    ["Go to B", [0.45, 0.5]],
  ];
  // Beyond this a place counts as away from the cars, which are moved aside by 0.05 or so.
  const AWAY = 0.3;
  const point = [...NAMED[1][1]];

  // The road where cars are, and how the decoder goes on for codes that no car has.
  const codes = all.map((i) => encode(car(i)));
  const low = Math.min(...codes);
  const high = Math.max(...codes);
  const along = (from, to, steps) =>
    Array.from({ length: steps + 1 }, (_, i) => decode(from + (i / steps) * (to - from)));
  const road = along(low, high, 240);
  const beyond = [along(low, low - 3 * (high - low), 240), along(high, high + 3 * (high - low), 240)];

  const help = el(
    "p",
    { class: "live-hint", id: tools.id("help") },
    "Drag the point, or move it with the arrow keys (with Shift, further)."
  );
  const plane = tools.plane(
    cars,
    (context, at) => {
      const line = (points) => () =>
        points.forEach((place, i) => (i ? context.lineTo(...at(place)) : context.moveTo(...at(place))));
      context.setLineDash([7, 6]);
      for (const part of beyond) tools.rimmed(context, PLANE.road, 2, line(part));
      context.setLineDash([]);
      tools.rimmed(context, PLANE.road, 3, line(road));

      const [x, y] = at(point);
      const [u, v] = at(run(point));
      const length = Math.hypot(u - x, v - y);
      const disc = (colour, left, top, radius) => {
        context.beginPath();
        context.arc(left, top, radius, 0, 2 * Math.PI);
        context.fillStyle = colour;
        context.fill();
        context.strokeStyle = PLANE.rim;
        context.lineWidth = 2;
        context.stroke();
      };
      if (length > 14) {
        const [dx, dy] = [(u - x) / length, (v - y) / length];
        const [tipX, tipY] = [u - 6 * dx, v - 6 * dy];
        tools.rimmed(context, PLANE.car, 2.5, () => {
          context.moveTo(x, y);
          context.lineTo(tipX, tipY);
          context.moveTo(tipX - 9 * dx + 6 * dy, tipY - 9 * dy - 6 * dx);
          context.lineTo(tipX, tipY);
          context.lineTo(tipX - 9 * dx - 6 * dy, tipY - 9 * dy + 6 * dx);
        });
      }
      disc(PLANE.road, u, v, 5);
      disc(PLANE.car, x, y, 8);
    },
    {
      class: "live-chart live-map",
      role: "application",
      tabindex: "0",
      "aria-label": "The plane with the point",
      "aria-describedby": help.id,
    }
  );

  const status = tools.status();
  const cells = {};
  const row = (key, name) => el("tr", {}, el("th", { scope: "row" }, name), (cells[key] = el("td")));
  const table = el(
    "table",
    {},
    el("caption", { class: "live-heard" }, "What the network makes of the point"),
    el(
      "tbody",
      {},
      row("place", "Place"),
      row("code", "Code"),
      row("cars", "Codes of cars"),
      row("reconstruction", "Reconstruction"),
      row("error", "Error"),
      row("threshold", "Threshold"),
      row("nearest", "Nearest car")
    )
  );
  cells.cars.textContent = `${tools.signed(low)} to ${tools.signed(high)}`;
  cells.threshold.textContent = tools.score(threshold);

  const show = tools.onceAFrame(() => {
    const code = encode(point);
    const reconstruction = decode(code);
    const found = tools.meanSquare(reconstruction, point);
    const nearest = Math.min(...all.map((i) => Math.hypot(car(i)[0] - point[0], car(i)[1] - point[1])));
    const alarm = found > threshold;
    cells.place.textContent = tools.point(point);
    cells.code.textContent = tools.signed(code);
    cells.reconstruction.textContent = tools.point(reconstruction);
    cells.error.textContent = tools.score(found);
    cells.nearest.textContent = `${nearest.toFixed(2)} away`;
    Object.assign(stage.dataset, {
      point: point.join(","),
      code,
      reconstruction: reconstruction.join(","),
      error: found,
      nearest,
      alarm,
    });
    const numbers = `at ${tools.point(point)}: error ${tools.score(found)}.`;
    const away = nearest > AWAY ? ` But the nearest car is ${nearest.toFixed(2)} away.` : "";
    status.say(alarm ? `\u25b2 Alarm ${numbers}` : `No alarm ${numbers}${away}`, alarm);
    plane.redraw();
  });

  function move([x, y]) {
    point[0] = clamp(x, -PLANE.limit, PLANE.limit);
    point[1] = clamp(y, -PLANE.limit, PLANE.limit);
    show();
  }

  tools.drag(plane.node, (_, event) => move(plane.place(event)));
  tools.arrows(plane.node, (dx, dy, event) => {
    const step = event.shiftKey ? 0.2 : 0.02;
    move([point[0] + dx * step, point[1] - dy * step]);
  });

  stage.append(
    el(
      "div",
      { class: "live-columns live-plane" },
      el("div", {}, plane.node, tools.planeKey(threshold).node),
      el(
        "div",
        {},
        ...status.nodes,
        el("div", { class: "live-table" }, table),
        el(
          "div",
          { class: "live-row", role: "group", "aria-label": "Go to a place" },
          ...NAMED.map(([name, place]) => tools.button(name, () => move(place)))
        )
      )
    ),
    el(
      "div",
      { class: "live-row live-keys" },
      tools.ink(PLANE.car, "cars, and the point"),
      tools.ink(PLANE.road, "the learnt road, and the reconstruction")
    ),
    el(
      "p",
      { class: "live-hint" },
      "The bar below the map says which colour is which error; its mark is the threshold. Where the road is dashed, ",
      "no car has its code."
    ),
    help
  );
  show();

  // The network stays as it is, so its map is made once, in slices that nobody notices.
  const slice = () => {
    if (plane.work(error, 8)) stage.dataset.map = "complete";
    else requestAnimationFrame(slice);
  };
  slice();
});
