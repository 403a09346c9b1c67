/**
 * Small drawings: the emotions' faces and the states' signs.
 *
 * Emoji look different on each system, and many small devices have no font with them at all; these are the
 * same everywhere, and take the colour of their surroundings.
 */

const NAMESPACE = "http://www.w3.org/2000/svg";

const EYES = "M8.6 9.4v1.2M15.4 9.4v1.2";

/**
 * Lines on a circle of radius 10 around (12, 12); what is listed second is filled rather than drawn.
 *
 * @type {Record<string, [string, string]>}
 */
const FACES = {
  neutral: [`${EYES}M8.2 15.8h7.6`, ""],
  calm: ["M7 10q1.6 1.6 3.2 0M13.8 10q1.6 1.6 3.2 0M8.4 15q3.6 2.6 7.2 0", ""],
  happy: ["M7 10.4q1.6-2.2 3.2 0M13.8 10.4q1.6-2.2 3.2 0", "M6.8 13.4h10.4q-.8 5.4-5.2 5.4t-5.2-5.4z"],
  sad: [`${EYES}M8.4 17.2q3.6-3.2 7.2 0M6.6 8q1.6-.2 2.8-1.4M17.4 8q-1.6-.2-2.8-1.4`, "M16.6 12.2q1.7 2.4 0 3.3-1.7-.9 0-3.3z"],
  angry: [`M8.8 10.6v1M15.2 10.6v1M6.6 7.6l3.8 1.9M17.4 7.6l-3.8 1.9M8.4 17q3.6-2.6 7.2 0`, ""],
  fearful: ["M6.6 7.4q1.4-1.6 3-1.2M17.4 7.4q-1.4-1.6-3-1.2M7.6 16.8l1.8-1.6 1.7 1.6 1.8-1.6 1.7 1.6 1.8-1.6", "M8.6 9.2a1.3 1.6 0 1 0 .01 0zM15.4 9.2a1.3 1.6 0 1 0 .01 0z"],
  disgust: ["M7 8.6l3 1.4-3 1.2M17 8.6l-3 1.4 3 1.2M7.8 15.6q1.4-1.6 2.8 0t2.8 0 2.8 0", "M12.2 16.2h3v2.2q-1.5 1.8-3 0z"],
  surprised: [`M8.6 9.6v.8M15.4 9.6v.8M6.6 6.8q1.6-1.5 3.4-.7M17.4 6.8q-1.6-1.5-3.4-.7`, "M12 13a2.4 2.9 0 1 0 .01 0z"],
  unknown: ["M9.2 9.4q.2-2.8 2.9-2.8t2.8 2.5q0 1.6-1.6 2.4t-1.3 2.3", "M12 16a1 1 0 1 0 .01 0z"],
};

/** @type {Record<string, string>} by state, `quiet` and `lost-connection` among them, which the page itself finds; then the buttons' */
const SIGNS = {
  starting: "M12 3v4M12 17v4M3 12h4M17 12h4",
  listening: "M4 10v4M8 6v12M12 9v6M16 4v16M20 10v4",
  silent: "M4 12h16",
  no_signal: "M4 4l16 16M9 5v6M15 12V8M6 12a6 6 0 0 0 9.5 4.9M12 18v3",
  clipping: "M12 3l10 17H2zM12 10v4M12 17v.2",
  recovering: "M20 12a8 8 0 1 1-2.5-5.8M20 3v5h-5",
  stopped: "M6 6h12v12H6z",
  "lost-connection": "M2 8.8a15 15 0 0 1 4.2-2.6M10.2 5.1A15 15 0 0 1 22 8.8M5.2 12.8a10 10 0 0 1 5-2.7M15.4 10.7a10 10 0 0 1 3.4 2.1M8.5 16.4a5 5 0 0 1 7 0M12 20v.1M3 3l18 18",
  quiet: "M12 3a9 9 0 1 0 .01 0zM12 7v5l3.5 2",
  pin: "M9 3h6l-1 7 4 4H6l4-4zM12 14v7",
  remove: "M6 6l12 12M18 6L6 18",
  auto: "M12 3a9 9 0 1 0 .01 0zM12 3v18M12 8l5-3M12 13l8-5M12 18l8-5",
  light: "M12 8a4 4 0 1 0 .01 0zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
};

/** Return the face of an emotion, for eyes only. @param {string} label */
export function faceOf(label) {
  const [lines, fills] = FACES[label] ?? FACES.unknown;
  const face = drawing("face");
  face.append(part("circle", { cx: 12, cy: 12, r: 11, class: "face-skin" }));
  face.append(part("path", { d: lines, class: "face-lines" }));
  if (fills) face.append(part("path", { d: fills, class: "face-fills" }));
  return face;
}

/** Return the sign of a state or of a button, for eyes only. @param {string} name */
export function signOf(name) {
  const sign = drawing("sign");
  sign.append(part("path", { d: SIGNS[name] ?? SIGNS.quiet }));
  return sign;
}

function drawing(name) {
  return part("svg", { viewBox: "0 0 24 24", class: name, "aria-hidden": "true", focusable: "false" });
}

function part(name, attributes) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
