// The alarms of a log at a threshold, and what they find: the same numbers as AlarmPolicy and eventlstm.metrics give.
// A log is {n, levels, times, quiet, stretches, restarts, rules, offCut, isExact, match, events: {first, low, high}}.
// A row is above the threshold that stands at cut c when its level, the number of cuts it is greater than, exceeds c.
"use strict";

const Alarms = (() => {
  const ROUNDINGS = 4; // of decimal times, as log_index.TIME_ROUNDINGS

  // On which rows an alarm is on, as AlarmMachine says row by row.
  function flagRows(log, cut) {
    const flags = new Uint8Array(log.n);
    const ends = [...log.restarts.slice(1), log.n];
    log.restarts.forEach((begin, k) => flagStretch(log, cut, begin, ends[k], flags));
    return flags;
  }

  function flagStretch(log, cut, begin, end, flags) {
    const {levels, rules} = log;
    const off = log.offCut === null ? cut : Math.min(log.offCut, cut);
    const recent = new Uint8Array(rules.n);
    let nRecent = 0, isAbove = false, since = -1, last = -1, on = -1, out = -1; // rows, -1 for none
    for (let row = begin; row < end; row++) {
      isAbove = levels[row] > (isAbove ? off : cut);
      const place = (row - begin) % rules.n;
      nRecent += isAbove - recent[place];
      recent[place] = isAbove;
      const isAbnormal = rules.n === 1 ? isAbove : nRecent >= rules.k;
      if (isAbnormal) {
        last = row;
        if (since < 0) since = row;
        if (on < 0) {
          const cooled = out < 0 || isReached(log, rules.cooldown, out, row);
          if (cooled && isReached(log, rules.min_duration, since, row)) {
            on = row;
            flags[row] = 1;
          }
          continue;
        }
      } else {
        since = -1;
        if (on < 0) continue;
      }
      const isOver = !isAbnormal && isPassed(log, rules.merge_gap, last, row);
      if (isOver || (rules.max_duration && isReached(log, rules.max_duration, on, row))) {
        on = since = -1;
        out = row;
      } else flags[row] = 1;
    }
  }

  function isReached(log, span, then, now) {
    if (span.rows) return now - then >= span.reached;
    return log.times[now] - log.times[then] >= span.reached - rounding(log, log.times[now]);
  }

  function isPassed(log, span, then, now) {
    if (span.rows) return now - then > span.passed;
    return log.times[now] - log.times[then] > span.passed + rounding(log, log.times[now]);
  }

  function rounding(log, time) {
    if (log.isExact) return 0;
    return ROUNDINGS * Math.max(2 ** (Math.floor(Math.log2(Math.abs(time))) - 52), Number.MIN_VALUE);
  }

  // First and last row of each alarm: a maximal run of flagged rows within a stretch.
  function listAlarms(log, flags) {
    const onsets = [], ends = [];
    let next = 0;
    for (let row = 0; row < log.n; row++) {
      const isNew = row === log.stretches[next];
      if (isNew) next++;
      if (!flags[row]) continue;
      if (isNew || !flags[row - 1]) onsets.push(row);
      if (row + 1 === log.n || !flags[row + 1] || row + 1 === log.stretches[next]) ends.push(row);
    }
    return {onsets, ends};
  }

  // The event each alarm is for (-1 for a false alarm), and the row at which each event is found (-1 where missed).
  function matchAlarms(log, flags) {
    const {onsets, ends} = listAlarms(log, flags);
    const {low, high} = log.events;
    const eventOf = new Array(onsets.length).fill(-1), foundAt = new Array(low.length).fill(-1);
    let event = 0;
    onsets.forEach((onset, k) => {
      if (log.match === "onset") {
        while (event + 1 < low.length && low[event + 1] <= onset) event++;
        if (!(low[event] <= onset && onset <= high[event])) return;
        eventOf[k] = event;
        if (foundAt[event] < 0) foundAt[event] = onset;
      } else {
        while (event < high.length && high[event] < onset) event++;
        if (low[event] <= ends[k]) eventOf[k] = event;
      }
    });
    if (log.match === "overlap") {
      low.forEach((begin, k) => {
        for (let row = begin; row <= high[k] && foundAt[k] < 0; row++) if (flags[row]) foundAt[k] = row;
      });
    }
    return {onsets, ends, eventOf, foundAt};
  }

  // All that a page tells of the alarms at a cut.
  function measure(log, cut) {
    const flags = flagRows(log, cut);
    const matched = matchAlarms(log, flags);
    const delays = matched.foundAt.map((row, k) => row < 0 ? Infinity : log.times[row] - log.times[log.events.first[k]]);
    const nFound = matched.foundAt.filter((row) => row >= 0).length;
    const nFalse = matched.eventOf.filter((event) => event < 0).length;
    const quiet = log.totalQuiet;
    let quietOn = 0;
    for (let row = 0; row < log.n; row++) if (flags[row]) quietOn += log.quiet[row];
    const duty = quiet ? quietOn / quiet : NaN;
    const found = nFound + nFalse, nHit = countFound(matched.eventOf);
    return {
      ...matched, flags, delays, n_alarms: matched.onsets.length, n_false: nFalse, n_found: nFound,
      event_recall: delays.length ? nFound / delays.length : NaN,
      event_precision: found ? (nFound / found) * (1 - (quiet ? duty : 0)) : NaN,
      false_alarm_rate: quiet ? nFalse / (quiet / log.ratedTime) : NaN,
      alarm_duty: duty,
      redundant_alarms: nHit ? (matched.onsets.length - nFalse - nHit) / nHit : NaN,
      median_delay: median(delays) * log.delayUnit,
    };
  }

  function countFound(eventOf) {
    return new Set(eventOf.filter((event) => event >= 0)).size;
  }

  // The time within which half of all events are found, NaN where fewer were.
  function median(delays) {
    const sorted = [...delays].sort((a, b) => a - b);
    const middle = sorted[Math.ceil(sorted.length / 2) - 1];
    return Number.isFinite(middle) ? middle : NaN;
  }

  return {flagRows, listAlarms, matchAlarms, measure};
})();

if (typeof module !== "undefined") module.exports = Alarms;
