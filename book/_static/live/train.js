/* An autoencoder for the plane of chapter 0 that is trained in the page. */

(function () {
  "use strict";

  /* ---- A network that learns ---- */

  // Dense layers of these sizes, with random weights as Keras draws them (Glorot, uniform) and biases of 0. All
  // weights lie in one array, `weights`, and their gradients in another; each layer has its part of both. Layer i
  // bends, that is, has ReLU, where bends[i] says so.
  function network(sizes, bends, random) {
    const layers = sizes.slice(1).map((outputs, i) => ({ inputs: sizes[i], outputs, bend: bends[i] }));
    const count = layers.reduce((sum, { inputs, outputs }) => sum + (inputs + 1) * outputs, 0);
    const net = { layers, steps: 0 };
    for (const name of ["weights", "gradient", "mean", "square"]) net[name] = new Float64Array(count);
    let start = 0;
    const part = (length) => {
      const range = [start, (start += length)];
      return [net.weights.subarray(...range), net.gradient.subarray(...range)];
    };
    for (const layer of layers) {
      const { inputs, outputs } = layer;
      [layer.w, layer.dw] = part(inputs * outputs);
      [layer.b, layer.db] = part(outputs);
      const limit = Math.sqrt(6 / (inputs + outputs));
      for (let i = 0; i < layer.w.length; i++) layer.w[i] = limit * (2 * random.uniform() - 1);
      layer.out = new Float64Array(outputs);
      layer.slope = new Float64Array(outputs); // of the loss, for each output
    }
    return net;
  }

  // Returns the output for x. Every layer keeps its input and its output, which `backward` needs.
  function forward(net, x, first = 0, last = net.layers.length) {
    for (let l = first; l < last; l++) {
      const layer = net.layers[l];
      const { inputs, outputs, w, out } = layer;
      layer.x = x;
      out.set(layer.b);
      for (let i = 0, k = 0; i < inputs; i++, k += outputs) {
        const value = x[i];
        if (value === 0) continue;
        for (let j = 0; j < outputs; j++) out[j] += value * w[k + j];
      }
      if (layer.bend) for (let j = 0; j < outputs; j++) if (out[j] < 0) out[j] = 0;
      x = out;
    }
    return x;
  }

  // After `forward`: adds this sample's part to the gradient, from the last layer, whose `slope` has been set, to
  // the first. This is the chain rule, once for each layer.
  function backward(net) {
    for (let l = net.layers.length - 1; l >= 0; l--) {
      const { inputs, outputs, w, dw, db, x, out, slope, bend } = net.layers[l];
      // Where ReLU gave 0, a small change of the weights changes nothing.
      if (bend) for (let j = 0; j < outputs; j++) if (out[j] === 0) slope[j] = 0;
      const below = l ? net.layers[l - 1].slope : null;
      for (let j = 0; j < outputs; j++) db[j] += slope[j];
      for (let i = 0, k = 0; i < inputs; i++, k += outputs) {
        let sum = 0;
        for (let j = 0; j < outputs; j++) {
          dw[k + j] += x[i] * slope[j];
          sum += w[k + j] * slope[j];
        }
        if (below) below[i] = sum;
      }
    }
  }

  // Sets the gradient of the mean squared error over some samples, and returns that error.
  function lossAndGradient(net, samples) {
    net.gradient.fill(0);
    const { slope } = net.layers[net.layers.length - 1];
    const size = samples.length * slope.length;
    let sum = 0;
    for (const x of samples) {
      const y = forward(net, x);
      for (let j = 0; j < slope.length; j++) {
        const difference = y[j] - x[j];
        sum += difference ** 2;
        slope[j] = (2 * difference) / size;
      }
      backward(net);
    }
    return sum / size;
  }

  // One step of Adam with the settings of Keras.
  function adam(net, rate) {
    const { weights, gradient, mean, square } = net;
    net.steps++;
    const step = (rate * Math.sqrt(1 - 0.999 ** net.steps)) / (1 - 0.9 ** net.steps);
    for (let i = 0; i < weights.length; i++) {
      mean[i] += 0.1 * (gradient[i] - mean[i]);
      square[i] += 0.001 * (gradient[i] ** 2 - square[i]);
      weights[i] -= (step * mean[i]) / (Math.sqrt(square[i]) + 1e-7);
    }
  }

  // For the tests, which compare them with differences and with Keras.
  daeLive.learning = { network, forward, lossAndGradient, adam };

  /* ---- The demo ---- */

  const HIDDEN = 32;
  const BATCH = 64;
  const EPOCHS = 60; // of one press on "Train"; the chapter's network has as many
  const CALM_EPOCHS = 10; // between two pictures, for those who want no motion

  daeLive.demo("train", ({ stage, model }) => {
    const tools = daeLive.tools;
    const { el, PLANE } = tools;
    const { cars } = model.arrays;
    const rows = ({ values, shape }) =>
      Array.from({ length: shape[0] }, (_, i) => values.subarray(2 * i, 2 * i + 2));
    const training = rows(cars);
    const heldOut = rows(model.arrays.held_out);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

    let width = 1;
    let bending = true;
    let rate = 0.005;
    // New weights each time, but the same first ones for everybody who opens the page.
    let seed = 0;
    let random, net, middle, order, next, sum, history, end;

    let playing = false;
    let due = false; // the map has to be brought up to date
    let waiting = false; // for the next frame

    const error = (place) => tools.meanSquare(forward(net, place), place);
    const lossOf = (samples) => samples.reduce((total, x) => total + error(x), 0) / samples.length;
    const epoch = () => history.length - 1;
    const epochs = () => `${epoch()} epoch${epoch() === 1 ? "" : "s"}`;

    function shuffle() {
      for (let i = order.length - 1; i > 0; i--) {
        const j = Math.floor(random.uniform() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      next = 0;
      sum = 0;
    }

    function begin() {
      random = tools.random(seed);
      const sizes = bending ? [2, HIDDEN, HIDDEN, width, HIDDEN, HIDDEN, 2] : [2, width, 2];
      net = network(sizes, bending ? [true, true, false, true, true, false] : [false, false], random);
      middle = net.layers.length / 2;
      order = [...training];
      history = [{ loss: lossOf(training), held: lossOf(heldOut) }];
      end = EPOCHS;
      shuffle();
      play(false);
      status.say("Random weights, not trained yet.");
    }

    // One mini-batch; true when an epoch is complete.
    function learn() {
      const batch = order.slice(next, next + BATCH);
      sum += batch.length * lossAndGradient(net, batch);
      adam(net, rate);
      next += BATCH;
      if (next < order.length) return false;
      history.push({ loss: sum / order.length, held: lossOf(heldOut) });
      shuffle();
      return true;
    }

    // A few mini-batches at a time, so that the page answers. At first they are so few that one can watch: most
    // of what is learnt is learnt in the first epochs.
    function slice() {
      const stop = performance.now() + (calm ? 25 : 8);
      const most = calm ? Infinity : epoch() < 6 ? 1 : 6;
      for (let batches = 0; batches < most; batches++) {
        if (learn()) {
          if (epoch() >= end) {
            play(false);
            status.say(`Done after ${epochs()}: ${losses()}.`);
            return;
          }
          if (calm && epoch() % CALM_EPOCHS === 0) {
            due = true;
            plane.begin();
            return;
          }
        }
        if (performance.now() > stop) return;
      }
    }

    function tick() {
      waiting = false;
      // Without motion, the next epochs wait until the picture of the last ones is complete.
      if (playing && !(calm && due)) slice();
      if (due || !calm) {
        const complete = plane.work(error, calm ? 12 : 4);
        if (complete) due = false;
        if (complete || !calm) show();
      }
      keepOn();
    }

    function keepOn() {
      if (waiting || !(playing || due)) return;
      waiting = true;
      requestAnimationFrame(tick);
    }

    function play(on) {
      if (on && epoch() >= end) end = epoch() + EPOCHS;
      playing = on;
      button.textContent = on ? "Pause" : epoch() >= end ? "Train on" : "Train";
      stage.dataset.playing = String(on);
      if (!on) {
        due = true;
        plane.begin();
        show();
      }
      keepOn();
    }

    /* ---- What is seen ---- */

    const small = (loss) => (loss < 1e-6 ? "below 0.000001" : loss.toFixed(loss < 1e-3 ? 6 : 4));
    function losses() {
      const { loss, held } = history[epoch()];
      return `the loss is ${small(loss)} in training and ${small(held)} on held-out cars`;
    }

    const plane = tools.plane(
      cars,
      (context, at) => {
        if (width === 1) {
          // All that the decoder can say between the lowest and the highest code of a car.
          const codes = heldOut.map((x) => forward(net, x, 0, middle)[0]);
          const low = Math.min(...codes);
          const high = Math.max(...codes);
          tools.rimmed(context, PLANE.road, 3, () => {
            for (let i = 0; i <= 200; i++) {
              context.lineTo(...at(forward(net, [low + (i / 200) * (high - low)], middle)));
            }
          });
          return;
        }
        for (const [colour, wide] of [[PLANE.rim, 5], [PLANE.road, 3]]) {
          context.fillStyle = colour;
          for (const x of heldOut) {
            const [left, top] = at(forward(net, x));
            context.fillRect(left - wide / 2, top - wide / 2, wide, wide);
          }
        }
      },
      {
        role: "img",
        "aria-label": "The plane with the cars, their reconstructions and the map of the error",
      }
    );

    const EDGE = 52;
    const chart = tools.chart(
      150,
      (context, across, height, colours) => {
        const least = Math.min(...history.map(({ loss, held }) => Math.min(loss, held)));
        const bottom = tools.clamp(Math.floor(Math.log10(Math.max(least, 1e-12))), -6, -3);
        const base = height - 20;
        const x = (i) => EDGE + (i / end) * (across - EDGE - 2);
        const y = (loss) => 6 + (tools.clamp(-Math.log10(Math.max(loss, 1e-12)), 0, -bottom) / -bottom) * (base - 6);
        context.strokeStyle = colours.border;
        context.lineWidth = 1;
        context.fillStyle = colours.text;
        context.textAlign = "right";
        for (let decade = 0; decade >= bottom; decade--) {
          const level = Math.round(y(10 ** decade)) + 0.5;
          context.beginPath();
          context.moveTo(EDGE, level);
          context.lineTo(across, level);
          context.stroke();
          // Six decades have room for every second number.
          if (bottom > -5 || decade % 2 === 0) {
            context.fillText(decade < -4 ? "10\u207b\u2076" : String(10 ** decade), EDGE - 5, level + 4);
          }
        }
        context.textAlign = "left";
        context.fillText("0", EDGE, height - 4);
        context.textAlign = "center";
        context.fillText("epoch", (EDGE + across) / 2, height - 4);
        context.textAlign = "right";
        context.fillText(end, across, height - 4);
        for (const [key, colour, dash] of [["loss", colours.a, []], ["held", colours.b, [5, 4]]]) {
          context.strokeStyle = colour;
          context.lineWidth = 2.5;
          context.setLineDash(dash);
          context.beginPath();
          history.forEach((point, i) => context.lineTo(x(i), y(point[key])));
          context.stroke();
        }
        context.setLineDash([]);
      },
      { role: "img", "aria-label": "The loss by epoch, in training and on held-out cars; the numbers are in the table" }
    );

    const status = tools.status();
    const cells = { epoch: el("td"), loss: el("td"), held: el("td") };
    const key = (name, text) => el("span", { class: "live-key" }, el("i", { class: name, "aria-hidden": "true" }), text);
    const row = (name, cell) => el("tr", {}, el("th", { scope: "row" }, name), cell);

    function show() {
      const { loss, held } = history[epoch()];
      cells.epoch.textContent = epoch();
      cells.loss.textContent = small(loss);
      cells.held.textContent = small(held);
      Object.assign(stage.dataset, { epoch: epoch(), loss, held, map: due ? "due" : "complete" });
      plane.redraw();
      chart.redraw();
    }

    const button = tools.button("Train", () => {
      play(!playing);
      status.say(playing ? "Training \u2026" : `Paused after ${epochs()}: ${losses()}.`);
    });

    const rates = tools.choice(
      "Learning rate",
      ["0.0005", "0.005", "0.05"].map((value) => [value, value]),
      String(rate),
      (value) => (rate = Number(value))
    );
    rates.classList.add("live-long");

    stage.append(
      el(
        "div",
        { class: "live-columns live-plane" },
        el("div", {}, plane.node, tools.planeKey().node),
        el(
          "div",
          {},
          el(
            "div",
            { class: "live-row" },
            button,
            tools.button("Start anew", () => {
              seed++;
              begin();
            })
          ),
          el(
            "div",
            { class: "live-table" },
            el(
              "table",
              {},
              el("caption", { class: "live-heard" }, "How far the training is"),
              el(
                "tbody",
                {},
                row("Epoch", cells.epoch),
                row(key("live-a", "Loss in training"), cells.loss),
                row(key("live-b", "Loss, held out"), cells.held)
              )
            )
          ),
          chart.node
        )
      ),
      ...status.nodes,
      el(
        "div",
        { class: "live-row" },
        tools.choice("Code", [["1", "1 number"], ["2", "2 numbers"]], "1", (value) => {
          width = Number(value);
          begin();
        }),
        tools.choice("Network", [["bend", "bends"], ["straight", "straight"]], "bend", (value) => {
          bending = value === "bend";
          begin();
        }),
        rates
      ),
      el(
        "div",
        { class: "live-row live-keys" },
        tools.ink(PLANE.car, "cars"),
        tools.ink(PLANE.road, "their reconstructions")
      ),
      el("p", { class: "live-hint" }, "The bar below the map says which colour is which error.")
    );
    begin();

    // What nobody sees need not be computed; it goes on when it is seen again.
    let resting = false;
    new IntersectionObserver((entries) => {
      const { isIntersecting } = entries[entries.length - 1];
      if (!isIntersecting && playing) {
        resting = true;
        play(false);
      } else if (isIntersecting && resting) {
        resting = false;
        play(true);
      }
    }).observe(stage);
  });
})();
