/** The token, where a server wants one: from the address, from before, or from whoever sits here. */

import { keep, recall } from "./dom.js";

/** Return the token that is known; one in the address (`#token=…`) is taken out of it, for the sake of screenshots. */
export function knownToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    keep("token", given, "sessionStorage");
    history.replaceState(null, "", `${location.pathname}${location.search}#live`);
  }
  return given ?? recall("token", "sessionStorage");
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
 * Ask for the token.
 *
 * @param {HTMLDialogElement} dialog
 * @param {boolean} again  whether there was one, and it was wrong
 * @param {import("./texts.js").Texts} texts
 * @returns {Promise<string>}
 */
export function askToken(dialog, again, texts) {
  const [form, field, why] = ["#token-form", "#token-field", "#token-why"].map((id) => dialog.querySelector(id));
  why.dataset.text = again ? "page.token-wrong" : "page.token-why";
  texts.apply(why);
  why.classList.toggle("fault", again);
  field.value = "";
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep("token", field.value, "sessionStorage");
      dialog.close();
      resolve(field.value);
    }, { once: true });
    // There is nothing to see without it, so there is no way around it either.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    if (!dialog.open) dialog.showModal();
  });
}
