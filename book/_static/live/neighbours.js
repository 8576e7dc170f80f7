/* Choose an image and see its nearest neighbours, in the code and in pixels. */

"use strict";

daeLive.demo("neighbours", ({ stage, model }) => {
  const tools = daeLive.tools;
  const { el } = tools;
  const NEAREST = 8;
  const SHOWN = 30;
  const { images, codes, labels } = model.arrays;
  const count = images.shape[0];
  const [height, width] = images.shape.slice(1);
  const names = model.texts.class_names.split("|");
  const nameOf = (index) => names[labels.values[index]];
  const length = codes.shape[1];

  let chosen = -1;
  let first = 0;

  // The places of the nearest in an array of shape (n, …), by Euclidean distance, without the image itself.
  function nearest(array, index) {
    const size = array.values.length / count;
    const distances = Array.from({ length: count }, (_, i) => {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += (array.values[i * size + k] - array.values[index * size + k]) ** 2;
      return [sum, i];
    });
    distances[index][0] = Infinity;
    return distances
      .sort((a, b) => a[0] - b[0])
      .slice(0, NEAREST)
      .map(([, i]) => i);
  }

  const canvas = tools.pixels(height, width, null);
  const title = el("div", { class: "live-title" }, "Chosen");
  const status = tools.status();
  const rows = [
    { heading: `Nearest in the code, ${length} numbers`, array: codes, key: "code" },
    { heading: `Nearest in pixels, ${height * width} numbers`, array: images, key: "pixels" },
  ].map((row) => {
    const score = el("span");
    const place = el("div", { class: "live-found", role: "group", "aria-label": row.heading });
    const heading = el("div", { class: "live-title" }, `${row.heading}: `, score);
    return { ...row, place, score, node: el("div", {}, heading, place) };
  });

  function found(index) {
    const pixels = tools.pixels(height, width, null);
    pixels.ink(tools.imageAt(images, index));
    const same = labels.values[index] === labels.values[chosen];
    return el(
      "button",
      {
        type: "button",
        class: `live-thumb ${same ? "live-same" : "live-other"}`,
        "aria-label": `${nameOf(index)}, ${same ? "the same kind" : "another kind"}`,
        title: nameOf(index),
        onclick: (event) => {
          const row = event.currentTarget.parentElement;
          choose(index);
          // The button is gone; the keyboard goes on from the same row.
          row.querySelector("button").focus();
        },
      },
      pixels.node,
      el("span", { "aria-hidden": "true" }, same ? "\u2713" : "\u2717")
    );
  }

  function choose(index) {
    chosen = index;
    canvas.ink(tools.imageAt(images, index));
    title.textContent = `Chosen: ${nameOf(index)}`;
    const counts = rows.map((row) => {
      const list = nearest(row.array, index);
      const same = list.filter((i) => labels.values[i] === labels.values[index]).length;
      row.place.replaceChildren(...list.map(found));
      row.score.textContent = `${same} of ${list.length} of the same kind`;
      stage.dataset[row.key] = list.join(",");
      return same;
    });
    stage.dataset.chosen = index;
    for (const [i, button] of gallery.buttons.entries()) {
      button.setAttribute("aria-pressed", String(first + i === index));
    }
    status.say(
      `Of the ${NEAREST} nearest to \u201c${nameOf(index)}\u201d, ${counts[0]} are of the same kind in the code, ${counts[1]} in pixels.`
    );
  }

  const shelf = el("div");
  let gallery;
  function fill() {
    const places = Array.from({ length: Math.min(SHOWN, count) }, (_, i) => (first + i) % count);
    gallery = tools.gallery("Images to choose from", places.map((i) => tools.imageAt(images, i)), {
      height,
      width,
      names: places.map((i) => `${nameOf(i)}, image ${i + 1}`),
      onchoose: (i) => choose(places[i]),
    });
    gallery.node.classList.add("live-shelf");
    shelf.replaceChildren(gallery.node);
  }

  stage.append(
    el("div", { class: "live-title" }, `Choose one of ${count} images:`),
    shelf,
    el(
      "div",
      { class: "live-row" },
      tools.button("Other images", () => {
        first = (first + SHOWN) % count;
        fill();
        gallery.choose(0);
      })
    ),
    el(
      "div",
      { class: "live-chosen" },
      el("div", { class: "live-panel" }, title, canvas.node),
      el("div", {}, ...rows.map((row) => row.node))
    ),
    ...status.nodes,
    el("p", { class: "live-hint" }, "\u2713 the same kind, \u2717 another kind. A click on a neighbour searches on from there.")
  );
  fill();
  gallery.choose(0);
});
