/**
 * Draws a recording: its outline, the probabilities under it as stacked areas, its stretches, and the time.
 *
 * @typedef {import("./analysis.js").Analysis} Analysis
 * @typedef {object} Shown
 * @property {Analysis} analysis
 * @property {import("./peaks.js").Peaks} peaks
 * @property {number} duration_s
 * @property {import("./span.js").Span} span  what is to be seen of it
 * @property {"light" | "dark"} theme
 * @property {import("./texts.js").Texts} texts
 */

import { inkOn, lookOf, patternOf } from "./palette.js";

/** Heights in CSS pixels, from top to bottom; the areas have the rest. */
const WAVE = 84;
const SPACE = 6;
const STRIP = 22;
const AXIS = 20;
/** How much the outline of a quiet recording is enlarged at the most. */
const MOST_GAIN = 30;
const FONT = "system-ui, sans-serif";

const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200];
/** The room that a time needs, in CSS pixels. */
const LABEL_WIDTH = 64;
/** Windows nearer to each other than this, in CSS pixels, are drawn as their mean. */
const COLUMN = 1.5;

const INKS = {
  light: { soft: "#565d66", line: "#dfe3e8", wave: "#6b7682", none: "#eef0f3", page: "#ffffff" },
  dark: { soft: "#a3adb9", line: "#2b323c", wave: "#8a97a6", none: "#1a2028", page: "#161b22" },
};

/** Draw everything. @param {HTMLCanvasElement} canvas @param {Shown} shown */
export function drawRecording(canvas, shown) {
  const scale = globalThis.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.round(length * scale));
  if (!width || !height) return;
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const top = (WAVE + SPACE) * scale;
  const strip = height - (STRIP + AXIS) * scale;
  const x = (seconds) => shown.span.shareOf(seconds) * width;
  const view = { ...shown, context, scale, width, top, strip, x, inks: INKS[shown.theme] };
  context.fillStyle = view.inks.none;
  context.fillRect(0, top, width, strip - SPACE * scale - top);
  context.fillRect(0, strip, width, STRIP * scale);
  drawWave(view);
  drawAreas(view);
  drawStrip(view);
  drawAxis(view);
}

function drawWave({ context, peaks, span, duration_s, width, scale, inks }) {
  const half = (WAVE * scale) / 2;
  // Quiet recordings have an outline too.
  const gain = Math.min(MOST_GAIN, 1 / Math.max(...peaks.between(0, 1).map(Math.abs)));
  context.fillStyle = inks.line;
  context.fillRect(0, Math.round(half), width, 1);
  context.fillStyle = inks.wave;
  for (let column = 0; column < width; column++) {
    const [from, to] = [column, column + 1].map((x) => (span.from_s + (span.length_s * x) / width) / duration_s);
    const [low, high] = peaks.between(from, to).map((sample) => gain * sample);
    const y = half * (1 - high);
    context.fillRect(column, y, 1, Math.max(1, half * (1 - low) - y));
  }
}

function drawAreas(view) {
  const { context, analysis, theme, scale, top, strip, inks, x } = view;
  const height = strip - SPACE * scale - top;
  const y = (share) => top + height * (1 - share);
  context.save();
  context.beginPath();
  // Where no voice is, nothing was judged.
  for (const { start_s, end_s } of analysis.heard) context.rect(x(start_s), top, x(end_s) - x(start_s), height);
  context.clip();
  for (const run of runsOf(view)) {
    const floors = new Float64Array(run.length);
    analysis.labels.forEach((label, i) => {
      context.fillStyle = patternOf(context, label, theme, scale);
      context.beginPath();
      run.forEach((column, k) => context.lineTo(column.x, y(floors[k])));
      for (let k = run.length - 1; k >= 0; k--) context.lineTo(run[k].x, y((floors[k] += run[k].shares[i])));
      context.fill();
    });
    // A thin line between neighbours, for those who see neither their colours nor their patterns well.
    floors.fill(0);
    [context.strokeStyle, context.lineWidth, context.globalAlpha] = [inks.page, 0.75 * scale, 0.55];
    for (let i = 0; i + 1 < analysis.labels.length; i++) {
      context.beginPath();
      run.forEach((column, k) => context.lineTo(column.x, y((floors[k] += column.shares[i]))));
      context.stroke();
    }
    context.globalAlpha = 1;
  }
  context.restore();
}

/**
 * Return the windows as columns, each run without a gap apart: a window stands at its middle, and at its edge
 * where voice begins or ends.
 *
 * @returns {{x: number, shares: number[]}[][]}
 */
function runsOf({ analysis, duration_s, span, x, scale }) {
  const { windows, window: length, hop, sample_rate } = analysis;
  const runs = [];
  let [run, n] = [[], 0];
  // What is drawn beyond the edges costs time alone; a window reaches one length to either side.
  const [first, last] = [span.from_s * sample_rate - length - hop, span.to_s * sample_rate + hop];
  windows.forEach(({ start, end, smoothed }, i) => {
    if (start < first || start > last) return;
    const follows = i > 0 && start - windows[i - 1].start === hop;
    const leads = i + 1 < windows.length && windows[i + 1].start - start === hop;
    const at = x((start + length / 2) / sample_rate);
    if (!follows || !run.length) {
      const before = runs.at(-1)?.at(-1)?.x ?? -Infinity;
      run = [{ x: follows ? at : Math.max(before, x(start / sample_rate)), shares: smoothed }];
      runs.push(run);
      n = 0;
    }
    const column = run.at(-1);
    if (n && at - column.x < COLUMN * scale) {
      n += 1;
      column.shares = column.shares.map((share, k) => share + (smoothed[k] - share) / n);
    } else {
      run.push({ x: Math.min(at, x(duration_s)), shares: smoothed });
      n = 1;
    }
    if (!leads) run.push({ x: x(Math.min(end / sample_rate, duration_s)), shares: smoothed });
  });
  return runs;
}

function drawStrip({ context, analysis, theme, texts, scale, width: most, strip, x }) {
  context.font = `600 ${11.5 * scale}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const { label, start_s, end_s } of analysis.timeline) {
    const [left, right] = [Math.max(0, x(start_s)), Math.min(most, x(end_s))];
    if (right <= left) continue;
    context.fillStyle = patternOf(context, label, theme, scale);
    context.fillRect(left, strip, Math.max(scale, right - left - scale), STRIP * scale);
    const name = texts.label(label);
    const width = context.measureText(name).width + 8 * scale;
    if (width > right - left - 3 * scale) continue;
    // A plate of its own: words cannot be read on patterns.
    const fill = lookOf(label).fill[theme];
    context.fillStyle = fill;
    context.fillRect(left + 2 * scale, strip + 3 * scale, width, (STRIP - 6) * scale);
    context.fillStyle = inkOn(fill);
    context.fillText(name, left + 6 * scale, strip + (STRIP / 2 + 0.5) * scale);
  }
}

function drawAxis({ context, span, texts, scale, width, strip, x, inks }) {
  const room_s = (LABEL_WIDTH * scale * span.length_s) / width;
  const step = STEPS_S.find((s) => s >= room_s) ?? STEPS_S.at(-1);
  const top = strip + STRIP * scale;
  context.font = `${11 * scale}px ${FONT}`;
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  for (let n = Math.ceil(span.from_s / step); n * step <= span.to_s; n++) {
    const at = n * step;
    context.fillStyle = inks.line;
    context.fillRect(Math.round(x(at)), top, Math.max(1, Math.round(scale)), 5 * scale);
    const text = step < 1 ? `${texts.number(at)} s` : texts.duration(at);
    const half = context.measureText(text).width / 2;
    if (x(at) + half > width) continue;
    context.fillStyle = inks.soft;
    context.fillText(text, Math.max(half, x(at)), top + 16 * scale);
  }
}
