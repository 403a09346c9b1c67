/**
 * Puts the page together: its two views, the connection, and what belongs to both.
 *
 * Each view owns what is below its element: `mountLive` in live.js, `mountFiles` in files.js; microphone.js
 * owns its button.
 *
 * @typedef {object} Options  what every view gets
 * @property {(path: string) => string} url  the WebSocket address of a path of this server
 * @property {() => string[]} protocols  what to offer to `new WebSocket(url, protocols)`
 * @property {() => "light" | "dark"} theme
 * @property {(listener: () => void) => void} onTheme  called after a change between light and dark
 */

import { askToken, askWhy, knownToken, tokenInAddress } from "./access.js";
import { connect, protocols } from "./client.js";
import { say } from "./dom.js";
import { mountFiles } from "./files.js";
import { mountLive } from "./live.js";
import { mountMicrophone } from "./microphone.js";
import { mountLanguage, mountTheme } from "./settings.js";
import "./texts-live.js";

const HISTORY_S = 600;
/** What was missed is fetched again, but not more often than this: a page that is always slow had better stay so. */
const CATCH_UP_MS = 10_000;
/** A connection that comes back within this was not worth a word. */
const GRACE_MS = 700;
/** So many attempts in a row that the server says nothing against, and that come to nothing all the same, are no chance. */
const MOST_BARRED = 3;

const element = (id) => document.getElementById(id);
// Beside the page, which may stand below a path of a proxy's.
const url = (path) => Object.assign(new URL(`.${path}`, location.href), { protocol: location.protocol.replace("http", "ws") }).href;

const token = { value: knownToken() };
const texts = mountLanguage(element("language"));
const { theme, onTheme } = mountTheme(element("theme"), texts);
const options = { url, protocols: () => protocols(token.value), theme, onTheme, suspect: () => connection.retry() };

const live = mountLive(element("live"), options, texts);
mountFiles(element("files"), options, texts);
mountMicrophone(element("microphone"), element("microphone-status"), options, texts);

const link = { state: "connecting", retryAt: 0, lostAt: Date.now(), refusal: "", isFull: false, reason: "", reasonUntil: 0, caughtUpAt: 0, nBarred: 0 };
let connection = subscribe();

element("retry").addEventListener("click", () => connection.retry());
addEventListener("online", () => connection.retry());
document.addEventListener("visibilitychange", () => !document.hidden && link.state === "waiting" && connection.retry());
addEventListener("hashchange", () => {
  // While the token is asked for, whoever asks takes it.
  if (!element("token").open) useToken(tokenInAddress());
  showView();
});
texts.onChange(showLink);
setInterval(showLink, 500);
showView();

function subscribe() {
  return connect(url("/events"), { token: token.value, since: HISTORY_S, onMessage: take, onState: follow });
}

function useToken(told) {
  if (told === null || told === token.value) return;
  connection.close();
  token.value = told;
  connection = subscribe();
}

function take(message) {
  if (message.type === "hello") {
    // Not as soon as it is open: a server that has no place left says so first, and closes it.
    Object.assign(link, { state: "open", refusal: "", isFull: false });
    live.setConnected(true);
    live.take(message);
    showLink();
  } else if (message.code === "at_capacity") {
    link.isFull = true;
  } else if (message.code === "slow_subscriber" && Date.now() - link.caughtUpAt > CATCH_UP_MS) {
    // The server still has what it skipped, and nothing newer has come yet.
    link.caughtUpAt = Date.now();
    connection.retry();
  } else if (message.type === "error") {
    link.reason = message.code === "slow_subscriber" ? texts.t("page.slow", { n: message.dropped }) : message.message;
    link.reasonUntil = Date.now() + 10_000;
    showLink();
  } else {
    live.take(message);
  }
}

function follow({ state, retryInS = 0 }) {
  if (state === "open") {
    link.nBarred = 0;
    return;
  }
  if (link.state === "open") link.lostAt = Date.now();
  link.state = state;
  link.retryAt = Date.now() + 1000 * retryInS;
  if (state === "waiting") investigate();
  showLink();
}

async function investigate() {
  const asked = token.value;
  const { kind, text } = await askWhy(asked);
  // Meanwhile it may have come about after all, or another question found out and asks for the token, or has it.
  if (link.state === "open" || link.state === "closed" || asked !== token.value) return;
  link.refusal = kind === "refused" ? text : "";
  link.isFull &&= kind === "fine";
  // A header and a subprotocol are not read alike by all that may stand between.
  link.nBarred = kind === "fine" && token.value !== null ? link.nBarred + 1 : 0;
  if (kind !== "token" && link.nBarred < MOST_BARRED) return;
  link.nBarred = 0;
  connection.close();
  token.value = await askToken(element("token"), token.value !== null, texts);
  connection = subscribe();
}

/** Say how the connection is, at the top and, where it is bad, all across the page. */
function showLink() {
  const lost = link.state !== "open" && Date.now() - link.lostAt > GRACE_MS;
  if (lost) live.setConnected(false);
  const shown = link.state === "open" || lost ? link.state : "connecting";
  element("connection").dataset.state = shown === "closed" ? "waiting" : shown;
  say(element("connection-text"), texts.t(`page.${shown === "closed" ? "waiting" : shown}`));
  // The sentence is an alert, so that the seconds are counted on the button, where nobody reads them out.
  const turnedAway = link.isFull ? texts.t("page.full") : link.refusal && texts.t("page.refused", { why: link.refusal });
  const loss = turnedAway || texts.t("page.lost");
  const sentence = lost ? loss : Date.now() < link.reasonUntil ? link.reason : "";
  const s = link.state === "waiting" ? Math.ceil((link.retryAt - Date.now()) / 1000) : 0;
  element("notice").hidden = !sentence || element("token").open;
  element("retry").hidden = !lost;
  say(element("notice-text"), sentence);
  say(element("retry"), s > 0 ? texts.t("page.retry-in", { s }) : texts.t("page.retry"));
}

function showView() {
  const view = location.hash.startsWith("#files") ? "files" : "live";
  for (const name of ["live", "files"]) {
    element(name).hidden = name !== view;
    const tab = document.querySelector(`a[href="#${name}"]`);
    if (name === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
}
