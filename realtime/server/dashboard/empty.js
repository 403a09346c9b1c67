/** What the live view shows while there is no stream: how to send one. */

import { make, say } from "./dom.js";

/** @param {HTMLElement} panel @param {(path: string) => string} url  of the server's sockets @param {import("./texts.js").Texts} texts */
export function showEmpty(panel, url, texts) {
  const audio = url("/audio");
  const here = panel.querySelector(".way-here");
  say(here, texts.t("live.empty-here"));
  // The button at the top of the page does it, and says why when it cannot.
  here.onclick = () => document.getElementById("microphone").click();
  const ways = [
    ["live.empty-device", make("code", "", `tonewatch listen --to ${audio}`)],
    ["live.empty-self", make("code", "", `tonewatch listen --to ${new URL("./", location.href)}`)],
    ["live.empty-program", texts.t("live.empty-program-how", { url: audio, schema: new URL("./asyncapi.json", location.href).pathname })],
  ];
  panel.querySelector("dl").replaceChildren(
    ...ways.map(([key, how]) => make("div", "", make("dt", "", texts.t(key)), make("dd", "", how))),
  );
}
