/**
 * What each emotion looks like: two colours, an emoji and a pattern.
 *
 * The colours are those of Okabe and Ito, which people with any kind of colour blindness can tell apart, made
 * darker or lighter where the page is light or dark. Colour never stands alone: each emotion has a pattern of
 * its own, and its name or its face beside it.
 *
 * References: M. Okabe and K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/
 */

/**
 * @typedef {"light" | "dark"} Theme
 * @typedef {object} Look
 * @property {Record<Theme, string>} fill  of areas and bars, `#rrggbb`
 * @property {Record<Theme, string>} ink  of words: at least 4.5 : 1 on the page's surfaces
 * @property {string} emoji  one character, for places that take text alone
 * @property {readonly string[]} tile  one cell of the pattern, as rows of `#` and spaces; none: plain
 */

/** @type {Record<string, Look>} by label, `unknown` included */
export const LOOKS = {
  neutral: {
    fill: { light: "#9aa0a6", dark: "#9aa0a6" },
    ink: { light: "#565c63", dark: "#c3c8cd" },
    emoji: "😐",
    tile: [],
  },
  calm: {
    fill: { light: "#56b4e9", dark: "#56b4e9" },
    ink: { light: "#0b6596", dark: "#7fc8f0" },
    emoji: "😌",
    tile: ["        ", "        ", "        ", "########", "        ", "        ", "        ", "########"],
  },
  happy: {
    fill: { light: "#f0dc32", dark: "#f0e442" },
    ink: { light: "#6b5e00", dark: "#f0e442" },
    emoji: "😄",
    tile: ["        ", " ##     ", " ##     ", "        ", "        ", "     ## ", "     ## ", "        "],
  },
  sad: {
    fill: { light: "#0072b2", dark: "#1c86c7" },
    ink: { light: "#00659e", dark: "#62b2e6" },
    emoji: "😢",
    tile: ["#   #   ", "#   #   ", " #   #  ", " #   #  ", "  #   # ", "  #   # ", "   #   #", "   #   #"],
  },
  angry: {
    fill: { light: "#d55e00", dark: "#e0660a" },
    ink: { light: "#a84a00", dark: "#ff8c42" },
    emoji: "😠",
    tile: ["#      #", " #    # ", "  #  #  ", "   ##   ", "   ##   ", "  #  #  ", " #    # ", "#      #"],
  },
  fearful: {
    fill: { light: "#cc79a7", dark: "#cc79a7" },
    ink: { light: "#97396f", dark: "#e39cc3" },
    emoji: "😨",
    tile: ["   #   #", "   #   #", "   #   #", "   #   #", "   #   #", "   #   #", "   #   #", "   #   #"],
  },
  disgust: {
    fill: { light: "#009e73", dark: "#12a87d" },
    ink: { light: "#00704f", dark: "#3fcf9f" },
    emoji: "🤢",
    tile: ["       #", "      # ", "     #  ", "    #   ", "   #    ", "  #     ", " #      ", "#       "],
  },
  surprised: {
    fill: { light: "#e69f00", dark: "#e69f00" },
    ink: { light: "#855a00", dark: "#f5b83d" },
    emoji: "😲",
    tile: ["   #    ", "  ###   ", "   #    ", "        ", "       #", "#     ##", "       #", "        "],
  },
  unknown: {
    fill: { light: "#d5d9de", dark: "#3d444d" },
    ink: { light: "#565c63", dark: "#b6bdc6" },
    emoji: "🤔",
    tile: ["#   #   ", "        ", "  #   # ", "        ", "#   #   ", "        ", "  #   # ", "        "],
  },
};

/** Return how `label` is shown; a label of somebody's own model looks like `unknown`. @param {string} label */
export function lookOf(label) {
  return LOOKS[label] ?? LOOKS.unknown;
}

/** The side of a pattern's cell, in CSS pixels. */
const CELL = 8;

/** @type {Map<string, HTMLCanvasElement>} */
const tiles = new Map();

/**
 * Return one cell of an emotion's fill, pattern included, which repeats without a seam.
 *
 * @param {string} label
 * @param {Theme} theme
 * @param {number} [scale] device pixels per CSS pixel; a whole number
 * @returns {HTMLCanvasElement}
 */
export function tileOf(label, theme, scale = 1) {
  const key = `${label in LOOKS ? label : "unknown"} ${theme} ${scale}`;
  let tile = tiles.get(key);
  if (!tile) {
    const { fill, tile: rows } = lookOf(label);
    tile = document.createElement("canvas");
    tile.width = tile.height = CELL * scale;
    const context = tile.getContext("2d");
    context.fillStyle = fill[theme];
    context.fillRect(0, 0, tile.width, tile.height);
    // Dark marks on light fills and light ones on dark fills; faint, since many cells lie side by side.
    context.fillStyle = luminance(fill[theme]) > 0.2 ? "rgb(0 0 0 / 17%)" : "rgb(255 255 255 / 26%)";
    rows.forEach((row, y) => {
      for (let x = 0; x < CELL; x++) {
        if (row[x] === "#") context.fillRect(x * scale, y * scale, scale, scale);
      }
    });
    tiles.set(key, tile);
  }
  return tile;
}

/**
 * Return an emotion's fill for a canvas whose context is not scaled.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} label
 * @param {Theme} theme
 * @param {number} [scale] device pixels per CSS pixel
 * @returns {CanvasPattern}
 */
export function patternOf(context, label, theme, scale = 1) {
  return context.createPattern(tileOf(label, theme, Math.max(1, Math.round(scale))), "repeat");
}

/** Give an element an emotion's looks, as the variables `--fill`, `--tile` (an 8 px image) and `--word` (for text). @param {HTMLElement} element @param {string} label @param {Theme} theme */
export function paint(element, label, theme) {
  const { fill, ink } = lookOf(label);
  element.style.setProperty("--fill", fill[theme]);
  element.style.setProperty("--word", ink[theme]);
  element.style.setProperty("--tile", `url(${tileOf(label, theme, 2).toDataURL()})`);
}

/** Return what can be read on a colour: black or white. @param {string} colour  as `#rrggbb` */
export function inkOn(colour) {
  return luminance(colour) > 0.179 ? "#000000" : "#ffffff";
}

/** Relative luminance, 0 to 1, as WCAG 2.2 defines it. */
function luminance(colour) {
  const [red, green, blue] = [1, 3, 5].map((i) => {
    const part = Number.parseInt(colour.slice(i, i + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
