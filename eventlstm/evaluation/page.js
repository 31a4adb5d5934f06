// The page: unpacks the log, and keeps numbers, tables and drawings at the threshold that the slider stands at.
"use strict";

const $ = (id) => document.getElementById(id);
const TYPES = {uint8: Uint8Array, uint16: Uint16Array, float64: Float64Array};
const WILSON = 1.959963984540054; // quantile of the normal distribution for intervals of 95 %
const REST = 60; // milliseconds without a move of the slider after which what is out of sight follows
const MOST_LISTED = 200; // rows of the table of false alarms
let page, log, state;

async function start() {
  page = JSON.parse($("page").textContent);
  const [plotly, levels, times, quiet, cuts, values] = await Promise.all(
    ["plotly", "levels", "times", "quiet", "cuts", "values"].map((id) => unpack($(id))));
  const code = document.createElement("script");
  code.textContent = new TextDecoder().decode(plotly);
  document.head.append(code);
  log = makeLog(page.log, {levels, times, quiet});
  state = {log, cuts, position: page.position, values, sensor: page.sensors.length ? 0 : -1, run: 0, view: null,
    isLog: page.is_log, asked: false};
  listRuns();
  listEvents();
  $("slider").max = page.positions.length - 1;
  $("scale").setAttribute("aria-pressed", state.isLog);
  $("scale").hidden = !page.may_be_log;
  show(log.events.first.length ? log.runOf(log.events.first[0]) : 0);
  drawCurves(page, rated());
  setPosition(page.position);
  listen();
  document.documentElement.dataset.ready = "yes";
}

async function unpack(node) {
  const bytes = Uint8Array.from(atob(node.textContent), (letter) => letter.charCodeAt(0));
  node.textContent = "";
  const whole = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  return node.dataset.type ? new TYPES[node.dataset.type](whole) : whole;
}

// The log with its clock: `times` count steps from the origin; the axis has milliseconds for date-times.
function makeLog(told, {levels, times, quiet}) {
  if (told.are_differences) for (let row = 1; row < times.length; row++) times[row] += times[row - 1];
  const begins = told.runs.map((run) => run.begin), n = levels.length;
  const own = {...told, n, levels, times, quiet, begins};
  own.clock = (row) => told.origin + times[row] * told.step;
  own.runOf = (row) => lastAtMost(begins, row);
  own.rows = (run) => [begins[run], run + 1 < begins.length ? begins[run + 1] : n];
  own.limits = (run) => [own.clock(own.rows(run)[0]), own.clock(own.rows(run)[1] - 1)];
  own.gapAfter = (row) => told.gaps.length ? (told.gaps[lastAtMost(told.gaps, row) + 1] ?? n + 1) - 1 : n;
  own.rowsWithin = ({from, to, begin, end}) => {
    const find = (time) => { // first row of the run at or after a time
      let low = begin, high = end;
      while (low < high) { const middle = (low + high) >> 1; if (own.clock(middle) < time) low = middle + 1; else high = middle; }
      return low;
    };
    return [Math.max(begin, find(from) - 1), Math.min(end, find(to) + 1)];
  };
  return own;
}

function lastAtMost(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] <= value) low = middle + 1; else high = middle; }
  return low - 1;
}

const rated = () => page.rated; // false alarms are counted in a day, or a step, and told per hour, day or 1,000 rows
const number = (value, digits = 3) => value === null || !Number.isFinite(value) ? "–" : Number(value.toPrecision(digits)).toLocaleString("en", {maximumSignificantDigits: digits});
const share = (value) => value === null || !Number.isFinite(value) ? "–" : `${(100 * value).toFixed(value && value < 0.0995 ? 1 : 0)} %`;

function duration(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  if (!log.isDatetime) return number(value, 4);
  const sign = value < 0 ? "−" : "", seconds = Math.abs(value);
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= 2 * unit) return `${sign}${number(seconds / unit)} ${name}`;
  return `${sign}${number(seconds)} s`;
}

function moment(row) {
  if (!log.isDate) return number(log.clock(row), 8);
  return new Date(log.clock(row)).toISOString().replace("T", " ").slice(0, page.has_seconds ? 19 : 16);
}

// The exact limits of a rate of false alarms; beyond those that came with the page, the approximation of Wilson and Hilferty.
function limitsOfCount(count, exposure) {
  if (!(exposure > 0)) return [NaN, NaN];
  const cube = (n, z) => n * (1 - 1 / (9 * n) + z / (3 * Math.sqrt(n))) ** 3;
  const [low, high] = page.limits.count[count] ?? [cube(count, -WILSON), cube(count + 1, WILSON)];
  return [low / exposure, high / exposure];
}

function setPosition(position) {
  state.position = Math.max(0, Math.min(page.positions.length - 1, position));
  $("slider").value = state.position;
  state.cut = page.positions[state.position];
  state.now = Alarms.measure(log, state.cut);
  showNumbers();
  fillEvents();
  drawTimeline(state);
  drawOverview(state);
  clearTimeout(state.later);
  state.later = setTimeout(() => { listFalseAlarms(); moveMarkers(); }, REST);
}

function showNumbers() {
  const {now, cuts, cut} = state, exposure = log.totalQuiet / log.ratedTime;
  const isOwn = state.position === page.position;
  $("threshold").textContent = number(cuts[cut], 4);
  $("slider").setAttribute("aria-valuetext", `${number(cuts[cut], 4)}: ${now.n_found} events found, ${now.n_false} false alarms`);
  $("reset").disabled = isOwn;
  const n = log.events.first.length, limits = page.limits.share[now.n_found];
  tile("tile-recall", n ? `${now.n_found} of ${n}` : "–", n ? `${share(now.event_recall)}, 95 %: ${share(limits[0])} to ${share(limits[1])}` : "no events in the log");
  const [low, high] = limitsOfCount(now.n_false, exposure);
  tile("tile-false", number(now.false_alarm_rate * rated()), `95 %: ${number(low * rated())} to ${number(high * rated())}`);
  tile("tile-alarms", number(now.n_alarms, 6), `${number(now.n_false, 6)} false, ${number(now.n_alarms - now.n_false, 6)} for events`);
  tile("tile-duty", share(now.alarm_duty), `${duration(now.alarm_duty * log.totalQuiet * log.delayUnit)} in all`);
  tile("tile-delay", duration(now.median_delay), Number.isFinite(now.median_delay) ? "from the start of an event" : "fewer than half were found");
}

function tile(id, value, small) {
  const note = document.createElement("small");
  note.textContent = small;
  $(id).replaceChildren(value, note);
}

function moveMarkers() {
  const {now} = state, rows = page.rows, k = state.position;
  Plotly.restyle("curve-alarms", {x: [[now.false_alarm_rate * rated()]], y: [[now.event_recall]]}, [$("curve-alarms").data.length - 1]);
  const onCurve = !page.is_smoothed;
  Plotly.restyle("curve-rows", {x: [[onCurve ? rows.hits[k] / rows.n_positive : null]], y: [[onCurve ? rows.hits[k] / rows.flagged[k] : null]]},
    [$("curve-rows").data.length - 1]);
}

function listRuns() {
  $("run").replaceChildren(...log.runs.map((run, k) => new Option(run.label, k)));
  $("run-label").hidden = log.runs.length === 1;
  $("sensor").replaceChildren(...page.sensors.map((sensor, k) => new Option(sensor.name, k)), new Option("none", -1));
  $("sensor-label").hidden = !page.sensors.length;
  if (page.events.length) chooseSensor(page.events[0]);
}

// Shows the first of the sensors named for an event that came with the page.
function chooseSensor(event) {
  const found = event.sensors.map((name) => page.sensors.findIndex((sensor) => sensor.name === name)).find((k) => k >= 0);
  if (found === undefined || state.sensor < 0) return;
  state.sensor = found;
  $("sensor").value = found;
}

function cell(row, text, name) {
  const added = row.insertCell();
  added.textContent = text;
  if (name) added.className = name;
  return added;
}

function jumpButton(row, text, jump) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", jump);
  row.insertCell().append(button);
}

function listEvents() {
  const body = $("events").tBodies[0], {first, last} = log.events;
  const hasSimilar = page.events.some((event) => event.similar.length);
  $("similar").hidden = !hasSimilar;
  page.events.forEach((event, k) => {
    const row = body.insertRow();
    jumpButton(row, `${k + 1}`, () => goTo(k));
    cell(row, log.runs[log.runOf(first[k])].label);
    cell(row, moment(first[k]));
    cell(row, duration((log.times[last[k]] - log.times[first[k]]) * log.delayUnit + log.stepLength));
    cell(row, "");
    cell(row, "");
    cell(row, number(event.peak_score));
    cell(row, event.sensors.join(", ") || "–");
    if (hasSimilar) cell(row, "");
  });
}

// An earlier event that one is like: of this log by its number, found or missed at the threshold; else one learnt from.
function describeSimilar({event, run, start, distance}) {
  const line = document.createElement("div"), isOwn = event !== null;
  const outcome = isOwn ? (state.now.foundAt[event] >= 0 ? "found" : "missed") : "learnt";
  const when = isOwn ? moment(log.events.first[event]) : page.has_seconds ? start : start.replace(/(:\d\d):00$/, "$1");
  line.textContent = `${isOwn ? `${event + 1}: ` : ""}${run}, ${when}, ${outcome} (${number(distance)})`;
  return line;
}

function fillEvents() {
  const {now} = state, {first} = log.events;
  [...$("events").tBodies[0].rows].forEach((row, k) => {
    const at = now.foundAt[k], covered = at < 0 && first[k] > 0 && now.flags[first[k]];
    row.cells[4].textContent = at >= 0 ? `yes, ${moment(at)}` : covered ? "no: an alarm was on already" : "no";
    row.cells[4].className = at >= 0 ? "yes" : "no";
    row.cells[5].textContent = duration(now.delays[k] * log.delayUnit);
    row.cells[8]?.replaceChildren(...page.events[k].similar.map(describeSimilar));
  });
  const n = first.length;
  $("events-note").textContent = n ? `${now.n_found} of ${n} found at the threshold ${number(state.cuts[state.cut], 4)}. The number jumps to the place.` : "The labels mark none.";
}

function listFalseAlarms() {
  const {now, cuts} = state, found = [];
  now.eventOf.forEach((event, k) => {
    if (event >= 0) return;
    let peak = 0;
    for (let row = now.onsets[k]; row <= now.ends[k]; row++) peak = Math.max(peak, log.levels[row]);
    found.push([peak, k]);
  });
  found.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const body = document.createElement("tbody");
  found.slice(0, MOST_LISTED).forEach(([peak, k], place) => {
    const row = body.insertRow(), [from, to] = [now.onsets[k], now.ends[k]];
    jumpButton(row, `F${place + 1}`, () => jump(from, to, row));
    cell(row, log.runs[log.runOf(from)].label);
    cell(row, moment(from));
    cell(row, duration((log.times[to] - log.times[from]) * log.delayUnit + log.stepLength));
    cell(row, number(cuts[peak]));
  });
  $("false").tBodies[0].replaceWith(body);
  const more = found.length > MOST_LISTED ? `the ${MOST_LISTED} with the highest scores of ${number(found.length, 6)}` : `${found.length}, the highest score first`;
  $("false-note").textContent = found.length ? more : "none";
}

function jump(first, last, row) {
  const run = log.runOf(first), [begin, end] = log.rows(run);
  const from = log.clock(first), to = log.clock(last), [low, high] = log.limits(run);
  const around = Math.max(2 * (to - from), 60 * log.stepOnAxis);
  state.run = run;
  $("run").value = run;
  look_at({from: Math.max(low, from - around), to: Math.min(high, to + around), begin, end});
  for (const other of document.querySelectorAll("tr.here")) other.classList.remove("here");
  row?.classList.add("here");
  const gentle = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  $("timeline").scrollIntoView({behavior: gentle, block: "center"});
  $("timeline").focus({preventScroll: true});
}

function show(run) {
  const [begin, end] = log.rows(run), [from, to] = log.limits(run);
  state.run = run;
  $("run").value = run;
  state.view = {from, to: to > from ? to : from + log.stepOnAxis, begin, end};
}

function look_at(view) {
  const [low, high] = log.limits(state.run), shortest = 4 * log.stepOnAxis;
  const width = Math.min(Math.max(view.to - view.from, shortest), Math.max(high - low, shortest));
  const from = Math.max(low, Math.min(view.from, high - width));
  state.view = {...view, from, to: from + width};
  drawTimeline(state);
  drawOverview(state);
}

const MOVES = {
  left: (view, width) => ({from: view.from - width / 3, to: view.to - width / 3}),
  right: (view, width) => ({from: view.from + width / 3, to: view.to + width / 3}),
  in: (view, width) => ({from: view.from + width / 4, to: view.to - width / 4}),
  out: (view, width) => ({from: view.from - width / 2, to: view.to + width / 2}),
  all: () => ({from: -Infinity, to: Infinity}),
};
const KEYS = {ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "all", n: "next", p: "previous"};

function move(how) {
  const {view} = state;
  if (how === "next" || how === "previous") return goToEvent(how === "next" ? 1 : -1);
  if (how === "all") { show(state.run); return look_at(state.view); }
  look_at({...view, ...MOVES[how](view, view.to - view.from)});
}

function goToEvent(direction) {
  const {first, last} = log.events, middle = (state.view.from + state.view.to) / 2;
  const order = first.map((row, k) => k);
  const isPast = (k) => log.runOf(first[k]) - state.run || (log.clock(first[k]) + log.clock(last[k])) / 2 - middle;
  const slack = (state.view.to - state.view.from) / 1000;
  const next = direction > 0 ? order.find((k) => isPast(k) > slack) : order.reverse().find((k) => isPast(k) < -slack);
  if (next !== undefined) goTo(next);
}

function goTo(event) {
  chooseSensor(page.events[event]);
  jump(log.events.first[event], log.events.last[event], $("events").tBodies[0].rows[event]);
}

function listen() {
  const timeline = $("timeline");
  $("slider").addEventListener("input", () => {
    if (state.asked) return;
    state.asked = true;
    requestAnimationFrame(() => { state.asked = false; setPosition(Number($("slider").value)); });
  });
  $("slider").addEventListener("keydown", (event) => {
    const by = {PageUp: 10, PageDown: -10}[event.key];
    if (by) { event.preventDefault(); setPosition(state.position + by); }
  });
  $("reset").addEventListener("click", () => setPosition(page.position));
  $("run").addEventListener("change", () => { show(Number($("run").value)); look_at(state.view); });
  $("sensor").addEventListener("change", () => { state.sensor = Number($("sensor").value); drawTimeline(state); });
  $("scale").addEventListener("click", () => {
    state.isLog = !state.isLog;
    $("scale").setAttribute("aria-pressed", state.isLog);
    drawTimeline(state);
  });
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => move(button.dataset.move));
  timeline.addEventListener("keydown", (event) => {
    const how = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!how || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    move(how);
  });
  timeline.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const {view} = state, width = view.to - view.from, box = timeline.getBoundingClientRect();
    const at = view.from + width * (event.clientX - box.left) / box.width, factor = event.deltaY > 0 ? 1.25 : 0.8;
    look_at({...view, from: at - (at - view.from) * factor, to: at + (view.to - at) * factor});
  }, {passive: false});
  timeline.on("plotly_relayout", (change) => {
    const [from, to] = change["xaxis.range"] ?? [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    const read = (value) => typeof value === "string" ? Date.parse(value.replace(" ", "T") + "Z") : value;
    if (from !== undefined) look_at({...state.view, from: read(from), to: read(to)});
  });
  timeline.on("plotly_doubleclick", () => { move("all"); return false; });
  $("overview").addEventListener("click", (event) => {
    const [run, time] = $("overview").goTo(event.offsetX, event.offsetY), width = state.view.to - state.view.from;
    if (run !== state.run) { show(run); return look_at(state.view); }
    look_at({...state.view, from: time - width / 2, to: time + width / 2});
  });
  $("overview").addEventListener("mousemove", (event) => { $("overview").title = log.runs[$("overview").goTo(event.offsetX, event.offsetY)[0]].label; });
  const redraw = () => { drawTimeline(state); drawOverview(state); drawCurves(page, rated()); moveMarkers(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => { isPrinted = true; redraw(); });
  addEventListener("afterprint", () => { isPrinted = false; redraw(); });
  addEventListener("resize", () => { drawTimeline(state); drawOverview(state); });
}

start().catch((error) => {
  $("verdict").insertAdjacentText("afterend", `The interactive part of this page could not start (${error.message}); the tables stand as they are.`);
  throw error;
});
