/** Hands analyses over as files, and the control that asks for it. */

import { make } from "./dom.js";
import { FORMATS, exported } from "./exports.js";

/**
 * Return buttons that download what `what` returns when one is pressed.
 *
 * @param {"files.download-one" | "files.download-all"} title
 * @param {() => {name: string, analyses: import("./analysis.js").Analysis[], whole?: boolean}} what  `name`: of the file, without its ending
 * @param {import("./texts.js").Texts} texts
 */
export function downloadButtons(title, what, texts) {
  const group = make("div", "downloads");
  const caption = make("span", "");
  caption.dataset.text = title;
  group.role = "group";
  group.dataset.label = title;
  group.append(caption);
  for (const format of Object.keys(FORMATS)) {
    const button = make("button", "button");
    button.type = "button";
    button.dataset.text = `files.format.${format}`;
    button.dataset.format = format;
    button.addEventListener("click", () => {
      const { name, analyses, whole } = what();
      save(exported(analyses, format, whole), `${name}${FORMATS[format].ending}`, FORMATS[format].type);
    });
    group.append(button);
  }
  texts.apply(group);
  return group;
}

function save(text, name, type) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = Object.assign(make("a"), { href: url, download: name });
  link.click();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
