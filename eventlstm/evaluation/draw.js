// Drawing: the overview of all runs, the timeline of one, and the two curves. Rows are drawn by the lowest and highest
// of each pixel, so that a million are as quick as a thousand; numbers are never taken from what is drawn.
"use strict";

const LANES = {events: 0, alarms: -1}; // heights in the strip below the scores
const TALLEST = 260, READABLE = 11; // pixels: of all runs in the overview, and of one that has room for its name
const FEWEST_PIXELS = 4; // of an event or alarm however short
const MOST_SHADES = 150; // events shaded behind the scores
const CONFIG = {displayModeBar: false, responsive: true};

const PRINTED = 680; // pixels: the width of a sheet of A4 between its margins
let isPrinted = false;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function look(layout) {
  const axis = {gridcolor: color("line"), zeroline: false, linecolor: color("line"), automargin: true};
  const named = Object.fromEntries(Object.entries(layout).map(([name, value]) =>
    [name, /^[xy]axis/.test(name) ? {...axis, ...value} : value]));
  return {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    font: {color: color("ink"), size: 12}, margin: {l: 60, r: 16, t: 10, b: 44},
    legend: {orientation: "h", y: 1.12, x: 0}, autosize: !isPrinted, width: isPrinted ? PRINTED : undefined, ...named};
}

// Lowest and highest value in each of so many pieces of some rows, in the order they come; null breaks the line.
function thin(log, values, begin, end, pixels) {
  const rows = [], every = Math.max(1, (end - begin) / pixels);
  const add = (row) => {
    const before = rows[rows.length - 1];
    if (before !== undefined && log.gapAfter(before) < row) rows.push(null);
    rows.push(row);
  };
  for (let piece = 0; begin + piece * every < end; piece++) {
    const from = Math.floor(begin + piece * every), to = Math.min(end, Math.max(from + 1, Math.floor(begin + (piece + 1) * every)));
    let low = from, high = from;
    for (let row = from + 1; row < to; row++) {
      if (values[row] < values[low]) low = row;
      if (values[row] > values[high]) high = row;
    }
    if (low === high) add(low);
    else { add(Math.min(low, high)); add(Math.max(low, high)); }
  }
  return rows;
}

// The ends of spans of rows, in the time of the axis, with a gap after each; those out of sight are left out, and those
// less than a pixel apart drawn as one.
function spans(log, first, last, view, height) {
  const x = [], y = [], pixel = (view.to - view.from) / 1000, shortest = FEWEST_PIXELS * pixel;
  for (let k = 0; k < first.length; k++) {
    if (first[k] < view.begin || last[k] >= view.end) continue;
    const start = log.clock(first[k]), stop = Math.max(log.clock(last[k]) + log.stepOnAxis, start + shortest);
    if (stop < view.from || start > view.to) continue;
    if (x.length && start - x[x.length - 2] < pixel) { x[x.length - 2] = Math.max(stop, x[x.length - 2]); continue; }
    x.push(start, stop, null);
    y.push(height, height, null);
  }
  return {x, y};
}

function drawTimeline(state) {
  const {log, view, now, cuts} = state;
  const node = document.getElementById("timeline");
  const [begin, end] = log.rowsWithin(view);
  const rows = thin(log, log.levels, begin, end, Math.max(300, node.clientWidth));
  const times = rows.map((row) => row === null ? null : log.clock(row));
  const isFalse = now.eventOf.map((event) => event < 0);
  const some = (mask, wanted) => [now.onsets, now.ends].map((list) => list.filter((_, k) => mask[k] === wanted));
  const {first, last} = log.events;
  const strip = {type: "scatter", mode: "lines", yaxis: "y2", hoverinfo: "x+name"};
  const lane = (name, shade, from, to, height) =>
    ({...strip, name, line: {color: color(shade), width: 11}, ...spans(log, from, to, view, height)});
  const threshold = cuts[state.cut];
  const data = [
    {x: times, y: rows.map((row) => row === null ? null : cuts[log.levels[row]]), type: "scatter", mode: "lines",
      name: "score", line: {color: color("score"), width: 1}, hovertemplate: "%{x}<br>score %{y:.4g}<extra></extra>"},
    lane("event", "event", first, last, LANES.events),
    lane("alarm for an event", "found", ...some(isFalse, false), LANES.alarms),
    lane("false alarm", "false", ...some(isFalse, true), LANES.alarms),
  ];
  const bottom = state.sensor < 0 ? 1 : 0.64;
  if (state.sensor >= 0) data.push(sensorTrace(state, begin, end, Math.max(300, node.clientWidth)));
  const shades = spans(log, first, last, view, 0).x;
  const shapes = [{type: "line", xref: "paper", x0: 0, x1: 1, y0: threshold, y1: threshold,
    line: {color: color("ink"), width: 1, dash: "dash"}}];
  for (let k = 0; k < shades.length && k < 3 * MOST_SHADES; k += 3)
    shapes.push({type: "rect", x0: shades[k], x1: shades[k + 1], yref: "paper", y0: 0.18, y1: 1, layer: "below",
      fillcolor: color("event"), opacity: 0.16, line: {width: 0}});
  const layout = look({
    xaxis: {type: log.isDate ? "date" : "linear", range: [view.from, view.to], anchor: "y2"},
    yaxis: {title: {text: "score"}, domain: [0.18, bottom], type: state.isLog ? "log" : "linear", fixedrange: true,
      ...(state.isLog ? {} : {rangemode: "tozero"})},
    ...(state.sensor < 0 ? {} : {yaxis3: {domain: [0.7, 1], fixedrange: true, title: {text: page.sensors[state.sensor].name}}}),
    yaxis2: {domain: [0, 0.13], range: [-1.6, 0.6], fixedrange: true, showgrid: false, tickvals: [LANES.events, LANES.alarms],
      ticktext: ["events", "alarms"]},
    shapes, dragmode: "zoom", height: node.clientHeight, uirevision: "timeline",
  });
  return Plotly.react(node, data, layout, CONFIG);
}

function sensorTrace({log, values, sensor}, begin, end, pixels) {
  const {name, low, step} = page.sensors[sensor], own = values.subarray(sensor * log.n, (sensor + 1) * log.n);
  const rows = thin(log, own, begin, end, pixels), isKnown = (row) => row !== null && own[row] > 0;
  return {x: rows.map((row) => row === null ? null : log.clock(row)), y: rows.map((row) => isKnown(row) ? low + (own[row] - 1) * step : null),
    type: "scatter", mode: "lines", yaxis: "y3", name, line: {color: color("muted"), width: 1}, showlegend: false,
    hovertemplate: "%{x}<br>about %{y:.4g}<extra></extra>"};
}

function drawOverview(state) {
  const {log, now, view} = state, canvas = document.getElementById("overview");
  const width = canvas.clientWidth, left = 110, height = log.runs.length === 1 ? 22 : Math.max(5, Math.min(16, Math.floor(TALLEST / log.runs.length)));
  const scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height * log.runs.length + 6}px`;
  canvas.width = width * scale;
  canvas.height = (height * log.runs.length + 6) * scale;
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  paint.font = "11px system-ui, sans-serif";
  const bars = (list, to, shade, top, share) => {
    paint.fillStyle = shade;
    for (let k = 0; k < list.length; k++) {
      const run = log.runOf(list[k]), [from, until] = log.limits(run);
      const place = (time) => left + (width - left - 4) * (time - from) / (until - from || 1);
      const start = place(log.clock(list[k]));
      const wide = Math.max(2, place(log.clock(to[k])) - start);
      paint.fillRect(start, run * height + height * top + 1, wide, height * share - 1);
    }
  };
  log.runs.forEach((run, k) => {
    paint.fillStyle = color("panel");
    paint.fillRect(left, k * height + 1, width - left - 4, height - 2);
    paint.fillStyle = color(k === state.run ? "ink" : "muted");
    if (height >= READABLE || k === state.run) paint.fillText(run.label.slice(0, 16), 2, Math.max(10, k * height + height / 2 + 4));
  });
  bars(log.events.first, log.events.last, color("event"), 0, 0.5);
  const isFalse = now.eventOf.map((event) => event < 0);
  for (const wanted of [false, true]) {
    const [from, to] = [now.onsets, now.ends].map((list) => list.filter((_, k) => isFalse[k] === wanted));
    bars(from, to, color(wanted ? "false" : "found"), 0.5, 0.5);
  }
  const [from, until] = log.limits(state.run);
  const place = (time) => left + (width - left - 4) * (time - from) / (until - from || 1);
  paint.strokeStyle = color("ink");
  paint.strokeRect(place(view.from), state.run * height + 0.5, Math.max(2, place(view.to) - place(view.from)), height - 1);
  canvas.goTo = (x, y) => {
    const run = Math.min(log.runs.length - 1, Math.floor(y / height)), [begin, end] = log.limits(run);
    return [run, begin + (end - begin) * Math.min(1, Math.max(0, (x - left) / (width - left - 4)))];
  };
}

const bandOf = (x, low, high, name, shade) => [
  {x, y: high, mode: "lines", line: {width: 0, shape: "hv"}, hoverinfo: "skip", showlegend: false},
  {x, y: low, mode: "lines", line: {width: 0, shape: "hv"}, fill: "tonexty", fillcolor: shade, name, hoverinfo: "skip"}];

function drawCurves(page, rated) {
  const {curve, rows} = page, shade = "rgba(86,160,210,0.25)";
  // Lower still, alarms grow together: fewer are counted, and those on before an event begins are not for it.
  const last = curve.event_recall.lastIndexOf(Math.max(...curve.event_recall));
  const length = Math.min(curve.false_alarm_rate.indexOf(Math.max(...curve.false_alarm_rate)), last < 0 ? Infinity : last) + 1;
  const upTo = (list) => list.slice(0, length);
  const rate = upTo(curve.false_alarm_rate).map((value) => value * rated);
  const wanted = Math.max(4 * page.budget * rated, 1.6 * rated * (page.measures.false_alarm_rate[0] || 0));
  const most = Math.min(wanted, 1.05 * Math.max(...rate)) || 1;
  const here = {mode: "markers", marker: {size: 12, color: color("false"), line: {color: color("paper"), width: 2}}, name: "this threshold"};
  Plotly.react("curve-alarms", [
    ...bandOf(rate, upTo(curve.low), upTo(curve.high), "95 % interval", shade),
    {x: rate, y: upTo(curve.event_recall), mode: "lines", line: {color: color("score"), width: 2, shape: "hv"}, name: "events found",
      customdata: curve.threshold, hovertemplate: "%{x:.3g} false alarms<br>%{y:.0%} of events<br>threshold %{customdata:.4g}<extra></extra>"},
    {x: [null], y: [null], ...here},
  ], look({xaxis: {title: {text: `false alarms per ${page.per}`}, range: [-0.02 * most, most]},
    yaxis: {title: {text: "share of events found"}, range: [0, 1.04], tickformat: ".0%"}}), CONFIG);
  const recall = rows.hits.map((hits) => hits / rows.n_positive), precision = rows.hits.map((hits, k) => hits / rows.flagged[k]);
  Plotly.react("curve-rows", [
    ...(page.band.length ? bandOf(page.band[0], page.band[1], page.band[2], "95 % interval", shade) : []),
    {x: recall, y: precision, mode: "lines", line: {color: color("score"), width: 2}, name: "precision",
      customdata: rows.threshold, hovertemplate: "recall %{x:.3f}<br>precision %{y:.3f}<br>threshold %{customdata:.4g}<extra></extra>"},
    {x: [0, 1], y: [page.card.event_rate, page.card.event_rate], mode: "lines", line: {color: color("muted"), dash: "dot", width: 1}, name: "random scores"},
    {x: [null], y: [null], ...here},
  ], look({xaxis: {title: {text: "recall: share of event rows flagged"}, range: [0, 1.02], tickformat: ".0%"},
    yaxis: {title: {text: "precision: share of flagged rows in events"}, range: [0, 1.04], tickformat: ".0%"}}), CONFIG);
}
