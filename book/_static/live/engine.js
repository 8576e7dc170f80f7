/* The live demos of the book: data, networks, and loading only what comes into view.

   A data file, written by `dae_utils.live.export`, calls `daeLive.add(name, content)`. A demo's own script calls
   `daeLive.demo(kind, build)`. Both are loaded by script tags, which work from a folder too, and only when the
   demo's place on the page comes into view or gets the focus. Nothing is sent anywhere. */

(function () {
  "use strict";

  if (window.daeLive) return;

  const here = document.currentScript.src;
  const raw = new Map();
  const ready = new Map();
  const builders = new Map();
  const loading = new Map();

  /* ---- Arrays ---- */

  function bytesOf(text) {
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  function halfToNumber(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  // There are only 65536 halves: a table makes decoding 100 000 weights a matter of a millisecond.
  let halves = null;
  function halfTable() {
    if (!halves) halves = Float64Array.from({ length: 65536 }, (_, bits) => halfToNumber(bits));
    return halves;
  }

  // Returns the numbers in C order. Floats become doubles, so that sums lose nothing against Keras.
  function decode(packed) {
    const bytes = bytesOf(packed.data);
    const view = new DataView(bytes.buffer);
    const count = packed.shape.reduce((product, size) => product * size, 1);
    let values;
    if (packed.dtype === "uint8") {
      values = bytes;
    } else if (packed.dtype === "int16") {
      values = Int16Array.from({ length: count }, (_, i) => view.getInt16(2 * i, true));
    } else if (packed.dtype === "float32") {
      values = Float64Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
    } else if (packed.dtype === "float16") {
      const table = halfTable();
      values = new Float64Array(count);
      for (let i = 0; i < count; i++) values[i] = table[view.getUint16(2 * i, true)];
    } else {
      throw new Error(`unknown type of array: ${packed.dtype}`);
    }
    if (values.length !== count) throw new Error(`an array of ${count} numbers has ${values.length}`);
    return { values, shape: packed.shape };
  }

  function add(name, content) {
    raw.set(name, content);
  }

  function get(name) {
    if (!ready.has(name)) {
      const content = raw.get(name);
      if (!content) throw new Error(`no live data of the name ${name}`);
      const arrays = {};
      for (const [key, packed] of Object.entries(content.arrays || {})) arrays[key] = decode(packed);
      const layers = (content.layers || []).map((layer) => ({
        ...layer,
        weights: layer.weights && decode(layer.weights),
        bias: layer.bias && decode(layer.bias),
      }));
      ready.set(name, {
        layers,
        arrays,
        numbers: content.numbers || {},
        texts: content.texts || {},
        inputShape: content.input_shape || [],
      });
      raw.delete(name);
    }
    return ready.get(name);
  }

  /* ---- Networks ---- */

  const activations = {
    linear: null,
    relu: (x) => (x > 0 ? x : 0),
    elu: (x) => (x > 0 ? x : Math.expm1(x)),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
  };

  function activate(values, name) {
    if (!(name in activations)) throw new Error(`unknown activation: ${name}`);
    const f = activations[name];
    if (f) for (let i = 0; i < values.length; i++) values[i] = f(values[i]);
    return values;
  }

  function filled(length, bias) {
    const out = new Float64Array(length);
    for (let start = 0; start < length; start += bias.length) out.set(bias, start);
    return out;
  }

  // Row by row through the weights, as they lie in memory; inputs that are 0 cost nothing.
  function dense(x, layer) {
    const [inputs, outputs] = layer.weights.shape;
    if (x.values.length !== inputs) throw new Error(`${x.values.length} numbers instead of ${inputs}`);
    const w = layer.weights.values;
    const out = filled(outputs, layer.bias.values);
    for (let i = 0; i < inputs; i++) {
      const value = x.values[i];
      if (value === 0) continue;
      const row = i * outputs;
      for (let j = 0; j < outputs; j++) out[j] += value * w[row + j];
    }
    return { values: activate(out, layer.activation), shape: [outputs] };
  }

  // Padding "same" as TensorFlow has it: what does not divide evenly is added at the end.
  function paddingBefore(size, kernel, stride) {
    const outputs = Math.ceil(size / stride);
    return Math.max((outputs - 1) * stride + kernel - size, 0) >> 1;
  }

  function conv(x, layer) {
    const [height, width, channels] = x.shape;
    const [kh, kw, , filters] = layer.weights.shape;
    const [sy, sx] = layer.strides;
    const rows = Math.ceil(height / sy);
    const columns = Math.ceil(width / sx);
    const top = paddingBefore(height, kh, sy);
    const left = paddingBefore(width, kw, sx);
    const w = layer.weights.values;
    const from = x.values;
    const out = new Float64Array(rows * columns * filters);
    const sum = new Float64Array(filters);
    for (let oy = 0; oy < rows; oy++) {
      for (let ox = 0; ox < columns; ox++) {
        sum.set(layer.bias.values);
        for (let ky = 0; ky < kh; ky++) {
          const y = oy * sy + ky - top;
          if (y < 0 || y >= height) continue;
          for (let kx = 0; kx < kw; kx++) {
            const place = ox * sx + kx - left;
            if (place < 0 || place >= width) continue;
            const start = (y * width + place) * channels;
            let row = (ky * kw + kx) * channels * filters;
            for (let c = 0; c < channels; c++, row += filters) {
              const value = from[start + c];
              for (let f = 0; f < filters; f++) sum[f] += value * w[row + f];
            }
          }
        }
        out.set(sum, (oy * columns + ox) * filters);
      }
    }
    return { values: activate(out, layer.activation), shape: [rows, columns, filters] };
  }

  // Every input adds its kernel, times its value, to the output around it. Keras keeps the kernel as
  // (height, width, out, in), so the innermost loop is a product of two rows that lie together.
  function convTranspose(x, layer) {
    const [height, width, channels] = x.shape;
    const [kh, kw, filters] = layer.weights.shape;
    const [sy, sx] = layer.strides;
    const rows = height * sy;
    const columns = width * sx;
    const top = Math.max(kh - sy, 0) >> 1;
    const left = Math.max(kw - sx, 0) >> 1;
    const w = layer.weights.values;
    const from = x.values;
    const out = filled(rows * columns * filters, layer.bias.values);
    for (let y = 0; y < height; y++) {
      for (let place = 0; place < width; place++) {
        const start = (y * width + place) * channels;
        for (let ky = 0; ky < kh; ky++) {
          const oy = y * sy + ky - top;
          if (oy < 0 || oy >= rows) continue;
          for (let kx = 0; kx < kw; kx++) {
            const ox = place * sx + kx - left;
            if (ox < 0 || ox >= columns) continue;
            const target = (oy * columns + ox) * filters;
            let row = (ky * kw + kx) * filters * channels;
            for (let f = 0; f < filters; f++, row += channels) {
              let sum = 0;
              for (let c = 0; c < channels; c++) sum += from[start + c] * w[row + c];
              out[target + f] += sum;
            }
          }
        }
      }
    }
    return { values: activate(out, layer.activation), shape: [rows, columns, filters] };
  }

  const kinds = {
    dense,
    conv,
    conv_transpose: convTranspose,
    flatten: (x) => ({ values: x.values, shape: [x.values.length] }),
    reshape: (x, layer) => {
      const known = layer.shape.reduce((product, size) => (size < 0 ? product : product * size), 1);
      const shape = layer.shape.map((size) => (size < 0 ? x.values.length / known : size));
      if (shape.reduce((product, size) => product * size, 1) !== x.values.length) {
        throw new Error(`${x.values.length} numbers cannot be given the shape ${layer.shape}`);
      }
      return { values: x.values, shape };
    },
  };

  // Runs the network `name` on one sample, numbers in C order, and returns what comes out (Float64Array).
  function run(name, input) {
    const { layers, inputShape } = get(name);
    if (!layers.length) throw new Error(`${name} holds no network`);
    const wanted = inputShape.reduce((product, size) => product * size, 1);
    if (input.length !== wanted) throw new Error(`${name} takes ${wanted} numbers, not ${input.length}`);
    let x = { values: Float64Array.from(input), shape: inputShape };
    for (const layer of layers) {
      if (!(layer.kind in kinds)) throw new Error(`unknown layer: ${layer.kind}`);
      x = kinds[layer.kind](x, layer);
    }
    return x.values;
  }

  /* ---- Loading what comes into view ---- */

  function load(path) {
    if (!loading.has(path)) {
      loading.set(
        path,
        new Promise((resolve, reject) => {
          const script = document.createElement("script");
          script.src = new URL(path, here).href;
          script.onload = resolve;
          script.onerror = () => reject(new Error(`${path} could not be loaded`));
          document.head.append(script);
        })
      );
    }
    return loading.get(path);
  }

  function demo(kind, build) {
    builders.set(kind, build);
  }

  async function bringToLife(root) {
    if (root.dataset.state !== "waiting") return;
    root.dataset.state = "loading";
    const { live: name, demo: kind } = root.dataset;
    try {
      await Promise.all([
        load(`data/${name}.js`),
        load("tools.js").then(() => load(`${kind}.js`)),
      ]);
      const stage = document.createElement("div");
      stage.className = "live-stage";
      const figure = root.querySelector("figure") || root;
      figure.insertBefore(stage, figure.querySelector("figcaption"));
      root.dataset.state = "live";
      builders.get(kind)({ root, stage, name, model: get(name), run: (input) => run(name, input) });
      const focused = document.activeElement === root;
      root.removeAttribute("tabindex");
      if (focused) {
        const first = stage.querySelector("button, input, select, [tabindex='0']");
        if (first) first.focus({ preventScroll: true });
      }
      root.dispatchEvent(new CustomEvent("live-ready", { bubbles: true }));
    } catch (error) {
      // The picture stands there as it does without scripts.
      root.querySelectorAll(".live-stage").forEach((stage) => stage.remove());
      root.dataset.state = "failed";
      root.removeAttribute("tabindex");
      console.error(error);
    }
  }

  function watch() {
    const places = document.querySelectorAll(".dae-live[data-live]");
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        observer.unobserve(entry.target);
        bringToLife(entry.target);
      }
    });
    for (const root of places) {
      root.dataset.state = "waiting";
      root.tabIndex = 0;
      root.addEventListener("focus", () => bringToLife(root), { once: true });
      observer.observe(root);
    }
  }

  window.daeLive = { add, get, run, demo, decode };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watch);
  else watch();
})();
