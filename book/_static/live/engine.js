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

  // Weights in the order in which `conv` wants them: for four filters at a time, row after row.
  function inFours(weights) {
    const filters = weights.shape[3];
    const taps = weights.values.length / filters;
    const blocks = Math.ceil(filters / 4);
    const out = new Float64Array(blocks * taps * 4);
    for (let f = 0; f < filters; f++) {
      for (let t = 0; t < taps; t++) {
        out[((f >> 2) * taps + t) * 4 + (f & 3)] = weights.values[t * filters + f];
      }
    }
    return out;
  }

  // Four sums at a time stay in the processor's registers, which took a third of the time of one after the other.
  function conv(x, layer) {
    const [height, width, channels] = x.shape;
    const [kh, kw, , filters] = layer.weights.shape;
    const [sy, sx] = layer.strides;
    const rows = Math.ceil(height / sy);
    const columns = Math.ceil(width / sx);
    const top = paddingBefore(height, kh, sy);
    const left = paddingBefore(width, kw, sx);
    if (!layer.fours) layer.fours = inFours(layer.weights);
    const w = layer.fours;
    const bias = layer.bias.values;
    const from = x.values;
    const out = new Float64Array(rows * columns * filters);
    const taps = kh * kw * channels;
    for (let oy = 0; oy < rows; oy++) {
      const y0 = oy * sy - top;
      const firstY = Math.max(0, -y0);
      const lastY = Math.min(kh, height - y0);
      for (let ox = 0; ox < columns; ox++) {
        const x0 = ox * sx - left;
        const firstX = Math.max(0, -x0);
        const lastX = Math.min(kw, width - x0);
        const target = (oy * columns + ox) * filters;
        for (let f = 0; f < filters; f += 4) {
          let a = 0;
          let b = 0;
          let c = 0;
          let d = 0;
          for (let ky = firstY; ky < lastY; ky++) {
            // Kernel columns that lie side by side meet inputs that lie side by side.
            let i = ((y0 + ky) * width + x0 + firstX) * channels;
            const end = i + (lastX - firstX) * channels;
            let k = ((f >> 2) * taps + (ky * kw + firstX) * channels) * 4;
            for (; i < end; i++, k += 4) {
              const value = from[i];
              a += value * w[k];
              b += value * w[k + 1];
              c += value * w[k + 2];
              d += value * w[k + 3];
            }
          }
          out[target + f] = a + bias[f];
          if (f + 1 < filters) out[target + f + 1] = b + bias[f + 1];
          if (f + 2 < filters) out[target + f + 2] = c + bias[f + 2];
          if (f + 3 < filters) out[target + f + 3] = d + bias[f + 3];
        }
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

  // Runs the network `name` on one sample, numbers in C order, and returns what comes out (Float64Array). An
  // encoder or a decoder alone are the layers from number `first` on, up to but without number `last`.
  function run(name, input, first = 0, last = Infinity) {
    const { layers, inputShape } = get(name);
    if (!layers.length) throw new Error(`${name} holds no network`);
    const wanted = inputShape.reduce((product, size) => product * size, 1);
    if (!first && input.length !== wanted) throw new Error(`${name} takes ${wanted} numbers, not ${input.length}`);
    let x = { values: Float64Array.from(input), shape: first ? [input.length] : inputShape };
    for (const layer of layers.slice(first, last)) {
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
    // Two demos may show one file.
    const { demo: kind, file = root.dataset.live, version = "", scripts = "" } = root.dataset;
    try {
      // The versions keep a browser from taking a file that it has from an older edition.
      await Promise.all([
        load(`data/${file}.js?v=${version}`),
        load(`tools.js?v=${scripts}`).then(() => load(`${kind}.js?v=${scripts}`)),
      ]);
      const stage = document.createElement("div");
      stage.className = "live-stage";
      const figure = root.querySelector("figure") || root;
      figure.insertBefore(stage, figure.querySelector("figcaption"));
      root.dataset.state = "live";
      builders.get(kind)({ root, stage, name: file, model: get(file), run: (...input) => run(file, ...input) });
      const focused = document.activeElement === root;
      root.removeAttribute("tabindex");
      if (focused) {
        const first = stage.querySelector("button:not([tabindex='-1']), input, select, [tabindex='0']");
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
