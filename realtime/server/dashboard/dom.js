/** The few things that every part of the page does with elements. */

/** Return a copy of what a `<template>` holds. @param {string} id @returns {DocumentFragment} */
export function copyOf(id) {
  return document.getElementById(id).content.cloneNode(true);
}

/** Set an element's text, where it is another one: what does not change costs no layout. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Return a new element. @param {string} name @param {string} [className] @param {...(Node | string)} children */
export function make(name, className = "", ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** What a browser that forbids storage would not keep: it holds until the page is left. */
const held = new Map();

/** Read what was kept; null where nothing was. @param {string} key @param {"localStorage" | "sessionStorage"} [storage] */
export function recall(key, storage = "localStorage") {
  try {
    // Where storage is forbidden, looking at it is what throws.
    return globalThis[storage].getItem(`tonewatch.${key}`);
  } catch {
    return held.get(key) ?? null;
  }
}

/** Keep something for the next visit, where that is allowed. @param {string} key @param {string} value @param {"localStorage" | "sessionStorage"} [storage] */
export function keep(key, value, storage = "localStorage") {
  try {
    globalThis[storage].setItem(`tonewatch.${key}`, value);
  } catch {
    held.set(key, value);
  }
}
