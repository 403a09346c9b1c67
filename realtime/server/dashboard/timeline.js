/**
 * Draws a stream's past on a canvas: probabilities as stacked areas, the segments below them, then the time.
 *
 * @typedef {import("./track.js").Track} Track
 * @typedef {object} Window  what is to be seen
 * @property {number} from  the left edge's date, in milliseconds since 1970
 * @property {number} to  the right edge's
 * @property {number | null} cursor  a date to mark
 * @property {"light" | "dark"} theme
 * @property {import("./texts.js").Texts} texts
 */

import { Areas } from "./areas.js";
import { inkOn, lookOf, patternOf } from "./palette.js";

/** Heights in CSS pixels. */
const STRIP = 22;
const AXIS = 20;
const SPACE = 5;

const STEPS_S = [10, 30, 60, 120, 300, 600, 900, 1800, 3600];
/** The room that a time of day needs, in CSS pixels. */
const LABEL_WIDTH = 64;

const INKS = {
  light: { soft: "#565d66", line: "#dfe3e8", mark: "#15181c", none: "#eef0f3", hatch: "#cfd5dc", page: "#ffffff" },
  dark: { soft: "#a3adb9", line: "#2b323c", mark: "#e9edf2", none: "#1a2028", hatch: "#323a45", page: "#161b22" },
};

/** A canvas that fits its element, in device pixels. */
export class Timeline {
  #canvas;
  #context;
  #areas = new Areas();
  #size = { width: 0, height: 0 };

  /** @param {HTMLCanvasElement} canvas @param {() => void} onResize  called when it must be drawn again */
  constructor(canvas, onResize) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    // Asked for its size at each drawing, the browser would have to lay out the page each time.
    new ResizeObserver(([entry]) => {
      this.#size = entry.contentRect;
      onResize();
    }).observe(canvas);
  }

  /** The canvas' width in device pixels. */
  get width() {
    return this.#canvas.width;
  }

  /** Draw everything. @param {Track} track @param {Window} window */
  draw(track, window) {
    const context = this.#context;
    const scale = globalThis.devicePixelRatio || 1;
    const [width, height] = [this.#size.width, this.#size.height].map((length) => Math.round(length * scale));
    if (!width || !height) return;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      [this.#canvas.width, this.#canvas.height] = [width, height];
    }
    const inks = INKS[window.theme];
    const speed = width / (window.to - window.from);
    // The left edge is a whole number of pixels since 1970, so that pictures of different times fit together.
    const edge = Math.floor(window.from * speed);
    const areas = Math.round(height - (STRIP + AXIS + SPACE) * scale);
    const view = { ...window, inks, scale, width, speed, edge, areas, x: (date) => date * speed - edge };
    context.clearRect(0, 0, width, height);
    context.fillStyle = inks.none;
    context.fillRect(0, 0, width, view.areas);
    context.fillRect(0, view.areas + SPACE * scale, width, STRIP * scale);
    drawConditions(context, track, view);
    context.drawImage(this.#areas.draw(track, view), 0, 0);
    drawStrip(context, track, view);
    drawAxis(context, view);
    if (window.cursor !== null) drawCursor(context, view);
  }
}

/** Hatch the times at which the stream said why there is no prediction, and name them where there is room. */
function drawConditions(context, track, view) {
  const { x, areas, scale, inks, width, texts } = view;
  const top = areas + SPACE * scale;
  track.conditions.forEach((condition, i) => {
    if (condition.state === "listening" || condition.state === "clipping") return;
    const left = Math.max(0, x(condition.from));
    const right = Math.min(width, x(track.conditions[i + 1]?.from ?? view.to));
    if (right <= left) return;
    context.save();
    context.beginPath();
    context.rect(left, top, right - left, STRIP * scale);
    context.clip();
    context.strokeStyle = inks.hatch;
    context.lineWidth = scale;
    context.beginPath();
    for (let at = left - (left % (6 * scale)) - STRIP * scale; at < right; at += 6 * scale) {
      context.moveTo(at, top + STRIP * scale);
      context.lineTo(at + STRIP * scale, top);
    }
    context.stroke();
    context.restore();
    drawName(context, texts.t(`live.${condition.state}`), left, right, view, inks.none, inks.soft);
  });
}

function drawStrip(context, track, view) {
  const { x, areas, scale, width, theme, texts } = view;
  const top = areas + SPACE * scale;
  // What goes on has come as far as the voice.
  const now = track.points.at(-1)?.heard ?? view.to;
  for (const { label, from, to } of track.stretches) {
    const [left, right] = [Math.max(0, x(from)), Math.min(width, x(to ?? now))];
    if (right <= left) continue;
    context.fillStyle = patternOf(context, label, theme, scale);
    context.fillRect(left, top, Math.max(scale, right - left - scale), STRIP * scale);
    const fill = lookOf(label).fill[theme];
    drawName(context, texts.label(label), left, right - scale, view, fill, inkOn(fill));
  }
}

/** Write a name into a stretch of the strip, on a plate of its own; not at all where there is no room. */
function drawName(context, name, left, right, view, plate, ink) {
  const { scale, areas } = view;
  context.font = `600 ${11.5 * scale}px system-ui, sans-serif`;
  const width = context.measureText(name).width + 8 * scale;
  if (width > right - left - 2 * scale) return;
  const top = areas + (SPACE + 3) * scale;
  context.fillStyle = plate;
  context.fillRect(left + 3 * scale, top, width, (STRIP - 6) * scale);
  context.fillStyle = ink;
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillText(name, left + 7 * scale, top + (STRIP / 2 - 2.5) * scale);
}

function drawAxis(context, view) {
  const { from, to, x, areas, scale, inks, width, texts } = view;
  const room = (LABEL_WIDTH * scale * (to - from)) / width / 1000;
  const step = 1000 * (STEPS_S.find((s) => s >= room) ?? STEPS_S.at(-1));
  // Whole minutes of the place, not of Greenwich: some places are half an hour off.
  const offset = new Date(to).getTimezoneOffset() * 60_000;
  const top = areas + (SPACE + STRIP) * scale;
  context.font = `${11 * scale}px system-ui, sans-serif`;
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  for (let date = Math.ceil((from - offset) / step) * step + offset; date <= to; date += step) {
    const at = Math.round(x(date));
    context.fillStyle = inks.line;
    context.fillRect(at, top, Math.max(1, Math.round(scale)), 5 * scale);
    const text = texts.time(date, step < 60_000);
    const half = context.measureText(text).width / 2;
    if (at < half || at > width - half) continue;
    context.fillStyle = inks.soft;
    context.fillText(text, at, top + 16 * scale);
  }
}

function drawCursor(context, view) {
  const { x, cursor, areas, scale, inks } = view;
  const at = Math.round(x(cursor));
  context.fillStyle = inks.mark;
  context.fillRect(at - Math.round(scale / 2), 0, Math.max(1, Math.round(1.5 * scale)), areas + (SPACE + STRIP) * scale);
}
