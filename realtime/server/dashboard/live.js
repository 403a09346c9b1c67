/** The live view: a card per stream, side by side. */

import { Announcer } from "./announcer.js";
import { Card } from "./card.js";
import { ServerClock } from "./clock.js";
import { copyOf, keep, make, recall, say } from "./dom.js";
import { showEmpty } from "./empty.js";
import { LOOKS } from "./palette.js";
import { Track } from "./track.js";

const SPANS_MIN = [2, 10, 30, 60];
/** From so many streams on, there is a field to find one. */
const MANY = 5;
/** What changes by itself, durations and the edge of the timelines, is looked after this often. */
const TICK_MS = 250;
/** Streams that stopped are shown for so long, but not more of them than this: a page on a wall is never left. */
const STOPPED_MS = 3_600_000;
const MOST_STOPPED = 20;
/** A connection that brings nothing for so long may be dead without anybody knowing. */
const DEAD_MS = 20_000;

/**
 * Show what a server says.
 *
 * @param {HTMLElement} root
 * @param {{url: (path: string) => string, theme: () => "light" | "dark", onTheme: (listener: () => void) => void, suspect: () => void}} options
 *     `url` gives the addresses of the server's sockets; `suspect` is called when nothing has come for long, though it should have
 * @param {import("./texts.js").Texts} texts
 * @returns {{take: (message: object) => void, setConnected: (connected: boolean) => void}}
 */
export function mountLive(root, options, texts) {
  root.append(copyOf("live-template"));
  const view = new Live(root, options, texts);
  return { take: (message) => view.take(message), setConnected: (connected) => view.setConnected(connected) };
}

class Live {
  /** @type {Map<string, Card>} */
  #cards = new Map();
  #hello = null;
  #clock = new ServerClock();
  #dirty = new Set();
  #redrawAll = true;
  #frame = 0;
  #suspected = 0;
  #pinned = new Set((recall("pinned") ?? "").split("\n"));

  constructor(root, options, texts) {
    this.root = root;
    this.texts = texts;
    this.options = options;
    const find = (selector) => root.querySelector(selector);
    this.grid = find(".cards");
    [this.summary, this.filter, this.noMatch, this.empty] = [".summary", ".filter", ".no-match", ".empty"].map(find);
    this.announcer = new Announcer(find(".announcer"), texts);
    this.shared = {
      texts,
      theme: options.theme,
      now: () => this.#clock.now(),
      span_ms: 60_000 * (Number(recall("span")) || 10),
      cursor: null,
      connected: false,
      point: (date) => this.#set({ cursor: date }),
      zoom: (direction) => this.#zoom(direction),
    };
    this.#makeSpans(find(".spans"));
    this.filter.addEventListener("input", () => this.#arrange());
    texts.onChange(() => this.#translate());
    options.onTheme(() => this.#translate());
    this.seen = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: "400px" });
    setInterval(() => this.#tick(), TICK_MS);
    document.addEventListener("visibilitychange", () => this.#schedule(true));
    this.#translate();
  }

  take(message) {
    const heard = Date.now();
    this.#clock.note(message, heard);
    if (message.type === "hello") this.#greet(message);
    else if (message.stream !== undefined && this.#hello) {
      const card = this.#cardOf(message.stream);
      card.track.take(message, heard);
      this.announcer.note(card.track, card.state);
      this.#redraw(card);
    }
  }

  setConnected(connected) {
    if (connected === this.shared.connected) return;
    if (connected) {
      for (const { track } of this.#cards.values()) track.heard = Date.now();
    }
    this.#set({ connected });
    this.#showEmpty();
  }

  #greet(hello) {
    // Another model's classes do not fit into the pictures of this one's.
    if (this.#hello && String(this.#hello.labels) !== String(hello.labels)) {
      for (const card of this.#cards.values()) this.#forget(card);
    }
    this.#hello = hello;
    for (const name of hello.streams) this.#cardOf(name);
    for (const [name, { track }] of this.#cards) track.known = hello.streams.includes(name);
    this.#arrange();
    this.#schedule(true);
  }

  #cardOf(name) {
    let card = this.#cards.get(name);
    if (!card) {
      const { labels, sample_rate } = this.#hello;
      const track = new Track(name, labels, sample_rate);
      track.heard = Date.now();
      track.known = this.#hello.streams.includes(name);
      card = new Card(track, this.shared, () => this.#redraw(card));
      card.pinned = this.#pinned.has(name);
      card.element.querySelector(".pin").addEventListener("click", () => this.#pin(card));
      card.element.querySelector(".remove").addEventListener("click", () => this.#remove(card));
      this.#cards.set(name, card);
      this.seen.observe(card.element);
      this.#arrange();
    }
    return card;
  }

  #pin(card) {
    card.pinned = !card.pinned;
    this.#pinned[card.pinned ? "add" : "delete"](card.track.name);
    keep("pinned", [...this.#pinned].join("\n"));
    this.#arrange();
    card.element.querySelector(".pin").focus();
    this.#redraw(card);
  }

  #remove(card) {
    this.#forget(card);
    this.#arrange();
    this.root.querySelector(".spans input:checked").focus();
  }

  /** Take away what stopped long ago, but for what somebody pinned, or points at. */
  #clear() {
    const date = Date.now();
    const stopped = [...this.#cards.values()].filter((card) => {
      card.stoppedAt = card.state === "stopped" ? (card.stoppedAt ?? date) : null;
      return card.stoppedAt !== null && !card.pinned;
    });
    stopped.sort((a, b) => b.stoppedAt - a.stoppedAt);
    const gone = stopped.filter(({ stoppedAt, element }, i) => {
      return (i >= MOST_STOPPED || date - stoppedAt > STOPPED_MS) && !element.matches(":hover, :focus-within");
    });
    gone.forEach((card) => this.#forget(card));
    if (gone.length) this.#arrange();
  }

  #forget(card) {
    this.#cards.delete(card.track.name);
    this.#dirty.delete(card);
    this.announcer.forget(card.track.name);
    this.seen.unobserve(card.element);
    card.element.remove();
  }

  /** Order the cards, pinned ones first, stopped ones last, and hide those that are not looked for. */
  #arrange() {
    const rank = ({ pinned, state }) => (pinned ? 0 : state === "stopped" ? 2 : 1);
    const cards = [...this.#cards.values()].sort((a, b) => rank(a) - rank(b));
    const wanted = this.filter.value.trim().toLowerCase();
    this.filter.hidden = cards.length < MANY && !wanted;
    let n_shown = 0;
    cards.forEach((card, i) => {
      card.element.hidden = !card.track.name.toLowerCase().includes(wanted);
      n_shown += card.element.hidden ? 0 : 1;
      if (this.grid.children[i] !== card.element) this.grid.insertBefore(card.element, this.grid.children[i] ?? null);
    });
    this.grid.dataset.count = String(Math.min(n_shown, 3));
    this.noMatch.hidden = n_shown > 0 || !cards.length;
    this.#showEmpty();
    this.#summarize();
  }

  #showEmpty() {
    const empty = this.shared.connected && !this.#cards.size && this.#hello !== null;
    this.empty.hidden = !empty;
    this.root.classList.toggle("is-empty", !this.#cards.size);
    if (empty) showEmpty(this.empty, this.options.url, this.texts);
  }

  #summarize() {
    if (!this.#hello) return;
    const { model, sample_rate, window_s, hop_s } = this.#hello;
    const { texts } = this;
    const detail = texts.t("live.summary-model", { model, rate: sample_rate / 1000, window: window_s, hop: hop_s });
    this.summary.replaceChildren(
      make("b", "", texts.t("live.summary", { n: this.#cards.size })),
      make("span", "detail", ` · ${detail}`),
    );
  }

  #makeSpans(fieldset) {
    this.spans = SPANS_MIN.map((n) => {
      const input = make("input");
      Object.assign(input, { type: "radio", name: "span", value: String(n), checked: 60_000 * n === this.shared.span_ms });
      input.addEventListener("change", () => this.#set({ span_ms: 60_000 * n }));
      const text = make("span");
      fieldset.append(make("label", "", input, text));
      return { n, input, text };
    });
  }

  #zoom(direction) {
    const i = SPANS_MIN.indexOf(this.shared.span_ms / 60_000) + direction;
    if (i >= 0 && i < SPANS_MIN.length) this.#set({ span_ms: 60_000 * SPANS_MIN[i] });
  }

  #set(change) {
    Object.assign(this.shared, change);
    if (change.span_ms) {
      keep("span", String(change.span_ms / 60_000));
      for (const { n, input } of this.spans) input.checked = 60_000 * n === change.span_ms;
    }
    this.#schedule(true);
  }

  #translate() {
    const { texts } = this;
    texts.apply(this.root);
    for (const { n, text } of this.spans) say(text, n < 60 ? texts.t("live.minutes", { n }) : texts.t("live.hours", { n: n / 60 }));
    for (const card of this.#cards.values()) card.translate();
    this.#showEmpty();
    this.#summarize();
    this.#schedule(true);
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = [...this.#cards.values()].find(({ element }) => element === target);
      if (!card) continue;
      card.visible = isIntersecting;
      if (isIntersecting) this.#redraw(card);
    }
  }

  #tick() {
    // Without a connection nobody knows what stopped.
    if (this.shared.connected) this.#clear();
    const live = [...this.#cards.values()].filter(({ state }) => state !== "stopped");
    for (const card of this.#cards.values()) {
      card.track.trim(Date.now());
      // Durations count seconds; a timeline is drawn anew once it has moved by a pixel.
      const moved = Math.floor(card.edge * card.speed);
      const second = Math.floor(this.shared.now() / 1000);
      if (card.moved !== moved || card.second !== second) this.#dirty.add(card);
      [card.moved, card.second] = [moved, second];
    }
    const dead = live.length > 0 && live.every(({ quiet_ms }) => quiet_ms > DEAD_MS);
    if (dead && this.shared.connected && Date.now() - this.#suspected > DEAD_MS) {
      this.#suspected = Date.now();
      this.options.suspect();
    }
    this.announcer.tick();
    if (this.#dirty.size) this.#schedule();
  }

  #redraw(card) {
    this.#dirty.add(card);
    this.#schedule();
  }

  #schedule(everything = false) {
    this.#redrawAll ||= everything;
    if (!this.#frame && !document.hidden) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    this.#frame = 0;
    const cards = this.#redrawAll ? [...this.#cards.values()] : [...this.#dirty];
    for (const card of cards) card.render();
    for (const card of cards) card.draw();
    this.#dirty.clear();
    this.#redrawAll = false;
    document.title = this.#title();
  }

  #title() {
    const talking = [...this.#cards.values()].filter(({ state, track }) => state === "listening" && track.current);
    if (talking.length !== 1) return "Tonewatch";
    const [{ track }] = talking;
    const { label } = track.current;
    return `${LOOKS[label]?.emoji ?? ""} ${this.texts.label(label)} · ${track.name} – Tonewatch`.trim();
  }
}
