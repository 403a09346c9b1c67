/** The token, where a server wants one: from the address, from before, or from whoever sits here. */

import { keep, recall } from "./dom.js";

/** What a server takes as a token, and a header can carry: visible ASCII. */
const POSSIBLE = /^[!-~]+$/;

/** Return the token that is known, from the address or from before; as `tokenInAddress` where there is one. @returns {string | null} */
export function knownToken() {
  const known = tokenInAddress() ?? recall("token", "sessionStorage");
  return known === null ? null : cleaned(known);
}

/**
 * Return the token in the address (`#token=…`), which is kept, and taken out of it for the sake of screenshots.
 *
 * @returns {string | null}  empty where there was one that cannot be any server's
 */
export function tokenInAddress() {
  // Not as a form's fields are read: there, the plus of a base64 token would mean a space.
  const [, encoded] = /^#token=(.*)$/s.exec(location.hash) ?? [];
  if (!encoded) return null;
  const token = cleaned(decoded(encoded));
  keep("token", token, "sessionStorage");
  history.replaceState(null, "", `${location.pathname}${location.search}#live`);
  return token;
}

/**
 * Find out why there is no connection: a browser does not tell what a server answered to a WebSocket.
 *
 * @param {string | null} token
 * @returns {Promise<{kind: "away" | "token" | "refused" | "fine", text: string}>}
 */
export async function askWhy(token) {
  try {
    // To requests like this one a browser adds no Origin, by which the WebSocket may have been refused.
    const headers = { "Page-Origin": location.origin, ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch("metrics", { headers, cache: "no-store" });
    if (answer.ok) return { kind: "fine", text: "" };
    return { kind: answer.status === 401 ? "token" : "refused", text: (await answer.text()).trim() };
  } catch {
    return { kind: "away", text: "" };
  }
}

/**
 * Ask for the token, until there is one that may be a server's.
 *
 * @param {HTMLDialogElement} dialog
 * @param {boolean} again  whether there was one, and it was wrong
 * @param {import("./texts.js").Texts} texts
 * @returns {Promise<string>}
 */
export function askToken(dialog, again, texts) {
  const [form, field, why] = ["#token-form", "#token-field", "#token-why"].map((id) => dialog.querySelector(id));
  const invite = (isWrong) => {
    why.dataset.text = isWrong ? "page.token-wrong" : "page.token-why";
    texts.apply(why);
    why.classList.toggle("fault", isWrong);
    field.value = "";
  };
  invite(again);
  return new Promise((resolve) => {
    const answered = new AbortController();
    const listen = (target, type, heard) => target.addEventListener(type, heard, { signal: answered.signal });
    const take = (token) => {
      if (!token) {
        invite(true);
        return;
      }
      answered.abort();
      keep("token", token, "sessionStorage");
      dialog.close();
      resolve(token);
    };
    listen(form, "submit", (event) => {
      event.preventDefault();
      take(cleaned(field.value));
    });
    // An address with the token, opened in the tab that asks for it, loads nothing anew.
    listen(globalThis, "hashchange", () => {
      const token = tokenInAddress();
      if (token !== null) take(token);
    });
    // There is nothing to see without it, so there is no way around it either; who insists on Escape is not stopped
    // by the first of these in every browser.
    listen(dialog, "cancel", (event) => event.preventDefault());
    listen(dialog, "close", () => dialog.showModal());
    if (!dialog.open) dialog.showModal();
  });
}

/** Return a token without the spaces that are copied along; empty where it cannot be one. @param {string} text */
function cleaned(text) {
  const token = text.trim();
  return POSSIBLE.test(token) ? token : "";
}

/** Return what was encoded for an address; as it is where it was not, but holds a percent sign. @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
