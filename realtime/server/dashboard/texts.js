/**
 * What the page says, in the language of whoever reads it.
 *
 * Each part of the page brings a table of its own (`texts-live.js`, `texts-files.js`) and hands it to
 * `register`; its keys begin with the part's name (`live.silent`, `files.drop`), so that tables never meet.
 * A table of another language is one more property beside `en` and `de`: whatever it lacks is said in English.
 *
 *     register({ en: { "files.count": { one: "{n} file", other: "{n} files" } },
 *                de: { "files.count": { one: "{n} Datei", other: "{n} Dateien" } } });
 *     texts.t("files.count", { n: 3 });       // "3 files"
 *     texts.label("happy");                   // "happy", "glücklich"
 *     texts.percent(0.873);                   // "87 %", as the language writes it
 *     texts.onChange(() => redraw());         // after somebody chose another language
 *
 * In HTML: `data-text="key"` is filled with the text, `data-label` becomes `aria-label`, `data-hint` becomes
 * `title`, `data-placeholder` a field's placeholder; `texts.apply(element)` does so for all below an element.
 *
 * @typedef {string | Record<string, string>} Text  one text, or one per plural category of `Intl.PluralRules`
 * @typedef {Record<string, Record<string, Text>>} Table  by language, then by key
 */

/** The languages to choose from, each called what it calls itself. */
export const LANGUAGES = { en: "English", de: "Deutsch" };

/** @type {Record<string, Map<string, Text>>} */
const tables = Object.fromEntries(Object.keys(LANGUAGES).map((language) => [language, new Map()]));

/** Add the texts of one part of the page. @param {Table} table */
export function register(table) {
  for (const [language, entries] of Object.entries(table)) {
    for (const [key, text] of Object.entries(entries)) {
      tables[language].set(key, text);
    }
  }
}

/** Return all texts of a language, for those who translate or check them. @param {string} language */
export function textsOf(language) {
  return Object.fromEntries(tables[language]);
}

const ATTRIBUTES = { label: "aria-label", hint: "title", placeholder: "placeholder" };

/** Texts, numbers and dates in one language, which can change. */
export class Texts {
  #listeners = new Set();

  /** @param {string} language one of `LANGUAGES` */
  constructor(language) {
    this.#use(language);
  }

  /** Change the language, and tell everyone who asked. @param {string} language */
  choose(language) {
    this.#use(language);
    for (const listener of this.#listeners) listener();
  }

  /** Call `listener` after each change of language. @param {() => void} listener */
  onChange(listener) {
    this.#listeners.add(listener);
  }

  /**
   * Return a text with its `{names}` filled in; numbers are written as the language writes them.
   *
   * @param {string} key
   * @param {Record<string, string | number>} [values] `n` chooses between singular and plural
   * @returns {string} the key itself where no language has it
   */
  t(key, values = {}) {
    let text = tables[this.language].get(key) ?? tables.en.get(key) ?? key;
    if (typeof text !== "string") text = text[this.#plural.select(Number(values.n))] ?? text.other;
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
      const value = values[name];
      if (value === undefined) return whole;
      return typeof value === "number" ? this.number(value) : value;
    });
  }

  /** Whether there is a text of this name. @param {string} key */
  has(key) {
    return tables.en.has(key);
  }

  /** Return what an emotion is called; a label of somebody's own model stays as it is. @param {string} label */
  label(label) {
    return this.has(`label.${label}`) ? this.t(`label.${label}`) : label;
  }

  /** @param {number} value @param {number} [digits] digits behind the point at the most */
  number(value, digits = 1) {
    return new Intl.NumberFormat(this.language, { maximumFractionDigits: digits }).format(value);
  }

  /** Return a value from -1 to 1 with its sign. @param {number} value */
  signed(value) {
    return this.#signed.format(value);
  }

  /** Return a share as whole percents. @param {number} share 0 to 1 */
  percent(share) {
    return this.#percent.format(share);
  }

  /** Return a time of day. @param {Date | number} date @param {boolean} [seconds] whether to show them */
  time(date, seconds = true) {
    return (seconds ? this.#seconds : this.#minutes).format(date);
  }

  /** Return a length of time as in `0:07`, `12:30` or `1:02:03`. @param {number} length_s */
  duration(length_s) {
    const whole = Math.max(0, Math.floor(length_s));
    const parts = [Math.floor(whole / 60) % 60, whole % 60];
    if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
    return parts.map((part, i) => String(part).padStart(i ? 2 : 1, "0")).join(":");
  }

  /** Fill in the texts of all elements below (and of) `root`. @param {Element | DocumentFragment} root */
  apply(root) {
    const all = [...root.querySelectorAll("[data-text],[data-label],[data-hint],[data-placeholder]")];
    if (root instanceof Element) all.push(root);
    for (const element of all) {
      const { text } = element.dataset;
      if (text) element.textContent = this.t(text);
      for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
        if (element.dataset[name]) element.setAttribute(attribute, this.t(element.dataset[name]));
      }
    }
  }

  #use(language) {
    this.language = language in LANGUAGES ? language : "en";
    const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    this.#plural = new Intl.PluralRules(this.language);
    this.#signed = new Intl.NumberFormat(this.language, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });
    this.#percent = new Intl.NumberFormat(this.language, { style: "percent" });
    this.#minutes = new Intl.DateTimeFormat(this.language, clock);
    this.#seconds = new Intl.DateTimeFormat(this.language, { ...clock, second: "2-digit" });
  }

  #plural;
  #signed;
  #percent;
  #minutes;
  #seconds;
}

/** Return the language to begin with. @param {string | null} chosen @param {readonly string[]} preferred */
export function pickLanguage(chosen, preferred) {
  const wanted = [chosen ?? "", ...preferred].map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}
