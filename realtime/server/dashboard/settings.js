/** The choices that are kept from visit to visit: language and theme. */

import { keep, recall } from "./dom.js";
import { signOf } from "./faces.js";
import { LANGUAGES, Texts, pickLanguage } from "./texts.js";

const THEMES = ["auto", "light", "dark"];

/** Let `select` choose the language. @param {HTMLSelectElement} select @returns {Texts} */
export function mountLanguage(select) {
  const texts = new Texts(pickLanguage(recall("language"), navigator.languages));
  for (const [language, name] of Object.entries(LANGUAGES)) {
    select.append(new Option(name, language, false, language === texts.language));
  }
  select.addEventListener("change", () => {
    keep("language", select.value);
    texts.choose(select.value);
  });
  const apply = () => {
    document.documentElement.lang = texts.language;
    texts.apply(document.body);
  };
  texts.onChange(apply);
  apply();
  return texts;
}

/**
 * Let `button` choose the theme: the system's, light, dark, and around again.
 *
 * @param {HTMLButtonElement} button
 * @param {Texts} texts
 * @returns {{theme: () => "light" | "dark", onTheme: (listener: () => void) => void}}
 */
export function mountTheme(button, texts) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const listeners = new Set();
  let chosen = document.documentElement.dataset.theme ?? "auto";

  const apply = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.replaceChildren(signOf(chosen));
    button.title = button.ariaLabel = texts.t(`page.theme.${chosen}`);
  };
  const tell = () => listeners.forEach((listener) => listener());

  button.addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    keep("theme", chosen);
    apply();
    tell();
  });
  system.addEventListener("change", tell);
  texts.onChange(apply);
  apply();
  return {
    theme: () => (chosen === "auto" ? (system.matches ? "dark" : "light") : chosen),
    onTheme: (listener) => listeners.add(listener),
  };
}
