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

/** Read what was kept; null where nothing was, or storage is forbidden. @param {string} key @param {Storage} [storage] */
export function recall(key, storage) {
  try {
    return (storage ?? localStorage).getItem(`tonewatch.${key}`);
  } catch {
    return null;
  }
}

/** Keep something for the next visit, where that is allowed. @param {string} key @param {string} value @param {Storage} [storage] */
export function keep(key, value, storage) {
  try {
    (storage ?? localStorage).setItem(`tonewatch.${key}`, value);
  } catch {
    // It holds until the page is left.
  }
}
