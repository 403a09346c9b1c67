/**
 * Probabilities as stacked areas, in a picture of their own that is moved on and continued rather than drawn
 * anew: of ten minutes, a second changes one pixel.
 *
 * @typedef {import("./track.js").Track} Track
 * @typedef {object} View  where dates are on the picture
 * @property {number} width
 * @property {number} areas  the height
 * @property {number} speed  pixels per millisecond
 * @property {number} edge  the pixel at the left edge; pixels are counted since 1970
 * @property {(date: number) => number} x
 * @property {number} scale  device pixels per CSS pixel
 * @property {"light" | "dark"} theme
 * @property {{page: string}} inks
 */

import { patternOf } from "./palette.js";

/** The width within which points are one, in CSS pixels: more could not be told apart. */
const COLUMN = 1.5;

export class Areas {
  #canvas = document.createElement("canvas");
  #context = this.#canvas.getContext("2d");
  #key = "";
  #edge = 0;
  #drawn = 0;

  /** Return the picture of a track. @param {Track} track @param {View} view @returns {HTMLCanvasElement} */
  draw(track, view) {
    const { width, areas: height, speed, edge, scale, theme } = view;
    const context = this.#context;
    const key = [width, height, speed, scale, theme, track.revision].join(" ");
    let left = 0;
    if (key !== this.#key || edge < this.#edge || edge - this.#edge >= width) {
      [this.#canvas.width, this.#canvas.height] = [width, height];
    } else {
      if (edge > this.#edge) {
        context.globalCompositeOperation = "copy";
        context.drawImage(this.#canvas, this.#edge - edge, 0);
        context.globalCompositeOperation = "source-over";
      }
      // The newest column may still have got more points.
      left = Math.max(0, Math.floor(view.x(this.#drawn) - 2 * COLUMN * scale));
      context.clearRect(left, 0, width - left, height);
    }
    [this.#key, this.#edge, this.#drawn] = [key, edge, track.points.at(-1)?.at ?? 0];
    context.save();
    context.beginPath();
    context.rect(left, 0, width - left, height);
    context.clip();
    const from = (left + edge) / speed;
    for (const run of runsOf(track, from - (3 * COLUMN * scale) / speed, (edge + width) / speed, view)) {
      fill(context, track.labels, run, view);
      separate(context, track.labels, run, view);
    }
    context.restore();
    return this.#canvas;
  }
}

function fill(context, labels, run, { areas: height, theme, scale, edge }) {
  const floor = new Float32Array(run.length);
  labels.forEach((label, i) => {
    const pattern = patternOf(context, label, theme, scale);
    // Patterns stay with what they fill as that moves to the left.
    pattern.setTransform(new DOMMatrix().translate(-(edge % (8 * Math.max(1, Math.round(scale)))), 0));
    context.fillStyle = pattern;
    context.beginPath();
    run.forEach((column, k) => context.lineTo(column.x, height * (1 - floor[k])));
    for (let k = run.length - 1; k >= 0; k--) {
      floor[k] += run[k].shares[i];
      context.lineTo(run[k].x, height * (1 - floor[k]));
    }
    context.fill();
  });
}

/** Draw a thin line between neighbours, for those who see neither their colours nor their patterns well. */
function separate(context, labels, run, { areas: height, scale, inks }) {
  const share = new Float32Array(run.length);
  context.strokeStyle = inks.page;
  context.globalAlpha = 0.55;
  context.lineWidth = 0.75 * scale;
  labels.slice(0, -1).forEach((_, i) => {
    context.beginPath();
    run.forEach((column, k) => {
      share[k] += column.shares[i];
      context.lineTo(column.x, height * (1 - share[k]));
    });
    context.stroke();
  });
  context.globalAlpha = 1;
}

/**
 * Return what is seen of the points between two dates, each run without a gap apart: their mean within each
 * column, so that an hour costs no more than a minute. Columns are counted since 1970, as pixels are, so that
 * they stay the same wherever drawing begins.
 *
 * @returns {{x: number, shares: Float32Array}[][]}
 */
function runsOf(track, from, to, { x, speed, scale }) {
  const { points, hop_ms } = track;
  const columnOf = (date) => Math.floor((date * speed) / (COLUMN * scale));
  const runs = [];
  let [run, column, n] = [[], NaN, 0];
  // One more on the left, so that the line comes from beyond the edge.
  let k = Math.max(0, track.indexAt(from) - 1);
  // Its column as a whole: half of it would have another mean.
  while (k > 0 && columnOf(points[k - 1].at) === columnOf(points[k]?.at)) k--;
  for (; k < points.length && points[k].at - hop_ms <= to; k++) {
    const point = points[k];
    if (!point.follows || !run.length) {
      // A point stands for the hop before it.
      run = point.follows ? [] : [{ x: x(point.at - hop_ms), shares: point.shares }];
      runs.push(run);
      column = NaN;
    }
    if (columnOf(point.at) === column) {
      n += 1;
      const mean = run.at(-1);
      mean.shares = mean.shares.map((share, i) => share + (point.shares[i] - share) / n);
      mean.x = x(point.at);
    } else {
      [column, n] = [columnOf(point.at), 1];
      run.push({ x: x(point.at), shares: point.shares });
    }
  }
  return runs;
}
