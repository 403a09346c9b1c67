/** One recording, opened: its picture, playback, figures and downloads. */

import { nameOf } from "./analysis.js";
import { make, say } from "./dom.js";
import { downloadButtons } from "./download.js";
import { faceOf } from "./faces.js";
import { paint } from "./palette.js";
import { Player } from "./player.js";
import { Scrubber } from "./scrubber.js";
import { Span, ZOOM } from "./span.js";
import { drawRecording } from "./waveform.js";

export class RecordingView {
  /** @type {HTMLElement} */
  element = make("article", "recording panel");

  #title = make("h3", "recording-name");
  #answer = make("div", "recording-answer");
  #note = make("p", "recording-note");
  #canvas = make("canvas");
  #picture = make("div", "picture", this.#canvas);
  #play = make("button", "button primary play");
  #time = make("p", "recording-time");
  #fault = make("p", "fault");
  #figures = make("div", "figures");
  #stretches = make("details", "stretches");
  #player = new Player(() => this.#follow(true));
  #span = new Span(() => this.#zoomed());
  #larger = zoomButton("files.larger", "+", () => this.#span.zoom(ZOOM, this.#player.at_s));
  #smaller = zoomButton("files.smaller", "−", () => this.#span.zoom(1 / ZOOM, this.#player.at_s));
  #frame = 0;
  #scrubber;
  #options;
  #texts;

  /** @type {import("./job.js").Job | null} */
  #job = null;

  /** @param {{theme: () => "light" | "dark"}} options @param {import("./texts.js").Texts} texts */
  constructor(options, texts) {
    [this.#options, this.#texts] = [options, texts];
    this.#scrubber = new Scrubber(this.#picture, this.#player, this.#span, options, texts);
    this.#play.type = "button";
    this.#play.addEventListener("click", () => this.#player.toggle());
    this.#title.tabIndex = -1;
    const what = () => ({ name: stemOf(this.#job.path), analyses: [this.#job.analysis] });
    const transport = make("div", "transport", this.#play, this.#time, this.#smaller, this.#larger, downloadButtons("files.download-one", what, texts));
    this.element.append(
      make("header", "recording-head", make("div", "", this.#title, this.#note), this.#answer),
      this.#picture,
      transport,
      this.#fault,
      this.#figures,
      this.#stretches,
    );
    this.element.hidden = true;
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
  }

  /** The recording that is open. @returns {import("./job.js").Job | null} */
  get job() {
    return this.#job;
  }

  /** Open a recording that is done; null closes. @param {import("./job.js").Job | null} job */
  show(job) {
    if (job === this.#job) return;
    this.#job = job;
    this.element.hidden = !job;
    this.#player.load(job?.file ?? null);
    this.#stretches.open = false;
    if (!job) return;
    this.#span.reset(job.duration_s);
    this.#scrubber.show(job);
    this.render();
  }

  /** Bring the recording to the reader's attention. */
  focus() {
    this.#title.focus({ preventScroll: true });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.element.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest" });
  }

  /** Fall silent, where the view is left. */
  pause() {
    this.#player.pause();
  }

  /** Draw and write everything, after a change of language or theme too. */
  render() {
    const job = this.#job;
    if (!job) return;
    const { analysis } = job;
    const texts = this.#texts;
    texts.apply(this.element);
    say(this.#title, job.path);
    const notes = [texts.duration(job.duration_s)];
    if (analysis.truth) notes.push(texts.t("files.truth", { label: texts.label(analysis.truth) }));
    if (analysis.dropped) notes.push(texts.t("files.lost", { n: analysis.dropped, why: analysis.losses.join("; ") }));
    say(this.#note, notes.join(" · "));
    this.#renderAnswer(analysis);
    this.#figures.replaceChildren(...(analysis.windows.length ? [this.#shares(analysis), this.#means(analysis)] : []));
    this.#renderStretches(analysis);
    this.#draw();
    this.#follow(false);
  }

  #renderAnswer({ whole, windows }) {
    const texts = this.#texts;
    const caption = make("p", "caption", texts.t("files.whole"));
    const words = make("p", "emotion", windows.length ? texts.label(whole.label) : texts.t("files.no-voice"));
    const text = make("div", "", caption, words);
    this.#answer.replaceChildren(text);
    if (!windows.length) return;
    words.append(make("span", "share", ` ${texts.percent(whole.probability)}`));
    this.#answer.prepend(faceOf(whole.label));
    paint(this.#answer, whole.label, this.#options.theme());
  }

  #shares(analysis) {
    const rows = analysis.shares.map(({ label, share }) => this.#row(label, share));
    return this.#list("files.shares", rows);
  }

  #means(analysis) {
    const means = analysis.probabilities.map((share, i) => ({ label: analysis.labels[i], share }));
    return this.#list("files.means", means.map(({ label, share }) => this.#row(label, share)));
  }

  #list(title, rows) {
    return make("section", "figure", make("h4", "", this.#texts.t(title)), make("ul", "rows", ...rows));
  }

  #row(label, share) {
    const fill = make("span", "row-fill");
    fill.style.width = `${100 * share}%`;
    const texts = this.#texts;
    const row = make("li", "row", make("span", "row-label", texts.label(label)), make("span", "row-track", fill), make("span", "row-value", texts.percent(share)));
    paint(row, label, this.#options.theme());
    return row;
  }

  #renderStretches(analysis) {
    const texts = this.#texts;
    const { timeline } = analysis;
    const head = make("tr", "", ...["files.from", "files.to", "files.emotion"].map((key) => columnHead(texts.t(key))));
    const body = make("tbody");
    const summary = make("summary", "", texts.t("files.stretches", { n: timeline.length }));
    this.#stretches.replaceChildren(summary, make("table", "", make("thead", "", head), body));
    this.#stretches.hidden = !timeline.length;
    // Hundreds of rows are only worth their while once somebody wants to see them.
    const fill = () => {
      if (!this.#stretches.open || body.rows.length) return;
      body.append(...timeline.map((stretch) => this.#stretch(stretch)));
    };
    this.#stretches.ontoggle = fill;
    fill();
  }

  #stretch({ start_s, end_s, label }) {
    const texts = this.#texts;
    const time = (seconds) => `${texts.number(seconds, 2)} s`;
    const jump = make("button", "link", time(start_s));
    jump.type = "button";
    jump.ariaLabel = texts.t("files.jump", { time: time(start_s) });
    jump.addEventListener("click", () => (this.#player.at_s = start_s));
    const chip = make("span", "label-chip", make("span", "swatch"), texts.label(label));
    paint(chip, label, this.#options.theme());
    return make("tr", "", make("td", "", jump), make("td", "", time(end_s)), make("td", "", chip));
  }

  #draw() {
    const job = this.#job;
    if (!job) return;
    const { analysis, peaks, duration_s } = job;
    drawRecording(this.#canvas, { analysis, peaks, duration_s, span: this.#span, theme: this.#options.theme(), texts: this.#texts });
  }

  #zoomed() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
    this.#follow(false);
  }

  /** Show where the player is. @param {boolean} reveal  whether that has to be seen */
  #follow(reveal) {
    const job = this.#job;
    if (!job) return;
    if (reveal) this.#span.reveal(Math.min(this.#player.at_s, job.duration_s));
    this.#larger.disabled = this.#span.isLeast;
    this.#smaller.disabled = this.#span.isWhole;
    const texts = this.#texts;
    const at_s = Math.min(this.#player.at_s, job.duration_s);
    say(this.#play, texts.t(this.#player.isPlaying ? "files.pause" : "files.play"));
    this.#play.disabled = this.#player.isBroken;
    say(this.#fault, this.#player.isBroken ? texts.t("files.unplayable") : "");
    say(this.#time, texts.t("files.at", { time: texts.duration(at_s), length: texts.duration(job.duration_s) }));
    this.#scrubber.render();
  }
}

/** Return a file's name without its folder and its ending. @param {string} path */
export function stemOf(path) {
  return nameOf(path).replace(/(?<=.)\.[^.]+$/, "");
}

function zoomButton(key, sign, onClick) {
  const button = make("button", "button icon zoom", sign);
  button.type = "button";
  button.dataset.label = button.dataset.hint = key;
  button.addEventListener("click", onClick);
  return button;
}

function columnHead(text) {
  const cell = make("th", "", text);
  cell.scope = "col";
  return cell;
}
