/**
 * A client of a Tonewatch server for browsers, and for whatever else has a `WebSocket`.
 *
 *     import { connect } from "./client.js";
 *
 *     const connection = connect("ws://127.0.0.1:8765/events", {
 *       since: 600, // the last ten minutes first
 *       onMessage: (message) => {
 *         if (message.type === "prediction") console.log(message.stream, message.label, message.probability);
 *       },
 *       onState: ({ state, retryInS }) => console.log(state, retryInS ?? ""),
 *     });
 *     // later: connection.close();
 *
 * A lost connection is opened again, and goes on where it was: nothing is missing that the server still has.
 *
 * @typedef {object} Options
 * @property {(message: object) => void} onMessage  gets each message; README.md has the table of them
 * @property {(change: {state: "connecting" | "open" | "waiting" | "closed", retryInS?: number}) => void} [onState]
 *     `waiting`: there is no connection; the next attempt is in `retryInS` seconds
 * @property {string | null} [token]  the server's token, where it wants one
 * @property {string[]} [streams]  only these streams
 * @property {string[]} [types]  only these types: `prediction`, `segment`, `status`
 * @property {number} [minProbability]  only predictions from this probability on
 * @property {number | string} [since]  what was sent in the last so many seconds, or after a message's `sent`
 */

const FIRST_DELAY_S = 0.5;
const LAST_DELAY_S = 15;
const DELAY_FACTOR = 1.6;

/** Return what to offer to `new WebSocket(url, protocols(token))`. @param {string | null} [token] */
export function protocols(token) {
  if (!token) return ["tonewatch.v1"];
  // A browser cannot send headers with a WebSocket; a subprotocol may hold letters, digits, - and _.
  const base64 = btoa(String.fromCharCode(...new TextEncoder().encode(token)));
  const name = base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return ["tonewatch.v1", `tonewatch.token.${name}`];
}

/**
 * Subscribe to a server, for ever.
 *
 * @param {string} url  as in `ws://127.0.0.1:8765/events`
 * @param {Options} options
 * @returns {{retry: () => void, close: () => void}} `retry` connects anew at once; `close` ends it for good
 */
export function connect(url, { onMessage, onState = () => {}, token = null, since, ...filters }) {
  let socket = null;
  let timer = 0;
  let delayS = FIRST_DELAY_S;
  let cursor = since;
  let isClosed = false;

  function open() {
    onState({ state: "connecting" });
    const opened = (socket = new WebSocket(withQuery(url, filters, cursor), protocols(token)));
    opened.onopen = () => opened === socket && onState({ state: "open" });
    opened.onclose = () => opened === socket && wait();
    opened.onmessage = ({ data }) => {
      if (opened !== socket) return;
      const message = JSON.parse(data);
      // A server that takes nobody more says so on a connection too, and is not to be asked again at once.
      if (message.type === "hello") delayS = FIRST_DELAY_S;
      else if (message.code === "at_capacity") delayS = LAST_DELAY_S;
      if (!message.fatal) cursor = message.sent ?? cursor; // of what came before a refusal nothing was sent
      onMessage(message);
    };
  }

  function wait() {
    // A little earlier or later, so that many pages do not come back at once.
    const retryInS = delayS * (0.5 + Math.random() / 2);
    delayS = Math.min(delayS * DELAY_FACTOR, LAST_DELAY_S);
    timer = setTimeout(open, 1000 * retryInS);
    onState({ state: "waiting", retryInS });
  }

  function leave() {
    clearTimeout(timer);
    const left = socket;
    socket = null; // so that its last words go unheard
    left?.close();
  }

  open();
  return {
    retry: () => isClosed || (leave(), open()),
    close: () => ((isClosed = true), leave(), onState({ state: "closed" })),
  };
}

function withQuery(url, { streams = [], types = [], minProbability }, cursor) {
  const query = new URLSearchParams(streams.map((stream) => ["stream", stream]));
  if (types.length) query.set("types", types.join(","));
  if (minProbability !== undefined) query.set("min_probability", minProbability);
  if (cursor !== undefined) query.set("since", cursor);
  return query.size ? `${url}?${query}` : url;
}
