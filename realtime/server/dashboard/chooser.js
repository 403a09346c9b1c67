/**
 * Finds the files that somebody drops or chooses; of folders, the audio files in them.
 *
 * @typedef {{file: File, path: string}} Found  `path`: within the folder that was chosen
 */

import { looksLikeAudio } from "./decode.js";

/**
 * Return what was dropped.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<{found: Found[], empty: string[]}>} `empty`: the folders without audio
 */
export async function filesOfDrop(transfer) {
  // All at once: after the first pause the browser forgets what was dropped.
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const entries = items.map((item) => ({ entry: item.webkitGetAsEntry?.() ?? null, file: item.getAsFile() }));
  const found = [];
  const empty = [];
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) {
      const inside = await filesBelow(entry);
      found.push(...sorted(inside));
      if (!inside.length) empty.push(entry.name);
    } else if (file) {
      found.push({ file, path: file.name });
    }
  }
  return { found, empty };
}

/** Return what was chosen. @param {FileList} list @returns {{found: Found[], empty: string[]}} */
export function filesOfChoice(list) {
  const files = [...list];
  // Set where a folder was chosen.
  const folder = files[0]?.webkitRelativePath.split("/")[0] ?? "";
  if (!folder) return { found: files.map((file) => ({ file, path: file.name })), empty: [] };
  const inside = files.filter(({ name }) => looksLikeAudio(name)).map((file) => ({ file, path: file.webkitRelativePath }));
  return { found: sorted(inside), empty: inside.length ? [] : [folder] };
}

/** Return the audio files in a folder and in those in it. @param {FileSystemDirectoryEntry} folder @returns {Promise<Found[]>} */
async function filesBelow(folder) {
  const found = [];
  const reader = folder.createReader();
  for (;;) {
    // Comes in parts, the last of which is empty.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (!entries.length) return found;
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesBelow(entry)));
      else if (looksLikeAudio(entry.name)) {
        const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
        if (file) found.push({ file, path: entry.fullPath.replace(/^\//, "") });
      }
    }
  }
}

/** Sort as `tonewatch analyze FOLDER` does: by folder, then by name. @param {Found[]} found */
function sorted(found) {
  return found.sort((one, other) => {
    const [a, b] = [one.path.split("/"), other.path.split("/")];
    const i = a.findIndex((part, k) => part !== b[k]);
    return i < 0 ? a.length - b.length : b[i] === undefined || a[i] > b[i] ? 1 : -1;
  });
}
