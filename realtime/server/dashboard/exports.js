/**
 * Analyses as text: what `tonewatch analyze FILES --format csv|json|audacity` prints, to the last character.
 *
 * Only the dates inside the JSON differ: each analysis has its own.
 *
 * @typedef {import("./analysis.js").Analysis} Analysis
 * @typedef {"csv" | "json" | "audacity"} Format
 */

import { nameOf, SCALES } from "./analysis.js";
import { fixed, fraction, indented, membersOf, rounded } from "./numbers.js";

/** What a browser should make of each format: its type, and the ending of its files. @type {Record<Format, {type: string, ending: string}>} */
export const FORMATS = {
  csv: { type: "text/csv", ending: ".csv" },
  json: { type: "application/json", ending: ".json" },
  audacity: { type: "text/plain", ending: ".labels.txt" },
};

/** What would begin another column or row of a label track. */
const CONTROL = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g;

/**
 * Return `analyses` as text.
 *
 * @param {Analysis[]} analyses
 * @param {Format} format
 * @param {boolean} [whole]  one answer per file instead of a timeline
 * @returns {string}
 */
export function exported(analyses, format, whole = false) {
  const text = { csv: asCsv, json: asJson, audacity: asAudacity }[format](analyses, whole);
  const trimmed = text.replace(/\n+$/, "");
  return trimmed && `${trimmed}\n`; // of recordings without a voice a label track is empty
}

function asCsv(analyses, whole) {
  const labels = analyses[0]?.labels ?? [];
  const more = whole ? [] : [...labels.map((label) => `smoothed_${label}`), ...SCALES];
  const rows = [["file", "truth", "start_s", "end_s", "label", "probability", ...labels, ...more]];
  const share = (value) => fixed(value, 4);
  for (const a of analyses) {
    const head = [a.path, a.truth ?? ""];
    if (whole) {
      const { label, probability } = a.whole;
      rows.push([...head, "0", fixed(a.duration_s, 3), label, share(probability), ...a.probabilities.map(share)]);
      continue;
    }
    for (const w of a.windows) {
      const times = [w.start, w.end].map((sample) => fixed(sample / a.sample_rate, 3));
      const scales = w.scales.map((value) => (value === null ? "" : share(value)));
      rows.push([...head, ...times, w.label, ...[w.probability, ...w.probabilities, ...w.smoothed].map(share), ...scales]);
    }
  }
  return rows.map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

function quoted(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

function asAudacity(analyses, whole) {
  return analyses
    .flatMap((a) => {
      const prefix = analyses.length > 1 ? `${nameOf(a.path).replace(CONTROL, " ")}: ` : "";
      const stretches = whole ? [{ start_s: 0, end_s: a.duration_s, label: a.whole.label }] : a.timeline;
      return stretches.map((s) => `${fixed(s.start_s, 6)}\t${fixed(s.end_s, 6)}\t${prefix}${s.label}\n`);
    })
    .join("");
}

function asJson(analyses, whole) {
  return indented(`[${analyses.map((a) => asObject(a, whole)).join(",")}]`);
}

function asObject(a, whole) {
  const share = (value) => fraction(rounded(value, 6));
  const { label, probability } = a.whole;
  const members = [
    ["file", JSON.stringify(a.path)],
    ["duration_s", share(a.duration_s)],
    ["label", JSON.stringify(label)],
    ["probability", share(probability)],
    ["probabilities", object(a.probabilities.map((p, i) => [a.labels[i], share(p)]))],
    ["truth", JSON.stringify(a.truth)],
    ["dropped", String(a.dropped)],
  ];
  if (!whole) members.push(["events", `[${a.events.map((text) => asEvent(text, nameOf(a.path))).join(",")}]`]);
  return object(members);
}

/** Return a message as if no server had been in between. */
function asEvent(text, name) {
  const changed = {
    stream: JSON.stringify(name),
    // How long a server with many guests took says nothing about a recording.
    latency_ms: '{"queue":0.0,"features":0.0,"inference":0.0}',
  };
  return object(membersOf(text).filter(([key]) => key !== "sent").map(([key, value]) => [key, changed[key] ?? value]));
}

/** @param {[string, string][]} members  values in JSON @returns {string} */
function object(members) {
  return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(",")}}`;
}
