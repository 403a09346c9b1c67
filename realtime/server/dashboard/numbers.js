/**
 * Numbers and JSON written as the command `tonewatch analyze` writes them, to the last character.
 *
 * JavaScript and Python round exact halves differently, and JavaScript forgets which number was a fraction.
 */

/**
 * Return `value` with `digits` digits behind the point; exact halves go to the even digit.
 *
 * `toFixed` decides by the exact binary value too, but sends halves up.
 *
 * @param {number} value  0 or more
 * @param {number} digits
 * @returns {string}
 */
export function fixed(value, digits) {
  // Exactly between two decimals lie only odd multiples of 2 ** -(digits + 1).
  const halves = value * 2 ** (digits + 1);
  if (!Number.isInteger(halves) || halves % 2 === 0) return value.toFixed(digits);
  const below = Math.floor(value * 10 ** digits);
  return ((below % 2 ? below + 1 : below) / 10 ** digits).toFixed(digits);
}

/** Return `value` rounded to `digits` digits behind the point. @param {number} value @param {number} digits */
export function rounded(value, digits) {
  return Number(fixed(value, digits));
}

/** Return the JSON of a fraction: with a point, even where it is whole. @param {number} value @returns {string} */
export function fraction(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e16) return `${value}.0`;
  // Below 0.00001 JavaScript goes on with zeros for one digit more.
  return value !== 0 && Math.abs(value) < 1e-5 ? value.toExponential() : String(value);
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * Return JSON with line breaks, one space deeper at each level; numbers and strings stay as they were written.
 *
 * @param {string} json
 * @returns {string}
 */
export function indented(json) {
  const parts = [];
  let depth = 0;
  let before = "";
  for (const [token] of json.matchAll(TOKENS)) {
    const closes = token === "}" || token === "]";
    const opened = before === "{" || before === "[";
    if (closes) depth -= 1;
    if ((opened && !closes) || (closes && !opened)) parts.push(`\n${" ".repeat(depth)}`);
    if (token === ":") parts.push(": ");
    else if (token === ",") parts.push(`,\n${" ".repeat(depth)}`);
    else parts.push(token);
    if (token === "{" || token === "[") depth += 1;
    before = token;
  }
  return parts.join("");
}

/**
 * Return the members of a JSON object, with their values as they were written.
 *
 * @param {string} json
 * @returns {[string, string][]}
 */
export function membersOf(json) {
  const members = [];
  let depth = 0;
  let name = null;
  let value = "";
  for (const [token] of json.matchAll(TOKENS)) {
    if (token === "}" || token === "]") depth -= 1;
    if (depth === 0 && token === "}") break;
    if (depth === 1 && token === ",") {
      members.push([name, value]);
      [name, value] = [null, ""];
    } else if (depth === 1 && name === null) {
      name = JSON.parse(token);
    } else if (depth >= 1 && !(depth === 1 && token === ":")) {
      value += token;
    }
    if (token === "{" || token === "[") depth += 1;
  }
  if (name !== null) members.push([name, value]);
  return members;
}
