/* A strip of heartbeats that scrolls; every beat is scored as it goes by. */

"use strict";

daeLive.demo("strip", ({ stage, model, run }) => {
  const tools = daeLive.tools;
  const { el, clamp } = tools;
  const { threshold } = model.numbers;
  const rate = model.numbers.rate || 360;
  const signal = model.arrays.signal; // (samples, leads), microvolts
  const [samples, leads] = signal.shape;
  const unit = model.arrays.unit.values;
  const SECONDS = samples / rate;
  const VIEW = 5; // seconds on the strip
  const BEFORE = 140;
  const AFTER = 180;
  const LAST = 11; // beats whose median height is the yardstick
  const NORMAL = new Set(["N", "L", "R", "e", "j"]);

  // A beat whose window would stick out of the recording is not scored.
  const beats = Array.from(model.arrays.beats.values, (place, i) => ({
    place: Math.round(place),
    symbol: String.fromCharCode(model.arrays.symbols.values[i]),
  })).filter(({ place }) => place >= BEFORE && place + AFTER <= samples);

  /* ---- The score of a beat, from itself and the ten before it ---- */

  // Every second sample around the R peak, in millivolts: (160, leads), one row after the other.
  function windowOf(beat) {
    if (!beat.window) {
      const rows = (BEFORE + AFTER) / 2;
      beat.window = new Float64Array(rows * leads);
      beat.heights = Array.from({ length: leads }, (_, lead) => {
        let least = Infinity;
        let most = -Infinity;
        for (let row = 0; row < rows; row++) {
          const volts = signal.values[(beat.place - BEFORE + 2 * row) * leads + lead] / 1000;
          beat.window[row * leads + lead] = volts;
          least = Math.min(least, volts);
          most = Math.max(most, volts);
        }
        return most - least;
      });
    }
    return beat;
  }

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  function inputOf(index) {
    const recent = beats.slice(Math.max(index - LAST + 1, 0), index + 1).map(windowOf);
    const usual = Array.from({ length: leads }, (_, lead) => median(recent.map((beat) => beat.heights[lead])) + 0.05);
    return windowOf(beats[index]).window.map((volts, i) => clamp(volts / usual[i % leads], -5, 5) / unit[i]);
  }

  function scoreOf(index) {
    const beat = beats[index];
    if (beat.score === undefined) {
      const input = inputOf(index);
      beat.score = tools.meanSquare(run(input), input);
      beat.alarm = beat.score > threshold;
    }
    return beat.score;
  }

  /* ---- The strip ---- */

  let time = VIEW; // the right edge, in seconds
  let playing = false;
  let speed = 1;
  let done = -1; // the last beat that was scored
  const seen = { normal: 0, falseAlarms: 0, others: 0, found: 0 };

  const ranges = Array.from({ length: leads }, (_, lead) => {
    const values = Float64Array.from({ length: samples }, (_, i) => signal.values[i * leads + lead]).sort();
    return [values[Math.floor(0.001 * samples)], values[Math.min(Math.ceil(0.999 * samples), samples - 1)]];
  });

  const ROOM = 74; // for the scores
  const chart = tools.chart(
    (width) => (width < 480 ? 270 : 300),
    (context, width, height, colours) => {
      const from = time - VIEW;
      const across = (seconds) => ((seconds - from) / VIEW) * width;
      const lane = (height - ROOM - 20) / leads;
      context.strokeStyle = colours.border;
      context.lineWidth = 1;
      context.beginPath();
      for (let second = Math.ceil(from); second <= time; second++) {
        const x = Math.round(across(second)) + 0.5;
        context.moveTo(x, 20);
        context.lineTo(x, height - ROOM);
      }
      context.stroke();
      context.strokeStyle = colours.text;
      context.lineWidth = 1.3;
      for (let lead = 0; lead < leads; lead++) {
        const [low, high] = ranges[lead];
        const level = (value) => 24 + lane * (lead + 0.95 - (0.85 * (value - low)) / (high - low));
        context.beginPath();
        const start = Math.max(Math.floor(from * rate), 0);
        const end = Math.min(Math.ceil(time * rate), samples - 1);
        for (let i = start; i <= end; i++) {
          context.lineTo(across(i / rate), level(signal.values[i * leads + lead]));
        }
        context.stroke();
      }
      // Scores below, as bars; half a second after the beat, when all of its window has gone by.
      const base = height - 16;
      const tall = ROOM - 30;
      const up = (score) => Math.min(score / (2.5 * threshold), 1) * tall;
      context.fillStyle = colours.muted;
      context.fillRect(0, base, width, 1);
      context.fillRect(0, base - up(threshold), width, 1);
      context.textAlign = "left";
      context.fillText("score", 2, height - 2);
      context.textAlign = "center";
      beats.forEach((beat, i) => {
        const at = beat.place / rate;
        if (at < from - 0.5 || at > time + 0.5) return;
        const x = across(at);
        if (i <= done && i >= started) {
          const size = up(scoreOf(i));
          context.fillStyle = beat.alarm ? colours.b : colours.a;
          context.fillRect(x - 5, base - size, 10, Math.max(size, 2));
          if (beat.alarm) {
            context.font = `bold ${context.font}`;
            context.fillText("\u25b2", x, 30);
            context.font = context.font.replace("bold ", "");
          }
          context.fillStyle = beat.alarm ? colours.b : colours.text;
        } else {
          context.fillStyle = colours.muted;
        }
        context.fillText(beat.symbol, x, 14);
      });
      context.textAlign = "right";
      tools.label(context, "threshold", width - 2, base - up(threshold) - 4, colours);
    },
    {
      role: "img",
      "aria-label": "Strip of heartbeats with a score below each beat; the results are below in words",
    }
  );

  const status = tools.status();
  const tally = el("p", { class: "live-hint" });
  let started = 0;

  function describe(i) {
    const beat = beats[i];
    const what = `beat ${beat.symbol} at ${(beat.place / rate).toFixed(1)} s, score ${tools.score(beat.score)}`;
    return beat.alarm ? `\u25b2 Alarm: ${what}.` : `No alarm: ${what}.`;
  }

  function count() {
    tally.textContent =
      `So far: an alarm on ${seen.found} of ${seen.others} beats that are not normal, ` +
      `and on ${seen.falseAlarms} of ${seen.normal} normal ones. Threshold ${tools.score(threshold)}.`;
    Object.assign(stage.dataset, {
      time: time.toFixed(3),
      beat: done,
      score: done >= started ? beats[done].score : "",
      alarms: seen.found + seen.falseAlarms,
    });
  }

  // Scores what has gone by completely. Aloud only what matters: alarms, or each beat when it is stepped to.
  function listen(aloud) {
    let heard = -1;
    while (done + 1 < beats.length && (beats[done + 1].place + AFTER) / rate <= time) {
      done++;
      scoreOf(done);
      const { symbol, alarm } = beats[done];
      if (NORMAL.has(symbol)) {
        seen.normal++;
        seen.falseAlarms += alarm;
      } else {
        seen.others++;
        seen.found += alarm;
      }
      heard = done;
    }
    if (heard >= 0) {
      if (aloud || beats[heard].alarm) status.say(describe(heard), beats[heard].alarm);
      else status.quietly(describe(heard), false);
    }
    count();
    chart.redraw();
  }

  // Begins anew at a time; what lies before it on the strip counts as heard.
  function jump(seconds, aloud = true) {
    time = clamp(seconds, Math.min(VIEW, SECONDS), SECONDS);
    Object.assign(seen, { normal: 0, falseAlarms: 0, others: 0, found: 0 });
    started = beats.findIndex(({ place }) => place / rate >= time - VIEW);
    done = (started < 0 ? beats.length : started) - 1;
    slider.set(time);
    listen(aloud);
  }

  let before = 0;
  function tick(now) {
    if (!playing) return;
    const passed = Math.min(now - before, 100) / 1000;
    before = now;
    if (time >= SECONDS) jump(VIEW, false);
    else {
      time = Math.min(time + passed * speed, SECONDS);
      slider.set(time);
      listen(false);
    }
    requestAnimationFrame(tick);
  }

  const button = tools.button("Play", () => play(!playing));
  function play(on) {
    playing = on;
    button.textContent = on ? "Pause" : "Play";
    stage.dataset.playing = String(on);
    if (on) {
      before = performance.now();
      requestAnimationFrame(tick);
    }
  }

  function step(direction) {
    play(false);
    // The beat whose score came last is the one to go on from.
    const next = clamp(done + direction, 0, beats.length - 1);
    const target = (beats[next].place + AFTER) / rate + 1e-6;
    if (direction > 0) {
      time = clamp(Math.max(target, time), VIEW, SECONDS);
      slider.set(time);
      listen(true);
    } else {
      jump(target);
    }
  }

  const slider = tools.slider("Time", {
    min: Math.min(VIEW, SECONDS),
    max: SECONDS,
    step: 0.1,
    value: time,
    show: (x) => `${x.toFixed(1)} s`,
    oninput: (x) => {
      play(false);
      jump(x);
    },
  });

  stage.append(
    chart.node,
    ...status.nodes,
    tally,
    el(
      "div",
      { class: "live-row" },
      button,
      tools.button("Previous beat", () => step(-1)),
      tools.button("Next beat", () => step(1)),
      tools.choice("Speed", [["1", "1\u00d7"], ["3", "3\u00d7"]], "1", (value) => (speed = Number(value)))
    ),
    el("div", { class: "live-row" }, slider.node),
    el(
      "p",
      { class: "live-hint" },
      "The letters are the annotations, N for a normal beat; the network does not see them. Simulated, not a patient."
    )
  );
  jump(VIEW, false);
  play(!matchMedia("(prefers-reduced-motion: reduce)").matches);

  // What nobody sees need not move; it goes on when it is seen again.
  let resting = false;
  new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting && playing) {
      resting = true;
      play(false);
    } else if (isIntersecting && resting) {
      resting = false;
      play(true);
    }
  }).observe(chart.node);
});
