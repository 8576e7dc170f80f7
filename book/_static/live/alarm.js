/* Move the threshold of an alarm: false alarms an hour and V episodes missed, a row for each patient. */

"use strict";

daeLive.demo("alarm", ({ stage, model }) => {
  const tools = daeLive.tools;
  const { el } = tools;
  const thresholds = Array.from(model.arrays.thresholds.values);
  const numbers = model.arrays.records.values;
  const { values: hours } = model.arrays.hours;
  const { values: episodes } = model.arrays.episodes;
  const isNew = model.arrays.is_new.values;
  const promise = model.numbers.promise;
  // The counts have a row for each threshold and a column for each patient.
  const count = (name, step, patient) => model.arrays[name].values[step * numbers.length + patient];

  const nearest = (value) =>
    thresholds.reduce((best, one, i) => (Math.abs(one - value) < Math.abs(thresholds[best] - value) ? i : best), 0);
  const chosen = nearest(model.numbers.threshold);
  let step = chosen;
  let group = 0;

  const sum = (patients, of) => patients.reduce((total, patient) => total + of(patient), 0);
  const rate = (patients) => sum(patients, (p) => count("false_alarms", step, p)) / sum(patients, (p) => hours[p]);
  const events = (patients) => sum(patients, (p) => episodes[p]);
  const missed = (patients) => events(patients) - sum(patients, (p) => count("found", step, p));
  const hourly = (value) => (value < 9.95 ? value.toFixed(1) : value.toFixed(0));

  // A bar ends where its scale does; the number beside it goes on. The line stands at the promise.
  const LONGEST = 4;
  function bar(share, kind) {
    const length = tools.percent(tools.clamp(share, 0, 1), 1).replace(" ", "");
    return el("span", { class: `live-bar ${kind}`, "aria-hidden": "true" }, el("i", { style: `width: ${length}` }));
  }

  function row(name, patients) {
    const perHour = rate(patients);
    const all = events(patients);
    const gone = missed(patients);
    const together = patients.length > 1;
    const words = !all ? "none" : together ? tools.percent(gone / all) : `${gone} of ${all}`;
    return el(
      "tr",
      { class: together ? "live-together" : null },
      el("th", { scope: "row" }, name),
      el("td", {}, el("span", { class: "live-count" }, hourly(perHour)), bar(perHour / (LONGEST * promise), "live-b")),
      el("td", {}, el("span", { class: "live-count" }, words), all ? bar(gone / all, "live-a") : null)
    );
  }

  const status = tools.status();
  const rows = el("tbody");
  const order = [0, 1].map((kind) =>
    [...numbers.keys()]
      .filter((patient) => isNew[patient] === kind)
      .sort((a, b) => count("false_alarms", chosen, b) / hours[b] - count("false_alarms", chosen, a) / hours[a])
  );

  const slider = tools.slider("Threshold", {
    min: 0,
    max: thresholds.length - 1,
    step: 1,
    value: chosen,
    show: (place) => thresholds[place].toFixed(2),
    oninput: (place) => {
      step = place;
      show();
    },
  });

  function show() {
    const patients = order[group];
    const above = patients.filter((patient) => rate([patient]) > promise).length;
    rows.replaceChildren(row("all", patients), ...patients.map((patient) => row(String(numbers[patient]), [patient])));
    stage.dataset.threshold = thresholds[step];
    stage.dataset.rate = rate(patients);
    stage.dataset.missed = missed(patients);
    const share = events(patients) ? missed(patients) / events(patients) : 0;
    status.say(
      `${hourly(rate(patients))} false alarms an hour; ${missed(patients)} of ${events(patients)} V episodes ` +
        `missed (${tools.percent(share)}). ${above} of ${patients.length} patients have more than ${promise} an hour.`,
      rate(patients) > promise
    );
  }

  const head = (...content) => el("th", { scope: "col" }, ...content);
  stage.append(
    tools.choice(
      "Patients",
      [
        ["0", model.texts.chosen_on],
        ["1", model.texts.new],
      ],
      "0",
      (kind) => {
        group = Number(kind);
        show();
      }
    ),
    el(
      "div",
      { class: "live-row" },
      slider.node,
      tools.button("Back to the chosen one", () => {
        step = chosen;
        slider.set(chosen);
        show();
      })
    ),
    ...status.nodes,
    el(
      "table",
      { class: "live-patients" },
      el("caption", { class: "live-heard" }, "What the alarm does at this threshold, for each patient"),
      el("thead", {}, el("tr", {}, head("record"), head("false alarms an hour"), head("V episodes missed"))),
      rows
    ),
    el("p", { class: "live-hint" }, `The line in the bars marks ${promise} an hour; bars end at ${LONGEST * promise}.`)
  );
  show();
});
